"""The limiter of a single process, on a clock of our own."""

import asyncio
import itertools

import pytest

from smsbridge.bitrix24 import errors, limiter
from smsbridge.bitrix24.limiter import Observation, Priority, Seen

LIMITS = limiter.LocalLimits(requests_per_second=2.0, burst=3, back_off_seconds=5.0)


class Clock:
    """Sleeping moves it on; whoever sleeps shortest wakes first."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._sleepers.append((self.now + seconds, next(self._numbers), awake))
        await awake.wait()

    async def run(self, *calls: asyncio.Task[None]) -> None:
        while not all(call.done() for call in calls):
            for _ in range(10):
                await asyncio.sleep(0)
            if self._sleepers:
                first = min(self._sleepers)
                self._sleepers.remove(first)
                self.now = max(self.now, first[0])
                first[2].set()


def local(clock: Clock) -> limiter.LocalLimiter:
    return limiter.LocalLimiter(
        LIMITS, clock=lambda: clock.now, wall=lambda: clock.now + 5000, sleep=clock.sleep
    )


async def test_a_burst_goes_at_once_and_the_rest_at_the_portals_pace() -> None:
    clock = Clock()
    limits = local(clock)
    times: list[float] = []

    async def call() -> None:
        await limits.acquire("p", priority=Priority.STATUSES)
        times.append(clock.now - 1000)

    await clock.run(*[asyncio.create_task(call()) for _ in range(6)])
    assert times == [0, 0, 0, 0.5, 1.0, 1.5]


async def test_portals_do_not_share_a_limit() -> None:
    clock = Clock()
    limits = local(clock)
    for portal in ("a", "b", "a", "b", "a", "b"):
        await limits.acquire(portal, priority=Priority.STATUSES)
    assert clock.now == 1000


async def test_urgent_calls_overtake() -> None:
    clock = Clock()
    limits = local(clock)
    for _ in range(3):
        await limits.acquire("p", priority=Priority.VERIFICATION)
    order: list[Priority] = []

    async def call(priority: Priority) -> None:
        await limits.acquire("p", priority=priority)
        order.append(priority)

    await clock.run(*[asyncio.create_task(call(p)) for p in reversed(Priority)])
    assert order == list(Priority)


async def test_after_a_503_everybody_waits() -> None:
    clock = Clock()
    limits = local(clock)
    await limits.observed("p", Observation(Seen.RATE_LIMITED))
    await clock.run(asyncio.create_task(limits.acquire("p", priority=Priority.TOKENS)))
    assert clock.now == 1005


async def test_a_blocked_portal_refuses_at_once() -> None:
    clock = Clock()
    limits = local(clock)
    await limits.observed("p", Observation(Seen.OVERLOADED))
    with pytest.raises(errors.Overloaded):
        await limits.acquire("p", priority=Priority.TOKENS)
    await limits.acquire("other", priority=Priority.TOKENS)
    clock.now += 600
    await limits.acquire("p", priority=Priority.TOKENS)


@pytest.mark.parametrize(("reset_at", "reset_seconds"), [(6030, 30), (None, 600)])
async def test_only_the_method_that_is_over_its_time_stops(reset_at: int | None, reset_seconds: int) -> None:
    clock = Clock()
    limits = local(clock)
    await limits.observed("p", Observation(Seen.OPERATING_TIME_OVER, method="a", reset_at=reset_at))
    with pytest.raises(errors.OperatingTimeOver) as raised:
        await limits.acquire("p", priority=Priority.STATUSES, method="a")
    assert raised.value.reset_at == 6000 + reset_seconds
    await limits.acquire("p", priority=Priority.STATUSES, method="b")
    await limits.acquire("p", priority=Priority.STATUSES)
    clock.now += reset_seconds
    await limits.acquire("p", priority=Priority.STATUSES, method="a")


async def test_who_gives_up_waiting_is_not_waited_for() -> None:
    clock = Clock()
    limits = local(clock)
    for _ in range(3):
        await limits.acquire("p", priority=Priority.STATUSES)
    impatient = asyncio.create_task(limits.acquire("p", priority=Priority.TOKENS))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await clock.run(asyncio.create_task(limits.acquire("p", priority=Priority.STATUSES)))
    assert clock.now == 1000.5
