"""What SMSC's answers do to an account and to the egress, whichever role hears them: guarantees 6."""

import asyncio

import pytest

from smsbridge.core.account import Said
from smsbridge.store import tags
from smsbridge.store.account import AccountLimits, Accounts, Pause
from smsbridge.store.care import Care
from smsbridge.store.connection import Store
from smsbridge.store.egress import Egress, EgressSettings
from tests.store import messages

KEY, OTHER = "ab" * 16, "cd" * 16
PROVIDER = messages.provider()
SETTINGS = EgressSettings()


def accounts(store: Store) -> Accounts:
    return Accounts(store, AccountLimits())


def care(store: Store) -> Care:
    """As each role has its own."""
    return Care(accounts(store), Egress(store, SETTINGS))


async def stop_ms(store: Store) -> int:
    return int(await store.redis.pttl(f"{tags.EGRESS}stop"))


async def time_passes(store: Store) -> None:
    """The stop that stands is over."""
    await store.redis.delete(f"{tags.EGRESS}stop")


@pytest.mark.parametrize("said", list(Said))
async def test_what_pauses_and_what_stops(store: Store, said: Said) -> None:
    one = care(store)
    await one.heed(KEY, PROVIDER, said)
    paused = {Said.LOGIN: "login", Said.MONEY: "money", Said.BLOCKED: "blocked"}.get(said, "")
    assert await one.stopped(KEY) == paused
    assert await one.stopped(OTHER) == ("blocked" if said is Said.BLOCKED else "")


async def test_a_block_stops_for_longer_each_time(store: Store) -> None:
    lengths = []
    for _ in range(3):
        await care(store).heed(KEY, PROVIDER, Said.BLOCKED)
        lengths.append(await stop_ms(store))
        await time_passes(store)
    assert 0 < lengths[0] <= 600_000 < min(lengths[1:]) <= max(lengths[1:]) <= 1_800_000


async def test_one_block_that_many_hear_of_counts_once(store: Store) -> None:
    """Whoever had a request under way is told of it."""
    roles = [care(store) for _ in range(8)]
    assert [await one.stopped_seconds() for one in roles] == [0.0] * 8  # each has looked just now
    await asyncio.gather(*(one.heed(KEY, PROVIDER, Said.BLOCKED) for one in roles))
    assert 0 < await stop_ms(store) <= 600_000
    assert [await one.stopped(OTHER) for one in roles] == ["blocked"] * 8


async def test_fifty_bad_requests_in_a_row_stop_the_egress(store: Store) -> None:
    roles = [care(store), care(store)]
    for _ in range(49):
        await roles[0].heed(KEY, PROVIDER, Said.BAD_REQUEST)
    await roles[1].heed(OTHER, PROVIDER, Said.GOOD)
    for number in range(50):
        assert await stop_ms(store) < 0
        await roles[number % 2].heed(KEY, PROVIDER, Said.BAD_REQUEST)
    assert 0 < await stop_ms(store) <= 600_000
    assert await care(store).stopped(OTHER) == "bad_requests"
    await time_passes(store)
    await roles[0].heed(KEY, PROVIDER, Said.BAD_REQUEST)  # the count has begun anew
    assert await stop_ms(store) < 0


async def test_a_block_does_not_shorten_or_count_over_a_stop_that_stands(store: Store) -> None:
    for _ in range(50):
        await care(store).heed(KEY, PROVIDER, Said.BAD_REQUEST)
    await care(store).heed(KEY, PROVIDER, Said.BLOCKED)
    assert await care(store).stopped(KEY) == "bad_requests"
    await time_passes(store)
    await care(store).heed(KEY, PROVIDER, Said.BLOCKED)
    assert 0 < await stop_ms(store) <= 600_000


async def test_three_wrong_logins_of_any_account_are_the_most(store: Store) -> None:
    egress = Egress(store, SETTINGS)
    for key in (KEY, OTHER, KEY):
        assert await egress.login_allowed()
        await care(store).heed(key, PROVIDER, Said.LOGIN)
    assert not await egress.login_allowed()


async def test_without_money_the_balance_is_looked_at_once_and_then_as_planned(store: Store) -> None:
    one = accounts(store)
    assert await one.pause(KEY, Pause.MONEY)
    assert (await one.probe_due(KEY, lease_seconds=15))["reason"] == "money"
    await one.schedule_probe(KEY, in_seconds=60)
    assert not await one.pause(KEY, Pause.MONEY)  # another message that had no money
    assert "reason" not in await one.probe_due(KEY, lease_seconds=15)


async def test_a_refused_probe_does_not_bring_the_next_one_nearer(store: Store) -> None:
    one = accounts(store)
    assert await one.pause(KEY, Pause.LOGIN)
    await one.schedule_probe(KEY, in_seconds=1800)
    before = (await one.state(KEY)).next_probe_at_ms
    assert not await one.pause(KEY, Pause.LOGIN)
    assert (await one.state(KEY)).next_probe_at_ms == before


def test_the_probes_of_a_pause() -> None:
    limits = AccountLimits()
    login = [limits.first_probe_seconds(Pause.LOGIN)]
    login += [limits.next_probe_seconds(Pause.LOGIN, probes) for probes in range(1, 6)]
    assert login == [30, 120, 600, 1800, 1800, 1800]
    assert limits.first_probe_seconds(Pause.MONEY) == 0
    assert [limits.next_probe_seconds(Pause.MONEY, probes) for probes in range(1, 4)] == [60, 60, 60]
