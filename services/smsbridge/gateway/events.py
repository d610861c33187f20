"""Application events on their way from the journal to the installations.

Each is tried until it is settled. One that has to wait for the OAuth host, the portal or the store holds up
no other: what an older event may still change, `core.installation` decides by its time.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.gateway import install
from smsbridge.gateway.install import Outcome, PortalEvent, Settled
from smsbridge.gateway.journal import Entry, Journal, Kind
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.gateway.service import Accepted, Accepting

log = structlog.get_logger()

_READ_AT_ONCE = 100
# An access token that ran out so long ago is not going to be confirmed any more.
_GIVE_UP_SECONDS = 60


class Events:
    def __init__(
        self,
        *,
        accepting: Accepting,
        journal: Journal,
        installing: install.Installing,
        find: Callable[[str], Provider | None],
        metrics: GatewayMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`find` gives a provider by its uid."""
        self._accepting = accepting
        self._journal = journal
        self._installing = installing
        self._find = find
        self._metrics = metrics
        self._clock = clock
        self._waiting: dict[bytes, asyncio.Future[Outcome]] = {}
        self.on_taken: Callable[[], None] = lambda: None

    async def take(self, event: PortalEvent) -> Accepted:
        """Written down; applied by the next `step`."""
        return await self._append(event, install.encode(event))

    async def take_and_wait(self, event: PortalEvent, *, seconds: float) -> tuple[Accepted, Outcome | None]:
        """As `take`, and what became of it where that is known within `seconds`."""
        payload = install.encode(event)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[payload] = future
        try:
            accepted = await self._append(event, payload)
            if accepted is Accepted.LOST:
                return accepted, None
            async with asyncio.timeout(seconds):
                return accepted, await future
        except TimeoutError:
            return accepted, None
        finally:
            self._waiting.pop(payload, None)

    async def step(self) -> bool:
        """Tries everything that waits, once. True where nothing is left."""
        left = 0
        for group in await self._journal.groups():
            if group.kind is not Kind.EVENT:
                continue
            entries = await self._journal.read(Kind.EVENT, group.provider_uid, limit=_READ_AT_ONCE)
            for entry in entries:
                left += not await self._settle(entry)
        return left == 0

    async def _append(self, event: PortalEvent, payload: bytes) -> Accepted:
        door_at_ms = round(self._clock() * 1000)
        accepted = await self._accepting.event(
            payload, provider_uid=event.provider_uid, door_at_ms=door_at_ms
        )
        self.on_taken()
        return accepted

    async def _settle(self, entry: Entry) -> bool:
        """False where it has to be tried again."""
        event = _read(entry)
        if event is None:
            await self._journal.set_aside(entry, reason=Settled.UNREADABLE.value)
            self._metrics.events.labels("unknown", Settled.UNREADABLE.value).inc()
            log.warning("event_unreadable", provider_uid=entry.provider_uid)
            return True
        provider = self._find(entry.provider_uid)
        if provider is None or provider.removed:
            await self._end(entry, event, Outcome(Settled.PROVIDER_REMOVED))
            return True
        try:
            outcome = await self._installing.apply(event, provider)
        except errors.Away as away:
            if not event.access_token or self._clock() < event.expires_at + _GIVE_UP_SECONDS:
                log.info(
                    "event_waits", event_kind=event.what.value, provider_uid=provider.uid, code=away.code
                )
                return False
            outcome = Outcome(Settled.NOT_CONFIRMED)
        await self._end(entry, event, outcome)
        return True

    async def _end(self, entry: Entry, event: PortalEvent, outcome: Outcome) -> None:
        await self._journal.remove([entry])
        self._metrics.events.labels(event.what.value, outcome.settled.value).inc()
        log.info(
            "event_settled",
            event_kind=event.what.value,
            provider_uid=event.provider_uid,
            outcome=outcome.settled.value,
        )
        future = self._waiting.get(entry.payload or b"")
        if future is not None and not future.done():
            future.set_result(outcome)


def _read(entry: Entry) -> PortalEvent | None:
    if entry.payload is None:
        return None
    try:
        return install.decode(entry.payload)
    except errors.InputError:
        return None
