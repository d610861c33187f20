"""The store's state machine on a real Valkey: whatever SMSC says, in whatever order, core.delivery agrees.

Random sequences of what may happen to one message of profile http's cascade: readings of either attempt,
the end of a leg's wait, of a grace, of an attempt's time, the sender taking the next leg.
"""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsbridge.core import delivery
from smsbridge.core.delivery import AttemptState, MessageState
from smsbridge.core.message import Lane, Route
from smsbridge.core.provider import Profile, Routing, ViberStop
from smsbridge.sender import intake
from smsbridge.status import verdict
from smsbridge.store import connection
from tests.store import messages
from tests.store.journey import Journey

# Codes of profile http with every outcome, and an unknown one.
CODES = (0, 1, 2, 3, 20, 22, 23, 24, 25, 99, -3)
readings = st.tuples(st.just("say"), st.sampled_from(CODES), st.sampled_from([1, 2]))
happenings = ("wait is over", "grace is over", "sender takes the leg", "time is over")
events = st.tuples(st.sampled_from(happenings))
lives = st.lists(st.one_of(readings, readings, events), min_size=1, max_size=8)
ORDER = {MessageState.HELD: 0, MessageState.QUEUED: 1, MessageState.SENDING: 2, MessageState.SENT: 3}

numbers = itertools.count(1)


class Life:
    """One message, and what was true of it after the last event."""

    def __init__(self, way: Journey, mid: str) -> None:
        self.way = way
        self.mid = mid
        self.before: tuple[MessageState, list[AttemptState]] = (MessageState.SENT, [AttemptState.SENT])

    async def meets(self, event: Sequence[object]) -> None:
        match event:
            case ("say", int(code), int(attempt)):
                if (await self.way.message(self.mid)).of_attempt(attempt, "sid"):  # SMSC has it
                    await self.way.say(self.mid, code, attempt=attempt)
            case ("wait is over",):
                await self.way.time_passes("casc")
                await self.way.deliveries.tick(self.way.uid)
            case ("grace is over",):
                await self.way.time_passes("grace")
                await self.way.deliveries.tick(self.way.uid)
            case ("time is over",):
                for number in range(1, len(self.before[1]) + 1):
                    await self.way.closes(self.mid, attempt=number)
                await self.way.deliveries.take_polls(self.way.uid, most=1000, lease_seconds=30)
            case ("sender takes the leg",):
                await self._second_leg()

    async def _second_leg(self) -> None:
        view = await self.way.message(self.mid)
        if view.attempts != 2 or view.of_attempt(2, "st") != AttemptState.PLANNED:
            return
        legs = intake.load_legs(view.record["legs"])
        group = intake.group_of(self.way.provider, Lane.INTERACTIVE, legs, 2, "Привет")
        assert await self.way.box.accept_next(self.way.uid, self.mid, 2, group) == "accepted"
        await self.way.deliveries.told(self.way.uid, plans=[(f"{self.mid}|2", True)])
        await self.way.pump()

    async def is_right(self) -> None:
        view = await self.way.message(self.mid)
        attempts = [AttemptState(view.of_attempt(n, "st")) for n in range(1, view.attempts + 1)]
        state = MessageState(view.record["st"])
        was, earlier = self.before
        assert all(new.rank >= old.rank for old, new in zip(earlier, attempts, strict=False))
        derived = delivery.derive(attempts, planned=view.record["nx"] == "1")
        if not derived.final and ORDER[derived] < ORDER.get(was, 0):
            derived = was  # a planned leg does not make a sent message a queued one
        assert state is derived
        if was.final:
            assert state.final
        if was is MessageState.DELIVERED:
            assert state is MessageState.DELIVERED
        self.before = state, attempts


@pytest.mark.parametrize("stop", ViberStop)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(life=lives)
async def test_any_sequence_of_events(
    store: connection.Store, stop: ViberStop, life: list[Sequence[object]]
) -> None:
    routing = Routing(route=Route.CASCADE, viber_timeout_seconds=60, viber_stops_on=stop)
    await store.redis.flushall()
    way = Journey(store, messages.provider(profile=Profile.HTTP, routing=routing))
    [mid] = await way.sent([next(numbers)])
    one = Life(way, mid)
    for event in life:
        await one.meets(event)
        await one.is_right()
    books = await way.deliveries.ledger(way.uid)
    assert (books.accepted, books.unaccounted) == (1, 0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(codes=st.permutations([0, 1, 20, 22, 23, 25, 99]), repeats=st.integers(1, 3))
async def test_any_order_with_a_delivery_in_it_ends_delivered(
    store: connection.Store, codes: list[int], repeats: int
) -> None:
    await store.redis.flushall()
    way = Journey(store, messages.provider(profile=Profile.HTTP))
    [mid] = await way.sent([next(numbers)])
    for code in codes * repeats:
        await way.say(mid, code, source=verdict.CALLBACK)
    assert await way.state(mid) == "delivered"
    final = (await way.deliveries.ledger(way.uid)).final
    assert {state: count for state, count in final.items() if count} == {"delivered": 1}
