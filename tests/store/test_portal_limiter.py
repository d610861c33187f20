"""A portal's limits on a real Valkey: rate, priorities, back-off, and operating time to its edge."""

import asyncio
import time

import pytest

from smsbridge.bitrix24.limiter import Limiter, Observation, Priority, Seen
from smsbridge.store import connection, tags
from smsbridge.store.portal_limiter import Held, PortalLimiter, PortalLimits

PORTAL = "m1"
METHOD = "messageservice.message.status.update"


async def admitted(limiter: PortalLimiter, priority: Priority, most: int = 100) -> int:
    """How many go at once."""
    for count in range(most):
        if (await limiter.turn(PORTAL, priority=priority)).wait_seconds > 0:
            return count
        await limiter.acquire(PORTAL, priority=priority)
    return most


async def leaked(store: connection.Store, seconds: float) -> None:
    """The bucket leaks for so long: its last look is so much older."""
    key = tags.portal(PORTAL) + "bk"
    at = float(await store.redis.hget(key, "at"))
    await store.redis.hset(key, "at", int(at - seconds * 1000))


def slow(store: connection.Store, **limits: float) -> PortalLimiter:
    """Leaks so slowly that a test's own duration does not matter."""
    return PortalLimiter(store, PortalLimits.model_validate({"requests_per_second": 0.001, **limits}))


async def test_it_is_a_limiter_of_the_client(store: connection.Store) -> None:
    limiter: Limiter = PortalLimiter(store)
    await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)


async def test_the_burst_stays_below_the_portal_s_and_leaves_room_for_higher_priorities(
    store: connection.Store,
) -> None:
    limiter = slow(store)
    counts = [await admitted(limiter, priority) for priority in reversed(Priority)]
    assert sum(counts) == 45


async def test_lower_priorities_stop_first(store: connection.Store) -> None:
    limiter = slow(store, verification_share=0)
    counts = [await admitted(limiter, priority) for priority in reversed(Priority)]
    assert counts == [33, 3, 3, 3, 3]


async def test_it_lets_through_what_leaks(store: connection.Store) -> None:
    limiter = slow(store)
    await admitted(limiter, Priority.STATUSES)
    turn = await limiter.turn(PORTAL, priority=Priority.STATUSES)
    assert turn.why == "rate"
    assert 990 < turn.wait_seconds <= 1000
    await leaked(store, 2000)
    assert await admitted(limiter, Priority.STATUSES) == 2


async def test_two_a_second_in_the_long_run_whatever_the_callers_do(store: connection.Store) -> None:
    limits = PortalLimits(requests_per_second=200, burst=10, priority_step=0)
    one, two = PortalLimiter(store, limits), PortalLimiter(store, limits)
    started = time.monotonic()

    async def call(limiter: PortalLimiter) -> None:
        for _ in range(50):
            await limiter.acquire(PORTAL, priority=Priority.STATUSES)

    await asyncio.gather(call(one), call(two))
    assert time.monotonic() - started >= 90 / 200  # a hundred, less the burst


async def test_verification_keeps_a_twentieth(store: connection.Store) -> None:
    limiter = slow(store)
    await admitted(limiter, Priority.STATUSES)
    counts = dict.fromkeys(Priority, 0)
    for _ in range(400):
        await leaked(store, 1000)  # room for one more
        for priority in (Priority.STATUSES, Priority.VERIFICATION):
            turn = await limiter.turn(PORTAL, priority=priority)
            if turn.wait_seconds == 0:
                await limiter.acquire(PORTAL, priority=priority)
                counts[priority] += 1
    share = counts[Priority.VERIFICATION] / sum(counts.values())
    assert 0.045 <= share <= 0.06
    assert sum(counts.values()) <= 405  # the share is of the whole, not on top of it


async def test_who_would_wait_too_long_is_sent_away(store: connection.Store) -> None:
    limiter = slow(store, patience_seconds=0.05)
    await admitted(limiter, Priority.STATUSES)
    with pytest.raises(Held) as held:
        await limiter.acquire(PORTAL, priority=Priority.STATUSES)
    assert held.value.why == "rate"
    assert held.value.retryable


async def test_503_backs_off_and_doubles(store: connection.Store) -> None:
    limiter = PortalLimiter(store)
    waits = []
    for _ in range(8):
        await limiter.observed(PORTAL, Observation(Seen.RATE_LIMITED))
        waits.append(round((await limiter.turn(PORTAL, priority=Priority.TOKENS)).wait_seconds))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_overload_stops_the_portal_and_raises_a_condition(store: connection.Store) -> None:
    limiter = PortalLimiter(store)
    await limiter.observed(PORTAL, Observation(Seen.OVERLOADED))
    turn = await limiter.turn(PORTAL, priority=Priority.TOKENS)
    assert (turn.stopped, turn.why) == (True, "overload")
    assert 1790 < turn.wait_seconds <= 1800
    assert list(await limiter.conditions(PORTAL)) == ["overload"]
    with pytest.raises(Held):
        await limiter.acquire(PORTAL, priority=Priority.TOKENS)
    await limiter.observed(PORTAL, Observation(Seen.OPERATING, METHOD, 1.0, int(time.time()) + 600))
    assert await limiter.conditions(PORTAL) == {}


async def test_429_stops_that_method_until_its_reset(store: connection.Store) -> None:
    limiter = PortalLimiter(store)
    reset_at = int(time.time()) + 100
    await limiter.observed(PORTAL, Observation(Seen.OPERATING_TIME_OVER, METHOD, reset_at=reset_at))
    turn = await limiter.turn(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
    assert (turn.stopped, turn.why) == (True, "operating_time_over")
    assert 95 < turn.wait_seconds <= 100
    assert (
        await limiter.turn(PORTAL, priority=Priority.STATUSES, method="crm.item.update")
    ).wait_seconds == 0


async def used(limiter: PortalLimiter, seconds: float, *, reset_in: int = 600) -> None:
    reset_at = int(time.time()) + reset_in
    await limiter.observed(PORTAL, Observation(Seen.OPERATING, METHOD, seconds, reset_at))


async def turn(limiter: PortalLimiter, commands: int = 50) -> tuple[float, str]:
    found = await limiter.turn(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=commands)
    return found.wait_seconds, found.why


async def test_operating_time_is_free_below_80_percent(store: connection.Store) -> None:
    limiter = PortalLimiter(store)
    await used(limiter, 380)
    for _ in range(3):
        assert (await turn(limiter))[0] == 0
        await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)


async def test_operating_time_is_paced_from_80_percent_on(store: connection.Store) -> None:
    limiter = PortalLimiter(store, PortalLimits(operating_cost_seconds=0.02))
    await used(limiter, 400)
    await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
    wait, why = await turn(limiter)
    assert why == "operating"
    assert 1.0 < wait <= 1.25  # 50 x 20 ms at 480 s in 600 s


async def test_operating_time_stops_before_the_limit(store: connection.Store) -> None:
    limiter = PortalLimiter(store, PortalLimits(operating_cost_seconds=0.02))
    await used(limiter, 465.5)
    wait, why = await turn(limiter)
    assert why == "operating"
    assert 538 < wait <= 603  # until the portal forgets: ten buckets of a minute
    assert (await turn(limiter, commands=1))[1] != "rate"


async def test_what_is_under_way_counts_already(store: connection.Store) -> None:
    limiter = PortalLimiter(store, PortalLimits(operating_cost_seconds=0.1, operating_slow_share=1.0))
    await used(limiter, 452)
    for _ in range(2):  # 5 s each: 457 and 462 of 465.6
        await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
    assert (await turn(limiter))[1] == "operating"


async def test_answers_of_overlapping_batches_may_come_in_any_order(store: connection.Store) -> None:
    """Four of a second each: a lower figure is not the newer one, a higher one not the cost of one batch."""
    limits = PortalLimits(operating_limit_seconds=6, operating_cost_seconds=0.02)
    limiter = PortalLimiter(store, limits)
    await used(limiter, 0.001)
    for _ in range(4):
        await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
    for seconds in (2, 1, 4, 3):
        await used(limiter, seconds)
    assert (await turn(limiter, commands=91)) == (0, "")  # 4 s and 91 x 20 ms, of 5.82 s
    assert (await turn(limiter, commands=92))[1] == "operating"


async def test_a_lower_limit_is_learned_from_a_429(store: connection.Store) -> None:
    limiter = PortalLimiter(store)
    await used(limiter, 300)
    await limiter.observed(
        PORTAL, Observation(Seen.OPERATING_TIME_OVER, METHOD, reset_at=int(time.time()) - 5)
    )
    await store.redis.hset(f"{tags.portal(PORTAL)}om:{METHOD}", "stop", 0)
    assert (await turn(limiter))[1] == "operating"


class Bitrix:
    """The portal's own operating time: ten buckets of a minute, checked before every command."""

    def __init__(self, *, limit: float, cost: float) -> None:
        self.limit, self.cost = limit, cost
        self.buckets: dict[int, float] = {}
        self.done = self.refused = 0

    def batch(self, now: float, commands: int, *, oldest: bool) -> tuple[float, int]:
        """The sum, and when the oldest or the newest bucket is forgotten."""
        minute = int(now // 60)
        for _ in range(commands):
            total = sum(s for m, s in self.buckets.items() if m > minute - 10)
            if total >= self.limit:
                self.refused += 1
                continue
            self.buckets[minute] = self.buckets.get(minute, 0.0) + self.cost
            self.done += 1
        kept = {m: s for m, s in self.buckets.items() if m > minute - 10}
        return sum(kept.values()), ((min(kept) if oldest else minute) + 10) * 60


@pytest.mark.parametrize("oldest", [True, False])
async def test_nearly_all_operating_time_is_used_and_nothing_is_refused(
    store: connection.Store, oldest: bool
) -> None:
    """Half an hour of a portal that takes 100 ms an update. Its clock is the test's: the marks move."""
    limits = PortalLimits(requests_per_second=1000, burst=45)
    limiter = PortalLimiter(store, limits)
    portal = Bitrix(limit=480, cost=0.1)
    base = start = time.time()
    now = start
    marks = (f"{tags.portal(PORTAL)}ob:{METHOD}", f"{tags.portal(PORTAL)}om:{METHOD}")
    while now < start + 1800:
        found = await limiter.turn(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
        if found.wait_seconds > 0:
            step = min(found.wait_seconds, 60.0)
            now += step
            await _shift(store, marks, step)
            continue
        await limiter.acquire(PORTAL, priority=Priority.STATUSES, method=METHOD, commands=50)
        total, reset = portal.batch(now, 50, oldest=oldest)
        await limiter.observed(
            PORTAL, Observation(Seen.OPERATING, METHOD, total, round(base + (reset - now)))
        )
        now += 0.5
        await _shift(store, marks, 0.5)
    assert portal.refused == 0
    assert portal.done * portal.cost >= 0.95 * 480 * 3


async def _shift(store: connection.Store, marks: tuple[str, str], seconds: float) -> None:
    """Time passes for what the limiter remembers: everything is so much nearer."""
    buckets, meta = marks
    found = await store.redis.hgetall(buckets)
    if found:
        moved: dict[str, float] = {}
        for reset, value in found.items():
            name = f"{float(reset) - seconds:.3f}"
            moved[name] = moved.get(name, 0.0) + float(value)
        await store.redis.delete(buckets)
        await store.redis.hset(buckets, mapping=moved)
    pace = await store.redis.hget(meta, "next")
    if pace is not None:
        await store.redis.hset(meta, "next", float(pace) - seconds * 1000)
