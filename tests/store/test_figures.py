"""Figures that the store keeps or tells, on a real Valkey: ages, repeats, the portal's headroom, the disk."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from smsbridge.bitrix24.limiter import Observation, Priority, Seen
from smsbridge.core.message import Origin
from smsbridge.store import connection, embedded, persistence
from smsbridge.store.portal_limiter import PortalLimiter, PortalLimits
from smsbridge.store.portal_outbox import PortalOutbox, Result, Written
from tests.conftest import store_settings
from tests.store import messages
from tests.store.journey import Journey, now_ms

METHOD = "messageservice.message.status.update"


@pytest.fixture
async def quick(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    """Nothing is too early to be written to the portal."""
    made = connection.Store.connect(store_settings(valkey, times={"portal_quiet_ms": 0}))
    await made.redis.flushall()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def way(quick: connection.Store) -> Journey:
    return Journey(quick, messages.provider())


async def ages(way: Journey) -> tuple[dict[str, int], dict[str, int]]:
    """Counts by stage, label and class; sums (ms) by stage and label."""
    found = (await way.deliveries.ledger(way.uid)).ages
    counts = {name: count for name, count in found.items() if not name.endswith("|sum")}
    return counts, {name.removesuffix("|sum"): n for name, n in found.items() if name.endswith("|sum")}


async def write(way: Journey) -> int:
    """Everything that waits for the portal is written; answers how much."""
    box = PortalOutbox(way.store)
    taken = await box.take(way.uid, token="t", most=50)
    results = [Result(entry, Written.WRITTEN) for entry in taken.entries]
    return (await box.settle(way.uid, token="t", results=results))["written"]


async def test_each_stage_counts_a_message_once(way: Journey) -> None:
    card = await way.sent([1, 2], accepted_at_ms=now_ms() - 7_000)
    [letter] = await way.accepted([3], origin=Origin.MARKETING, accepted_at_ms=now_ms() - 90_000)
    await way.pump(lane="bulk")

    counts, sums = await ages(way)
    assert counts == {"smsc|interactive|10000": 2, "smsc|bulk|300000": 1}
    assert sums["smsc|bulk"] >= 90_000

    for mid, code in ((card[0], 1), (card[1], 20), (letter, 1)):
        await way.say(mid, code)
        await way.say(mid, code)  # a repeat is no news
    assert await write(way) == 3
    assert await write(way) == 0

    counts, sums = await ages(way)
    stages: Counter[str] = Counter()
    for name, count in counts.items():
        stage, label, _ = name.split("|")
        stages[f"{stage}|{label}"] += count
    arrived = stages["delivered|sms"] + stages["delivered|viber"]
    assert stages["smsc|interactive"] == stages["portal|interactive"] == 2
    assert stages["smsc|bulk"] == stages["portal|bulk"] == 1
    assert arrived == 3
    assert stages["portal_delay|"] == 3
    assert sums["portal|bulk"] >= 90_000 > sums["portal_delay|"]


async def test_what_is_refused_at_the_door_is_written_without_having_been_sent(way: Journey) -> None:
    await way.accepted([1], recipient="nobody")
    assert await write(way) == 1

    counts, _ = await ages(way)
    assert {name.split("|")[0] for name in counts} == {"portal", "portal_delay"}
    assert (await way.deliveries.ledger(way.uid)).ends == {"failed|BadNumber": 1}


async def test_repeats_are_counted(way: Journey) -> None:
    for _ in range(3):
        await way.accepted([1, 2])
    assert (await way.deliveries.ledger(way.uid)).duplicates == 4


async def test_the_headroom_of_a_portal_that_nobody_called(store: connection.Store) -> None:
    found = await PortalLimiter(store).headroom("m1", method=METHOD)
    assert (found.requests_ratio, found.operating_ratio, found.cost_seconds) == (0.0, 0.0, 0.05)


async def test_the_headroom_shrinks_with_requests_and_operating_time(store: connection.Store) -> None:
    limiter = PortalLimiter(store, PortalLimits(requests_per_second=0.001))
    for _ in range(9):
        await limiter.acquire("m1", priority=Priority.STATUSES, method=METHOD, commands=50)
    reset_at = now_ms() // 1000 + 600
    seen = Observation(Seen.OPERATING, method=METHOD, operating_seconds=120.0, reset_at=reset_at)
    await limiter.observed("m1", seen)

    found = await limiter.headroom("m1", method=METHOD)
    assert found.requests_ratio == pytest.approx(9 / 45, abs=0.001)
    assert found.operating_ratio == pytest.approx(120 / 480)
    assert (await limiter.headroom("m1", method="crm.contact.list")).operating_ratio == 0


async def test_a_store_that_is_well_says_so(store: connection.Store) -> None:
    assert await persistence.checks(store) == dict.fromkeys(persistence.CHECKS, True)
