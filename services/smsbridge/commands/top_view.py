"""What `smsbridge top` shows: from what the roles say to a picture. Asks nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from smsbridge.api.v1 import sender_pb2, status_pb2
from smsbridge.commands import common
from smsbridge.commands.figures import Figures

LANES = ("interactive", "bulk")
_LATE_SECONDS = 60
_ERRORS_SHOWN = 8
_PAUSES = {
    "paused": "the provider is paused",
    "login": "SMSC refuses login or address",
    "money": "no money",
    "blocked": "SMSC has blocked this address",
    "bad_requests": "too many bad requests",
}
_LIMITS = {
    "pause": "a pause",
    "store_memory": "the store's memory",
    "account_permits": "SMSC's limit of requests at a time",
    "batching_linger": "batches wait to be filled",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What was told at one moment; an empty sequence or None where somebody did not answer."""

    at_seconds: float
    queues: Sequence[sender_pb2.QueueDescription] = ()
    ledgers: status_pb2.GetLedgerResponse | None = None
    figures: Figures | None = None
    away: Sequence[str] = ()  # sentences


@dataclass(frozen=True, slots=True)
class Line:
    """One provider. Rates are None where two moments are not known."""

    label: str
    queue: sender_pb2.QueueDescription | None
    ledger: status_pb2.Ledger | None
    batches_per_second: float | None
    numbers_per_second: float | None
    binds: tuple[str, ...]

    def lane(self, name: str) -> tuple[int, int]:
        """Waiting, and the age of the oldest in ms."""
        for one in self.queue.lanes if self.queue else ():
            if one.lane == name:
                return one.waiting, one.oldest_age_ms
        return 0, 0


def lines(before: Sample | None, now: Sample) -> list[Line]:
    queues = {one.provider_uid: one for one in now.queues}
    ledgers = {one.provider_uid: one for one in (now.ledgers.ledgers if now.ledgers else ())}
    labels = {uid: f"{one.namespace}/{one.name}" for uid, one in queues.items()}
    labels |= {uid: f"{one.namespace}/{one.name}" for uid, one in ledgers.items()}
    found = []
    for uid, label in sorted(labels.items(), key=lambda item: (item[1], item[0])):
        queue, ledger = queues.get(uid), ledgers.get(uid)
        binding = now.figures.binding.get(label, ()) if now.figures else ()
        found.append(
            Line(
                label,
                queue,
                ledger,
                _rate(before, now, label, "batches"),
                _rate(before, now, label, "numbers"),
                _binds(queue, ledger, binding),
            )
        )
    return found


def picture(before: Sample | None, now: Sample) -> RenderableType:
    at = common.utc_time(now.at_seconds * 1000)
    parts: list[RenderableType] = [Text(f"{at} UTC   {_books(now.ledgers)}")]
    parts.append(_table(lines(before, now)))
    parts += [Text(sentence, style="bold") for sentence in now.away]
    if now.figures is not None and now.figures.errors:
        parts.append(Text(_errors(before, now.figures)))
    return Group(*parts)


def _books(found: status_pb2.GetLedgerResponse | None) -> str:
    if found is None:
        return ""
    accepted = sum(one.accepted for one in found.ledgers)
    words = f"{accepted} accepted, {found.journalled} in journals, {found.unaccounted} unaccounted"
    return f"{words} (a fault: see the runbook)" if found.unaccounted else words


def _table(found: Sequence[Line]) -> Table:
    table = common.table("Provider")
    for name in (
        "Interactive", "Bulk", "Held", "Sending", "With SMSC", "Delivered", "Failed",
        "Batches/s", "Numbers/s", "Portal",
    ):  # fmt: skip
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("What binds", overflow="fold")
    for one in found:
        table.add_row(*_cells(one))
    return table


def _cells(one: Line) -> list[str]:
    queue, ledger = one.queue, one.ledger
    final: Mapping[str, int] = ledger.final if ledger else {}
    failed = sum(count for state, count in final.items() if state not in ("delivered", "outcome_unknown"))
    return [
        one.label,
        *(_with_age(*one.lane(name)) for name in LANES),
        str(queue.held if queue else ledger.held if ledger else 0),
        str(queue.sending if queue else ledger.sending if ledger else 0),
        str(ledger.sent) if ledger else "",
        str(final.get("delivered", 0)) if ledger else "",
        str(failed) if ledger else "",
        _per_second(one.batches_per_second),
        _per_second(one.numbers_per_second),
        _with_age(ledger.portal_outbox, ledger.portal_lag_ms) if ledger else "",
        ", ".join(one.binds),
    ]


def _binds(
    queue: sender_pb2.QueueDescription | None, ledger: status_pb2.Ledger | None, limits: Sequence[str]
) -> tuple[str, ...]:
    found = []
    if queue is not None and queue.pause_reason:
        why = _PAUSES.get(queue.pause_reason, queue.pause_reason)
        probe = queue.next_probe_at_ms
        when = f", next probe {datetime.fromtimestamp(probe / 1000, UTC):%H:%M:%S}" if probe else ""
        found.append(f"{why}{when}")
    found += [
        _LIMITS.get(limit, limit.replace("_", " ")) for limit in limits if limit != "pause" or not found
    ]
    if queue is not None and queue.uncertain:
        found.append(f"{queue.uncertain} uncertain batches")
    if ledger is not None and ledger.portal_lag_ms >= _LATE_SECONDS * 1000:
        found.append("the portal is written to late")
    return tuple(found)


def _rate(before: Sample | None, now: Sample, label: str, name: str) -> float | None:
    if before is None or before.figures is None or now.figures is None:
        return None
    seconds = now.at_seconds - before.at_seconds
    counted = getattr(now.figures, name).get(label, 0.0) - getattr(before.figures, name).get(label, 0.0)
    # A process that began anew counts from 0.
    return max(0.0, counted) / seconds if seconds > 0 else None


def _errors(before: Sample | None, figures: Figures) -> str:
    """Since the start, the most frequent first, with what the last moment added."""
    earlier = before.figures.errors if before and before.figures else figures.errors
    shown = []
    for name, count in sorted(figures.errors.items(), key=lambda item: (-item[1], item[0]))[:_ERRORS_SHOWN]:
        new = count - earlier.get(name, 0.0)
        shown.append(f"{name} {count:.0f}{f' (+{new:.0f})' if new > 0 else ''}")
    return f"errors since the start: {'; '.join(shown)}"


def _with_age(count: int, age_ms: int) -> str:
    if not count:
        return "0"
    seconds = age_ms // 1000
    age = f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
    return f"{count}, {age}"


def _per_second(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1f}"
