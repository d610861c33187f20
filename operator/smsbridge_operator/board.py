"""What is shown of each provider: its resource's status, and the Events that tell of its transitions.

The provisioner says what is so; handlers take it from here when the framework lets them write.
Nothing is asked of anybody here.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smsbridge.core.provider import Provider
from smsbridge.provisioning import report
from smsbridge.provisioning.conditions import Condition, Reason, Status
from smsbridge.provisioning.service import Change
from smsbridge.provisioning.state import State

_MOST_EVENTS = 50  # kept for a resource that nobody writes to
_EXPECTED = (Reason.PAUSED, Reason.NOT_CHECKED, Reason.NOT_YET, Reason.WAITING_FOR_PORTAL)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to be. `normal` is False for a warning."""

    reason: str
    message: str
    normal: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What changes without a transition."""

    queued: int | None = None
    calls_today: int | None = None


@dataclass(slots=True)
class _Page:
    state: State = field(default_factory=State)
    provider: Provider | None = None
    figures: Figures = Figures()
    events: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Board:
    def __init__(self) -> None:
        self._pages: dict[str, _Page] = {}
        self._closed = False

    def show(self, change: Change) -> None:
        """`service.Provisioner`'s onlooker."""
        if change.provider is not None and change.provider.removed:
            return
        page = self._page(change.label)
        page.state, page.provider = change.new, change.provider
        page.events += _events(change)
        del page.events[:-_MOST_EVENTS]
        page.news.set()

    def count(self, label: str, figures: Figures) -> None:
        page = self._page(label)
        if page.figures != figures:
            page.figures = figures
            page.news.set()

    def portals(self) -> Mapping[str, str]:
        """The member_id of each provider whose portal is known, by its label."""
        return {label: page.state.member_id for label, page in self._pages.items() if page.state.member_id}

    async def news(self, label: str, *, within_seconds: float) -> None:
        """Returns when there is something new to show, or after so long."""
        page = self._page(label)
        if not self._closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await page.news.wait()
        page.news.clear()

    def status(self, label: str) -> dict[str, Any]:
        """The resource's status as it should be; empty where nothing is known of it yet."""
        page = self._page(label)
        if not page.state.conditions:
            return {}
        figures = {"queued": page.figures.queued, "apiCallsToday": page.figures.calls_today}
        if page.provider is None:
            return report.conditions_of(page.state) | figures
        return report.status_of(page.provider, page.state) | figures

    def take_events(self, label: str) -> list[Event]:
        page = self._page(label)
        events, page.events = page.events, []
        return events

    def wake(self, label: str) -> None:
        """Whoever waits for news of it goes on."""
        self._page(label).news.set()

    def forget(self, label: str) -> None:
        if page := self._pages.pop(label, None):
            page.news.set()

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed = True
        for page in self._pages.values():
            page.news.set()

    def _page(self, label: str) -> _Page:
        return self._pages.setdefault(label, _Page())


def _events(change: Change) -> list[Event]:
    before = {item.type: (item.status, item.reason) for item in change.old.conditions}
    events = [
        _event(item) for item in change.new.conditions if before.get(item.type) != (item.status, item.reason)
    ]
    if change.put_back:
        sentence = "the portal had lost the provider, perhaps removed by hand; it was registered again"
        events.append(Event("PutBack", sentence, normal=False))
    return events


def _event(item: Condition) -> Event:
    normal = item.status is Status.TRUE or item.reason in _EXPECTED
    return Event(item.reason.value, f"{item.type.value} is {item.status.value}: {item.message}", normal)
