"""Tells portals: per installation one loop over its providers, full batches where enough waits.

Answers to workflow steps go first, statuses ride along where there is room. The portal's limiter says when;
what is taken then leaves at once, so it is the newest. Any number of processes may do this for one portal:
what one has taken nobody else takes. What an answer means is `flight`'s business.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from ulid import ULID

from smsbridge.bitrix24 import batch, bizproc, client, limiter, messageservice
from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.core.provider import Provider
from smsbridge.runtime import tasks
from smsbridge.status.flight import Cargo, Flight, Landing
from smsbridge.status.metrics import PORTAL_OPERATING, PORTAL_REQUESTS, StatusMetrics
from smsbridge.status.ports import Providers
from smsbridge.status.settings import StatusSettings
from smsbridge.store.portal_limiter import PortalLimiter
from smsbridge.store.portal_outbox import Answer, Due, Entry, Kind, PortalOutbox

log = structlog.get_logger()

# In this order they leave.
_KINDS = (
    (Kind.ANSWERS, limiter.Priority.ROBOTS, bizproc.ANSWER_METHOD),
    (Kind.STATUSES, limiter.Priority.STATUSES, messageservice.STATUS_METHOD),
)


class Installations(Protocol):
    def for_provider(self, provider: Provider) -> Installation | None: ...


class Portals(Protocol):
    def api(self, provider: Provider, member_id: str) -> client.PortalApi: ...


@dataclass(slots=True)
class _Lane:
    """One installation: its flights under way, and when it may be looked at again (monotonic seconds).

    `parked_for` is the installation that refused us: another one, mended or made anew, is tried at once.
    """

    flights: set[asyncio.Task[None]] = field(default_factory=set)
    last_left: float = 0.0
    rest_until: float = 0.0
    parked_for: Installation | None = None


class Writer:
    def __init__(
        self,
        settings: StatusSettings,
        *,
        outbox: PortalOutbox,
        providers: Providers,
        installations: Installations,
        portals: Portals,
        turns: PortalLimiter,
        metrics: StatusMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._providers = providers
        self._installations = installations
        self._portals = portals
        self._turns = turns
        self._flight = Flight(
            outbox,
            retry_seconds=settings.portal_retry_seconds,
            parked_seconds=settings.portal_parked_seconds,
        )
        self._metrics = metrics
        self._clock = clock
        self._lanes: dict[tuple[str, str], _Lane] = {}

    async def step(self) -> float:
        """Starts what may leave now; answers the seconds until something more may."""
        waits = [self._settings.portal_tick_seconds]
        for installation, providers in self._by_installation().items():
            waits.append(await self._look_at(installation, providers))
        return max(0.0, min(waits))

    async def drain(self, *, grace_seconds: float) -> None:
        """Waits for the flights under way; what is cut off rests, then is written again."""
        flights = [task for lane in self._lanes.values() for task in lane.flights]
        if not flights:
            return
        _, late = await asyncio.wait(flights, timeout=grace_seconds)
        await tasks.end(*late)

    def _by_installation(self) -> dict[Installation, list[Provider]]:
        """Providers that have a portal we may call. What waits for the others is parked."""
        found: dict[tuple[str, str], tuple[Installation, list[Provider]]] = {}
        for provider in self._providers.all():
            installation = self._installations.for_provider(provider)
            if installation is not None and installation.works:
                key = (installation.client_id, installation.member_id)
                found.setdefault(key, (installation, []))[1].append(provider)
        return dict(found.values())

    async def _look_at(self, installation: Installation, providers: Sequence[Provider]) -> float:
        settings = self._settings
        lane = self._lanes.setdefault((installation.client_id, installation.member_id), _Lane())
        now = self._clock()
        if lane.parked_for is not None and lane.parked_for != installation:
            lane.rest_until, lane.parked_for = 0.0, None
        if lane.rest_until > now or len(lane.flights) >= settings.portal_flights:
            return settings.portal_tick_seconds
        due = [(provider, await self._outbox.due(provider.uid)) for provider in providers]
        count = sum(state.count for _, state in due)
        if count == 0:
            return _first(due, settings.portal_tick_seconds)
        linger = lane.last_left + settings.portal_linger_seconds - now
        if count < batch.MAX_COMMANDS and linger > 0:
            return linger
        kinds, wait_seconds = await self._turn(installation.member_id, due)
        if not kinds:
            return wait_seconds
        api = self._portals.api(providers[0], installation.member_id)
        await self._leave(api, lane, installation, {kind: _that_have(due, kind) for kind in kinds})
        return 0.0 if count > batch.MAX_COMMANDS else settings.portal_linger_seconds

    async def _turn(self, member_id: str, due: Sequence[tuple[Provider, Due]]) -> tuple[list[Kind], float]:
        """What may leave in one batch now, in that order; else the seconds until something may.

        Either has a method of its own, and only one of them may be stopped.
        """
        kinds: list[Kind] = []
        waits: list[float] = []
        room = batch.MAX_COMMANDS
        for kind, priority, method in _KINDS:
            count = min(sum(state.of(kind) for _, state in due), room)
            if not count:
                continue
            goes_as = limiter.Priority.ROBOTS if kinds else priority  # it may ride along
            turn = await self._turns.turn(member_id, priority=goes_as, method=method, commands=count)
            if turn.wait_seconds > 0:
                waits.append(turn.wait_seconds)
                self._bound(turn.why, _that_have(due, kind))
            else:
                kinds.append(kind)
                room -= count
        return kinds, min(waits, default=0.0)

    def _bound(self, why: str, waiting: Sequence[Provider]) -> None:
        limit = PORTAL_OPERATING if why.startswith("operating") else PORTAL_REQUESTS
        for provider in waiting:
            self._metrics.binding.met(provider.namespace, provider.name, limit)

    async def _leave(
        self,
        api: client.PortalApi,
        lane: _Lane,
        installation: Installation,
        waiting: Mapping[Kind, Sequence[Provider]],
    ) -> None:
        try:
            # A renewal may take long; what is taken after it leaves at once.
            await api.tokens.token()
        except errors.StoreAway:
            raise
        except errors.SmsbridgeError as error:
            self._rest(lane, installation, error)
            return
        cargo = await self._take(waiting)
        lane.last_left = self._clock()
        if cargo.entries:
            task = asyncio.create_task(self._fly(api, lane, installation, cargo), name="portal flight")
            lane.flights.add(task)
            task.add_done_callback(lane.flights.discard)

    async def _take(self, waiting: Mapping[Kind, Sequence[Provider]]) -> Cargo:
        token = str(ULID())
        entries: list[tuple[Provider, Entry | Answer]] = []
        for kind, providers in waiting.items():
            # In any order, so that a busy provider does not starve the others of its portal.
            for provider in random.sample(list(providers), len(providers)):
                most = batch.MAX_COMMANDS - len(entries)
                if not most:
                    break
                taken = await self._outbox.take(provider.uid, token=token, most=most, kind=kind)
                entries += [(provider, entry) for entry in taken.entries]
                self._count(provider, kind, "dropped", taken.dropped)
        return Cargo(token, entries)

    async def _fly(
        self, api: client.PortalApi, lane: _Lane, installation: Installation, cargo: Cargo
    ) -> None:
        try:
            landing = await self._flight.fly(api, cargo)
        except errors.Away as error:
            # The store; the entries rest until their flight is over.
            log.warning("portal_results_not_kept", error=error.code, entries=len(cargo.entries))
            self._metrics.portal_calls.labels(result=error.code).inc()
            return
        self._note(cargo, landing)
        if landing.error is not None:
            self._rest(lane, installation, landing.error)

    def _note(self, cargo: Cargo, landing: Landing) -> None:
        result = landing.error.code if landing.error is not None else "ok"
        self._metrics.portal_calls.labels(result=result).inc()
        providers = {provider.uid: provider for provider, _ in cargo.entries}
        for (uid, kind), counts in landing.counts.items():
            for word, count in counts.items():
                self._count(providers[uid], kind, word, count)

    def _count(self, provider: Provider, kind: Kind, result: str, count: int) -> None:
        if count:
            labels = {"namespace": provider.namespace, "provider": provider.name, "result": result}
            answers = kind is Kind.ANSWERS
            counter = self._metrics.portal_answers if answers else self._metrics.portal_updates
            counter.labels(**labels).inc(count)

    def _rest(self, lane: _Lane, installation: Installation, error: errors.SmsbridgeError) -> None:
        """A refusal of the whole portal parks it until its installation changes, or for a while."""
        outcome = messageservice.classify(error)
        parked = outcome in (
            messageservice.StatusOutcome.STOP_PORTAL,
            messageservice.StatusOutcome.STOP_METHOD,
            messageservice.StatusOutcome.REFUSED,
        )
        pause = self._settings.portal_parked_seconds if parked else self._settings.portal_retry_seconds
        if error.retryable:  # its limits are the limiter's business
            pause = self._settings.portal_retry_seconds
        elif parked:
            lane.parked_for = installation
        lane.rest_until = self._clock() + pause
        log.warning("portal_rests", portal=installation.member_id, error=error.code, seconds=pause)


def _that_have(due: Sequence[tuple[Provider, Due]], kind: Kind) -> list[Provider]:
    return [provider for provider, state in due if state.of(kind)]


def _first(due: Sequence[tuple[Provider, Due]], most: float) -> float:
    waits = [state.next_seconds for _, state in due if state.next_seconds is not None]
    return min([most, *waits])
