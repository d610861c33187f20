"""What is shown of each provider: its resource's status, and the Events that tell of its transitions.

The provisioner says what is so, the sender what waits; `writer` takes it from here. Nobody is asked here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from smsbridge.core.provider import Provider
from smsbridge.provisioning import conditions, report
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.service import Change
from smsbridge.provisioning.state import State

_MOST_EVENTS = 50  # kept for a resource that nobody can write to
_EXPECTED = (Reason.PAUSED, Reason.NOT_CHECKED, Reason.NOT_YET, Reason.WAITING_FOR_PORTAL)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to be. `normal` is False for a warning."""

    reason: str
    message: str
    normal: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """What changes without a transition."""

    queued: int | None = None
    calls_today: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be written of one resource; whoever writes takes its events off."""

    status: Mapping[str, Any]
    events: list[Event]
    version: int


@dataclass(slots=True)
class _Entry:
    state: State = field(default_factory=State)
    provider: Provider | None = None
    figures: Figures = field(default_factory=Figures)
    events: list[Event] = field(default_factory=list)
    version: int = 0
    written: int = 0


def _now() -> datetime:
    return datetime.now(UTC)


class Board:
    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._blind: tuple[Reason, datetime] | None = None
        self._news = asyncio.Event()
        self._closed = False

    def show(self, change: Change) -> None:
        """`service.Provisioner`'s onlooker."""
        if change.provider is not None and change.provider.removed:
            return
        entry = self._entries.setdefault(change.label, _Entry())
        entry.state, entry.provider = change.new, change.provider
        entry.events += _events(change, self._clock())
        del entry.events[:-_MOST_EVENTS]
        self._changed(entry)

    def count(self, label: str, uid: str, figures: Figures) -> None:
        """Figures of one provider; those of another that had its name before are not for it."""
        entry = self._entries.get(label)
        known = entry is not None and entry.provider is not None and entry.provider.uid == uid
        if entry is not None and known and entry.figures != figures:
            entry.figures = figures
            self._changed(entry)

    def blind(self, reason: Reason | None) -> None:
        """Whether messages go out cannot be seen, and why; None where it can again."""
        if (self._blind[0] if self._blind else None) is reason:
            return
        self._blind = None if reason is None else (reason, self._clock())
        for entry in self._entries.values():
            self._changed(entry)

    def saw(self, label: str, status: Mapping[str, Any]) -> None:
        """What the API server has: written again where it is another than it should be."""
        entry = self._entries.get(label)
        if entry is None or entry.written != entry.version:
            return
        wanted = self._status(entry)
        if any(status.get(key) != value for key, value in wanted.items()):
            self._changed(entry)

    def portals(self) -> Mapping[str, str]:
        """The member_id of each provider whose portal is known, by its label."""
        return {label: one.state.member_id for label, one in self._entries.items() if one.state.member_id}

    async def news(self, *, within_seconds: float) -> None:
        """Returns when there is something to write, or after so long."""
        if not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._news.wait()
        self._news.clear()

    def unwritten(self) -> list[str]:
        return [label for label, entry in self._entries.items() if entry.version != entry.written]

    def read(self, label: str, uid: str) -> Page | None:
        """None where what is known is not of the resource with that uid."""
        entry = self._entries.get(label)
        if entry is None or (entry.provider is not None and entry.provider.uid != uid):
            return None
        return Page(self._status(entry), entry.events, entry.version)

    def written(self, label: str, version: int) -> None:
        if (entry := self._entries.get(label)) is not None:
            entry.written = version

    def forget(self, label: str) -> None:
        self._entries.pop(label, None)

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True
        self._news.set()

    def _changed(self, entry: _Entry) -> None:
        entry.version += 1
        self._news.set()

    def _status(self, entry: _Entry) -> dict[str, Any]:
        """The resource's status as it should be; empty where nothing is known of it yet."""
        if not entry.state.conditions:
            return {}
        figures = {"queued": entry.figures.queued, "apiCallsToday": entry.figures.calls_today}
        if entry.provider is None:
            return report.conditions_of(entry.state) | figures
        return report.status_of(entry.provider, self._seen(entry.state)) | figures

    def _seen(self, state: State) -> State:
        """With what cannot be seen now said of Sending, and so of Ready."""
        sending = state.find(Type.SENDING)
        if self._blind is None or sending is None or sending.reason is Reason.PAUSED:
            return state
        reason, since = self._blind
        unseen = conditions.condition(Type.SENDING, Status.UNKNOWN, reason)
        return state.with_condition(unseen, now=since)


def _events(change: Change, at: datetime) -> list[Event]:
    before = {item.type: (item.status, item.reason) for item in change.old.conditions}
    events = [
        _event(item, at)
        for item in change.new.conditions
        if before.get(item.type) != (item.status, item.reason)
    ]
    if change.put_back:
        what = "the portal had lost the provider or a part of it, perhaps removed by hand"
        sentence = f"{what}; it was registered again"
        events.append(Event("PutBack", sentence, normal=False, at=at))
    return events


def _event(item: Condition, at: datetime) -> Event:
    normal = item.status is Status.TRUE or item.reason in _EXPECTED
    message = f"{item.type.value} is {item.status.value}: {item.message}"
    return Event(item.reason.value, message, normal=normal, at=at)
