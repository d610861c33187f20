"""One batch on its way to a portal: statuses, answers to workflow steps; each command's own result decides.

How the portal's errors are read is decided here; when and how often batches leave is `writer`'s business.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import batch, bizproc, client, limiter, messageservice
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24.messageservice import StatusOutcome
from smsbridge.bitrix24.steps import Returned
from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.runtime import tracing
from smsbridge.store.portal_outbox import Answer, Entry, Kind, PortalOutbox, Result, Written

# These say of a method that it may not be called (now); the rest of the portal goes on.
_OF_THE_METHOD = (
    portal_errors.OperatingTimeOver,
    portal_errors.MethodMissing,
    portal_errors.AccessDenied,
)


@dataclass(frozen=True, slots=True)
class Cargo:
    """What one flight carries: entries of providers that share an installation. `token` is its own."""

    token: str
    entries: Sequence[tuple[Provider, Entry | Answer]]


@dataclass(frozen=True, slots=True)
class Landing:
    """`error` is what the whole batch met, or the first of its commands that stops more than itself."""

    counts: Mapping[tuple[str, Kind], Counter[str]]  # by provider uid
    error: errors.SmsbridgeError | None


class Flight:
    def __init__(self, outbox: PortalOutbox, *, retry_seconds: float, parked_seconds: float) -> None:
        """`parked_seconds`: the pause of an answer that the portal does not let us give."""
        self._outbox = outbox
        self._retry_seconds = retry_seconds
        self._parked_seconds = parked_seconds

    async def fly(self, api: client.PortalApi, cargo: Cargo) -> Landing:
        """Raises StoreAway where the results could not be kept: the entries rest, then are written again."""
        commands = [_command(provider, entry) for provider, entry in cargo.entries]
        kinds = {entry.kind for _, entry in cargo.entries}
        priority = limiter.Priority.ROBOTS if Kind.ANSWERS in kinds else limiter.Priority.STATUSES
        # Of a mixed batch the statuses are what uses up operating time.
        method = messageservice.STATUS_METHOD if Kind.STATUSES in kinds else bizproc.ANSWER_METHOD
        error: errors.SmsbridgeError | None = None
        began = time.monotonic()
        try:
            answer = await api.batch(commands, priority=priority, limited_as=method)
        except errors.SmsbridgeError as failure:
            # Nothing of it was done, or nobody knows.
            error = failure
            results = [self._all_failed(entry, failure) for _, entry in cargo.entries]
        else:
            pairs = list(zip((entry for _, entry in cargo.entries), answer.results, strict=True))
            results = [self._one(entry, result) for entry, result in pairs]
            error = next((result.error for entry, result in pairs if _stops(entry, result.error)), None)
        _trace(cargo, results, seconds=time.monotonic() - began)
        return Landing(await self._settle(cargo, results), error)

    async def _settle(self, cargo: Cargo, results: Sequence[Result]) -> dict[tuple[str, Kind], Counter[str]]:
        by_kind: dict[tuple[str, Kind], list[Result]] = {}
        for (provider, entry), result in zip(cargo.entries, results, strict=True):
            by_kind.setdefault((provider.uid, entry.kind), []).append(result)
        return {
            (uid, kind): await self._outbox.settle(uid, token=cargo.token, results=found)
            for (uid, kind), found in by_kind.items()
        }

    def _all_failed(self, entry: Entry | Answer, failure: errors.SmsbridgeError) -> Result:
        if isinstance(failure, portal_errors.PortalAway) and failure.after_first_byte:
            return Result(entry, Written.UNANSWERED)
        return Result(entry, Written.LATER, delay_seconds=self._retry_seconds)

    def _one(self, entry: Entry | Answer, result: batch.CommandResult) -> Result:
        if isinstance(entry, Answer):
            return self._answered(entry, result.error)
        match messageservice.classify(result.error):
            case StatusOutcome.OK:
                return Result(entry, Written.WRITTEN)
            case StatusOutcome.NOT_FOUND_YET:
                return Result(entry, Written.NOT_FOUND)
            case StatusOutcome.REFUSED:
                return Result(entry, Written.REFUSED, why=_word(result.error))
        return self._again(entry, result.error)

    def _answered(self, entry: Answer, error: portal_errors.PortalError | None) -> Result:
        if error is None:
            return Result(entry, Written.WRITTEN)
        if bizproc.is_over(error):
            return Result(entry, Written.OVER)
        if isinstance(error, _OF_THE_METHOD):  # a scope that is missing, say: somebody may mend it
            return Result(entry, Written.LATER, delay_seconds=self._parked_seconds)
        if messageservice.classify(error) in (StatusOutcome.REFUSED, StatusOutcome.NOT_FOUND_YET):
            return Result(entry, Written.REFUSED, why=_word(error))
        return self._again(entry, error)

    def _again(self, entry: Entry | Answer, error: portal_errors.PortalError | None) -> Result:
        if isinstance(error, portal_errors.PortalAway):
            return Result(entry, Written.UNANSWERED)
        return Result(entry, Written.LATER, delay_seconds=self._retry_seconds)


def _trace(cargo: Cargo, results: Sequence[Result], *, seconds: float) -> None:
    if not tracing.are_made():
        return
    for (provider, entry), result in zip(cargo.entries, results, strict=True):
        tracing.span(
            tracing.Span.PORTAL_WRITE, entry.message_id, seconds=seconds, namespace=provider.namespace,
            provider=provider.name, status=entry.status.value, result=result.written.value,
        )  # fmt: skip


def _command(provider: Provider, entry: Entry | Answer) -> batch.Command:
    if isinstance(entry, Entry):
        return messageservice.status_command(provider.code, entry.message_id, entry.status)
    values = {
        Returned.STATUS: entry.status.value,
        Returned.CHANNEL: entry.channel,
        Returned.PRICE: "" if entry.price is None else format(entry.price, "f"),
        Returned.MESSAGE_ID: entry.message_id,
        Returned.REASON: entry.reason,
    }
    return bizproc.answer_command(entry.event_token, {name.value: value for name, value in values.items()})


def _stops(entry: Entry | Answer, error: errors.SmsbridgeError | None) -> bool:
    """Whether nothing more is to be tried for a while; what an answer's own method meets stops no status."""
    if isinstance(entry, Answer) and isinstance(error, _OF_THE_METHOD):
        return False
    stop = (StatusOutcome.STOP_METHOD, StatusOutcome.STOP_PORTAL)
    return messageservice.classify(error) in stop


def _word(error: portal_errors.PortalError | None) -> str:
    """The portal's own code where it is fit to be shown."""
    return portal_errors.readable_code(error.rest_code) if error is not None else "refused"
