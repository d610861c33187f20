"""Spans of what SMSC said of a message, from a callback or an answer."""

from collections.abc import Sequence

from smsbridge.runtime import tracing
from smsbridge.status.verdict import Verdict


def receipts(found: Sequence[Verdict], results: Sequence[str]) -> None:
    """A span of each message of which something new was learned."""
    if not tracing.are_made():
        return
    for item, result in zip(found, results, strict=True):
        change = item.change
        if result == "changed":
            tracing.span(
                tracing.Span.RECEIPT, change.message_id, attempt=change.attempt, source=change.source,
                status=change.code, error=-1 if change.err is None else change.err,
                state="" if change.state is None else change.state.value,
            )  # fmt: skip
