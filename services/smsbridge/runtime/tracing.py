"""The trace of a message: its id in logs and in gRPC metadata, and its spans where a collector is set.

A message's id is its trace id (ADR 25): every role that has a message has its trace, also after a wait in the
journal or a restart, and nothing is kept for it. Spans are OpenTelemetry's, all of one message under one
root. Without `tracing.endpoint` none is made, and what would send them is not even imported.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from smsbridge.runtime.spans import Spans

TRACEPARENT = "traceparent"  # W3C Trace Context, level 1: its name as a header and in gRPC metadata
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_TRACE_ID = re.compile(r"[0-9a-f]{32}\Z")
_NONE = "0" * 32  # no trace has this id

_current: ContextVar[str] = ContextVar("trace_id", default="")


class _Process:
    """What this process has, as it has one log."""

    spans: "Spans | None" = None


class TracingSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Where spans go by OTLP over HTTP, e.g. `http://127.0.0.1:4318/v1/traces`; empty: none "
        "are made. A collector's token belongs into the environment: `OTEL_EXPORTER_OTLP_HEADERS`.",
    )
    sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of the messages whose spans are made; all roles choose the same ones.",
    )


class Span(StrEnum):
    """What is done with a message; `docs/observability.md` lists their attributes."""

    MESSAGE = "message"  # the root
    DOOR = "door"
    SEND = "smsc.send"
    RECEIPT = "smsc.receipt"
    PORTAL_WRITE = "portal.write"


def id_of(message_id: str) -> str:
    """The portal's ids and our own have the form of a trace id already; another one is made into it."""
    lower = message_id.lower()
    if _TRACE_ID.match(lower) and lower != _NONE:
        return lower
    return hashlib.sha256(message_id.encode()).hexdigest()[:32]


def root_of(trace_id: str) -> str:
    """The id of its root span."""
    return trace_id[16:] if int(trace_id[16:], 16) else trace_id[:16]


def current() -> str:
    """The trace that is worked at; empty for none."""
    return _current.get()


@contextlib.contextmanager
def within(trace_id: str) -> Iterator[None]:
    """What is logged and called in here belongs to this trace."""
    before = _current.set(trace_id)
    try:
        yield
    finally:
        _current.reset(before)


def add_to_log(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of the log."""
    if trace_id := current():
        event.setdefault("trace_id", trace_id)
    return event


def metadata() -> tuple[tuple[str, str], ...]:
    """Of a gRPC call that is made now."""
    trace_id = current()
    return ((TRACEPARENT, f"00-{trace_id}-{root_of(trace_id)}-01"),) if trace_id else ()


def from_metadata(pairs: Iterable[Any] | None) -> str:
    """The trace that a call belongs to; empty for none, and for what is no `traceparent`."""
    for key, value in pairs or ():
        if key == TRACEPARENT and isinstance(value, str) and (found := _TRACEPARENT.match(value)):
            return "" if found[1] == _NONE else found[1]
    return ""


def configure(settings: TracingSettings, *, process: str) -> None:
    """Once per process, which stands in its spans as `smsbridge-PROCESS`."""
    close()
    if settings.endpoint:
        from smsbridge.runtime.spans import Spans  # noqa: PLC0415 - costs time and memory where it is not wanted

        _Process.spans = Spans(settings.endpoint, sample_ratio=settings.sample_ratio, process=process)


def close() -> None:
    """Sends what waits; a collector that does not answer holds nobody up for more than some seconds."""
    if _Process.spans is not None:
        _Process.spans.close()
        _Process.spans = None


def are_made() -> bool:
    """False: what a span would say need not be put together."""
    return _Process.spans is not None


def span(name: Span, message_id: str, *, seconds: float = 0.0, **attributes: str | int | float) -> None:
    """One that has just ended, and took so long. No phone, text or secret goes into the attributes."""
    if _Process.spans is not None:
        _Process.spans.add(name, id_of(message_id), seconds=seconds, attributes=attributes)
