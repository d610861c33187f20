"""Look-ups in the store: who buys, with what money, and that every step may be repeated."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from smsbridge.core.number import Reachability
from smsbridge.store import tags
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from smsbridge.store.lookups import End, Lookups, Spending, Standing

KEY, UID = "acc", "p1"
PHONE, OTHER, THIRD = "79991234500", "79991234501", "79991234502"
HOUR = 3_600_000
AGES = dict.fromkeys(Reachability, HOUR)
RING = Keyring([bytes(range(32))])
ACTIVE = End(
    PHONE, "known", reachability=Reachability.ACTIVE, carrier="MTS", region="Москва", cost=Decimal("0.3"),
    keep_ms=HOUR,
)  # fmt: skip


@pytest.fixture
def lookups(store: Store) -> Lookups:
    return Lookups(store, RING)


async def begin(
    lookups: Lookups, *phones: str, look_id: str = "L1", budget: str = "10", later: int = 0, uid: str = UID,
    life_ms: int = HOUR,
) -> list[Standing]:  # fmt: skip
    return await lookups.begin(
        KEY, phones, look_id=look_id, provider_uid=uid, budget=Decimal(budget), price=Decimal("0.5"),
        life_ms=life_ms, ages=AGES, asked_about_in_ms=later,
    )  # fmt: skip


def spending(reserved: str, spent: str, estimated: str = "0") -> Spending:
    return Spending(Decimal(reserved), Decimal(spent), Decimal(estimated))


async def test_a_look_up_is_reserved_once_and_settled_once(lookups: Lookups) -> None:
    for _ in range(2):
        assert await begin(lookups, PHONE) == [Standing(mine=True)]
        assert await lookups.spending(KEY, UID) == spending("0.5", "0")
    for changed in (1, 0):
        ended = await lookups.end(KEY, "L1", [ACTIVE])
        assert (ended.changed, ended.spent) == (changed, Decimal("0.3") * changed)
        assert await lookups.spending(KEY, UID) == spending("0", "0.3")
    (standing,) = await lookups.read(KEY, [PHONE], ages=AGES)
    assert standing.known is not None
    known = standing.known
    assert (known.reachability, known.carrier, known.region) == (Reachability.ACTIVE, "MTS", "Москва")
    assert (known.cost, known.estimated, standing.pending) == (Decimal("0.3"), False, False)
    assert [one.mine for one in await begin(lookups, PHONE, look_id="L2")] == [False]


async def test_who_comes_second_waits_and_cannot_end_it(lookups: Lookups) -> None:
    await begin(lookups, PHONE)
    (second,) = await begin(lookups, PHONE, look_id="L2", uid="p2")
    assert (second.mine, second.pending, second.look_id) == (False, True, "L1")
    assert (await lookups.end(KEY, "L2", [ACTIVE])).changed == 0
    assert await lookups.spending(KEY, "p2") == spending("0", "0")
    assert await lookups.spending(KEY, UID) == spending("0.5", "0")


async def test_a_budget_is_never_exceeded_however_many_race(lookups: Lookups) -> None:
    phones = [f"7999{n:07d}" for n in range(40)]
    found = await asyncio.gather(
        *(begin(lookups, phone, look_id=f"L{n}", budget="3.2") for n, phone in enumerate(phones))
    )
    standings = [standing for (standing,) in found]
    assert sum(one.mine for one in standings) == 6
    assert sum(one.over_budget for one in standings) == 34
    assert await lookups.spending(KEY, UID) == spending("3", "0")


async def test_of_a_request_as_many_are_bought_as_there_is_money_for(lookups: Lookups) -> None:
    found = await begin(lookups, PHONE, OTHER, THIRD, budget="1")
    assert [(one.mine, one.over_budget) for one in found] == [(True, False), (True, False), (False, True)]


async def test_a_failure_gives_the_money_back_and_is_not_tried_at_once(lookups: Lookups) -> None:
    await begin(lookups, PHONE)
    failed = End(PHONE, "failed", reason="money", rest_ms=300)
    for changed in (1, 0):
        assert (await lookups.end(KEY, "L1", [failed])).changed == changed
        assert await lookups.spending(KEY, UID) == spending("0", "0")
    assert [one.failed for one in await begin(lookups, PHONE, look_id="L2")] == ["money"]
    await asyncio.sleep(0.35)
    assert await begin(lookups, PHONE, look_id="L3") == [Standing(mine=True)]


async def test_what_nobody_knows_counts_as_spent_and_rests(lookups: Lookups) -> None:
    await begin(lookups, PHONE)
    resting = End(PHONE, "unanswered", rest_ms=300)
    for _ in range(2):
        await lookups.end(KEY, "L1", [resting])
        assert await lookups.spending(KEY, UID) == spending("0", "0.5", "0.5")
    (standing,) = await begin(lookups, PHONE, look_id="L2")
    assert (standing.unanswered, standing.pending, standing.mine) == (True, False, False)
    await asyncio.sleep(0.35)
    assert await begin(lookups, PHONE, look_id="L3") == [Standing(mine=True)]
    assert await lookups.spending(KEY, UID) == spending("0.5", "0.5", "0.5")


async def test_an_intent_that_nobody_ended_counts_as_spent_when_the_next_begins(lookups: Lookups) -> None:
    await begin(lookups, PHONE, life_ms=100)
    await asyncio.sleep(0.15)
    assert await begin(lookups, PHONE, look_id="L2") == [Standing(mine=True)]
    assert await lookups.spending(KEY, UID) == spending("0.5", "0.5", "0.5")
    assert (await lookups.end(KEY, "L1", [ACTIVE])).changed == 0


async def test_results_that_come_later_are_paid_heard_and_known(lookups: Lookups) -> None:
    await begin(lookups, PHONE, OTHER, later=50)
    paid = [End(phone, "paid", cost=Decimal("0.2")) for phone in (PHONE, OTHER)]
    for spent in ("0.4", "0"):
        ended = await lookups.end(KEY, "L1", paid, state="taken", next_ms=60_000)
        assert ended.spent == Decimal(spent)
    assert await lookups.take(KEY, lease_ms=1000) == pytest.approx(60_000, abs=1000)
    heard = replace(ACTIVE, how="heard", region="")
    for _ in range(2):
        await lookups.end(KEY, "L1", [heard], next_ms=0, hurry=True)
    first, second = await lookups.read(KEY, [PHONE, OTHER], ages=AGES)
    assert first.known is not None
    assert (first.known.region, first.pending) == ("", True)
    assert (second.known, second.pending) == (None, True)
    look = await lookups.take(KEY, lease_ms=1000)
    assert not isinstance(look, int)
    assert (look.id, look.provider_uid, look.msisdns, look.state) == ("L1", UID, (PHONE, OTHER), "taken")
    assert isinstance(await lookups.take(KEY, lease_ms=1000), int)  # its lease is ours
    for _ in range(2):
        await lookups.end(KEY, "L1", [ACTIVE, replace(ACTIVE, msisdn=OTHER)], close=True)
        assert await lookups.take(KEY, lease_ms=1000) == -1
    assert await lookups.spending(KEY, UID) == spending("0", "0.4")


async def test_only_what_is_ours_is_part_of_a_later_look_up(lookups: Lookups) -> None:
    await begin(lookups, OTHER)
    found = await begin(lookups, PHONE, OTHER, THIRD, look_id="L2", later=1)
    assert [one.mine for one in found] == [True, False, True]
    await asyncio.sleep(0.01)
    look = await lookups.take(KEY, lease_ms=1000)
    assert not isinstance(look, int)
    assert (look.msisdns, look.state, look.not_found) == ((PHONE, THIRD), "asked", 0)


async def test_a_look_up_that_nobody_ends_is_taken_by_the_next(lookups: Lookups) -> None:
    await begin(lookups, PHONE, later=1)
    await asyncio.sleep(0.01)
    assert not isinstance(await lookups.take(KEY, lease_ms=100), int)
    await asyncio.sleep(0.15)
    assert not isinstance(await lookups.take(KEY, lease_ms=100), int)


async def test_each_outcome_has_its_own_age(lookups: Lookups) -> None:
    await begin(lookups, PHONE)
    await lookups.end(KEY, "L1", [ACTIVE])
    (old,) = await lookups.read(KEY, [PHONE], ages=AGES | {Reachability.ACTIVE: 0})
    (fresh,) = await lookups.read(KEY, [PHONE], ages=AGES | {Reachability.ABSENT: 0})
    assert (old.known, fresh.known is None) == (None, False)


async def test_numbers_are_digests_that_go_by_themselves(lookups: Lookups, store: Store) -> None:
    await begin(lookups, PHONE, later=1000)
    await lookups.end(KEY, "L1", [ACTIVE])
    keys = await store.keys(tags.account(KEY))
    kinds = {key.decode().partition("}:")[2].partition(":")[0] for key in keys}
    assert kinds - {"mark"} == {"n", "hb", "look", "looks"}
    for key in keys:
        value = await store.redis.hgetall(key) if await store.redis.type(key) == b"hash" else {}
        assert PHONE not in str((key, value))
    (number,) = [key for key in keys if b"}:n:" in key]
    assert HOUR < await store.redis.pttl(number) <= HOUR + 86_400_000


async def test_a_changed_master_key_still_finds_what_the_old_one_kept(store: Store, lookups: Lookups) -> None:
    await begin(lookups, PHONE)
    await lookups.end(KEY, "L1", [ACTIVE])
    rotated = Lookups(store, Keyring([bytes(range(1, 33)), bytes(range(32))]))
    for _ in range(2):
        (standing,) = await rotated.read(KEY, [PHONE], ages=AGES)
        assert standing.known is not None


async def test_a_price_is_believed_for_a_while(lookups: Lookups) -> None:
    assert await lookups.price(KEY) is None
    await lookups.saw_price(KEY, Decimal("0.35"), seconds=0.2)
    assert await lookups.price(KEY) == Decimal("0.35")
    await asyncio.sleep(0.25)
    assert await lookups.price(KEY) is None
