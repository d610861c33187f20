"""Verifications in the store: whose they are, what a repeat changes, who takes them over, and who pays."""

import asyncio
from decimal import Decimal

import pytest

from smsbridge.core.errand import EntityType
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.core.verification import Quote, Source, State
from smsbridge.store import tags
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from smsbridge.store.lookups import End, Lookups, Spending
from smsbridge.store.verifications import Done, Record, Spent, Verifications

UID, ID, KEY = "p1", "V1", "acc"
PHONES = [f"7999{n:07d}" for n in range(120)]
RING = Keyring([bytes(range(32))])
LEASE = 60_000
QUOTE = Quote(120, 100, 20, Decimal("0.5"), Decimal(50), estimated=True, seconds=60)
CONTACTS = Source(EntityType.CONTACT, {"TYPE_ID": "CLIENT"})


@pytest.fixture
def verifications(store: Store) -> Verifications:
    return Verifications(store, RING, kept_days=30, unconfirmed_days=7)


def known(msisdn: str, outcome: Reachability = Reachability.ACTIVE) -> Facts:
    return Facts(msisdn, LookupState.KNOWN, outcome, "MTS", "Москва", 1000)


def page(after: int, next: int, *msisdns: str, **entities: int) -> Done:
    return Done(after, next, {"done": len(msisdns), **entities}, {m: known(m) for m in msisdns})


async def record(verifications: Verifications) -> Record:
    found = await verifications.get(UID, ID)
    assert found is not None
    return found


async def running(verifications: Verifications, token: str = "T1", source: Source = CONTACTS) -> None:
    """Confirmed, and the token's own."""
    await verifications.make(UID, ID, source)
    assert await verifications.take(UID, "T0", lease_ms=LEASE) == ID
    assert await verifications.quoted(UID, ID, "T0", QUOTE, account_key=KEY, before=Spent(), entities=0)
    assert await verifications.confirm(UID, ID, roubles=Decimal(50), allowed=Decimal(50))
    assert await verifications.take(UID, token, lease_ms=LEASE) == ID


async def test_from_its_making_to_its_end(verifications: Verifications, store: Store) -> None:
    for _ in range(2):
        await verifications.make(UID, ID, CONTACTS)
    made = await record(verifications)
    assert (made.state, made.source, made.quote, made.cursor) == (State.QUOTING, CONTACTS, None, 0)
    assert await verifications.take(UID, "T0", lease_ms=LEASE) == ID
    assert await verifications.take(UID, "T9", lease_ms=LEASE) == ""
    for answer in (True, False):  # it is nobody's after the first
        given = verifications.quoted(UID, ID, "T0", QUOTE, account_key=KEY, before=Spent(), entities=0)
        assert await given is answer
    assert (await record(verifications)).quote == QUOTE
    assert await verifications.take(UID, "T9", lease_ms=LEASE) == ""
    assert not await verifications.confirm(UID, ID, roubles=Decimal(49), allowed=Decimal(49))
    for answer in (True, False):
        assert await verifications.confirm(UID, ID, roubles=Decimal(50), allowed=Decimal(60)) is answer
    assert (await record(verifications)).allowed == 60
    assert await verifications.take(UID, "T1", lease_ms=LEASE) == ID
    for answer in (True, False):
        assert await verifications.end(UID, ID, "T1", State.DONE) is answer
    assert (await record(verifications)).state is State.DONE
    assert await verifications.take(UID, "T1", lease_ms=0 + LEASE) == ""
    assert [one.id for one in await verifications.all(UID)] == [ID]


async def test_a_repeated_page_counts_nothing_again(verifications: Verifications) -> None:
    await running(verifications)
    first = page(0, 50, *PHONES[:2], written=2)
    for new in ({"active": 2}, {}):
        assert await verifications.commit(UID, ID, "T1", first, lease_ms=LEASE) == new
    second = page(50, 70, *PHONES[1:3], written=1, unchanged=1)
    for new in ({"active": 1}, {}):  # one of its numbers was on the page before
        assert await verifications.commit(UID, ID, "T1", second, lease_ms=LEASE) == new
    assert await verifications.commit(UID, ID, "T1", first, lease_ms=LEASE) == {}
    found = await record(verifications)
    assert (found.cursor, found.numbers, found.outcomes) == (70, 3, {"active": 3})
    assert found.entities == {"done": 4, "written": 3, "unchanged": 1}
    assert (found.carriers, found.regions) == ({"MTS": 3}, {"Москва": 3})
    assert await verifications.known(UID, ID, PHONES[:4]) == {m: known(m) for m in PHONES[:3]}


async def test_a_page_out_of_its_turn_is_not_taken(verifications: Verifications) -> None:
    await running(verifications)
    assert await verifications.commit(UID, ID, "T1", page(50, 100, PHONES[0]), lease_ms=LEASE) is None
    assert (await record(verifications)).cursor == 0


async def test_who_dies_is_followed_by_another_and_can_do_no_more(verifications: Verifications) -> None:
    await running(verifications)
    assert await verifications.renew(UID, ID, "T1", lease_ms=100)
    assert await verifications.take(UID, "T2", lease_ms=LEASE) == ""
    await asyncio.sleep(0.15)
    takers = [verifications.take(UID, f"N{n}", lease_ms=LEASE) for n in range(5)]
    assert sorted(await asyncio.gather(*takers)) == ["", "", "", "", ID]
    assert not await verifications.renew(UID, ID, "T1", lease_ms=LEASE)
    assert await verifications.commit(UID, ID, "T1", page(0, 50, PHONES[0]), lease_ms=LEASE) is None
    assert not await verifications.end(UID, ID, "T1", State.DONE)
    assert not await verifications.pause(UID, ID, "T1", "money", again_ms=0)
    assert (await record(verifications)).state is State.RUNNING


async def test_what_is_given_back_is_taken_at_once(verifications: Verifications) -> None:
    await running(verifications)
    assert await verifications.renew(UID, ID, "T1", lease_ms=0)
    assert await verifications.take(UID, "T2", lease_ms=LEASE) == ID


async def test_a_pause_keeps_its_place(verifications: Verifications) -> None:
    await running(verifications)
    await verifications.commit(UID, ID, "T1", page(0, 50, PHONES[0]), lease_ms=LEASE)
    assert await verifications.pause(UID, ID, "T1", "quote_used", again_ms=None)
    assert await verifications.take(UID, "T2", lease_ms=LEASE) == ""
    assert await verifications.quote_again(UID, ID)
    assert not await verifications.quote_again(UID, ID)
    assert await verifications.take(UID, "T2", lease_ms=LEASE) == ID
    assert await verifications.pause(UID, ID, "T2", "money", again_ms=0)
    assert await verifications.take(UID, "T3", lease_ms=LEASE) == ID
    assert await verifications.go_on(UID, ID, "T3")
    found = await record(verifications)
    assert (found.state, found.reason, found.cursor, found.numbers) == (State.RUNNING, "", 50, 1)


async def test_cancelling_ends_whoever_works_at_it(verifications: Verifications, store: Store) -> None:
    await running(verifications)
    await verifications.commit(UID, ID, "T1", page(0, 50, PHONES[0]), lease_ms=LEASE)
    assert await verifications.end(UID, ID, "", State.CANCELLED)
    assert not await verifications.renew(UID, ID, "T1", lease_ms=LEASE)
    assert await verifications.commit(UID, ID, "T1", page(50, 100, PHONES[1]), lease_ms=LEASE) is None
    assert await verifications.take(UID, "T2", lease_ms=LEASE) == ""
    assert await verifications.known(UID, ID, PHONES) == {}
    assert (await record(verifications)).outcomes == {"active": 1}


async def test_how_long_it_is_kept(verifications: Verifications, store: Store) -> None:
    day_ms = 86_400_000
    key = f"{tags.provider(UID)}v:{ID}"
    await verifications.make(UID, ID, Source(), PHONES)
    for one in ("v", "vk"):
        assert 6 * day_ms < await store.redis.pttl(f"{tags.provider(UID)}{one}:{ID}") <= 7 * day_ms
    await verifications.take(UID, "T0", lease_ms=LEASE)
    await verifications.quoted(UID, ID, "T0", QUOTE, account_key=KEY, before=Spent(), entities=0)
    await verifications.confirm(UID, ID, roubles=Decimal(50), allowed=Decimal(50))
    assert await store.redis.pttl(key) == -1
    await verifications.end(UID, ID, "", State.CANCELLED)
    assert 29 * day_ms < await store.redis.pttl(key) <= 30 * day_ms
    await store.redis.delete(key)
    assert await verifications.all(UID) == []


async def test_numbers_of_a_file_are_sealed_and_go_with_its_end(
    verifications: Verifications, store: Store
) -> None:
    await running(verifications, source=Source())
    await verifications.end(UID, ID, "", State.CANCELLED)
    await verifications.make(UID, "V2", Source(), PHONES)
    chunks = [await verifications.chunk(UID, "V2", n) for n in range(4)]
    assert chunks == [PHONES[:50], PHONES[50:100], PHONES[100:], []]
    for key in await store.keys(tags.provider(UID)):
        kind = await store.redis.type(key)
        content = str(await store.redis.hgetall(key)) if kind == b"hash" else ""
        assert not any(phone in content for phone in PHONES)
        assert "TYPE_ID" not in content
    await verifications.end(UID, "V2", "", State.CANCELLED)
    assert await verifications.chunk(UID, "V2", 0) == []


async def test_its_quote_pays_and_the_day_does_not(store: Store) -> None:
    """Also for a result that comes later, and whoever brings it."""
    lookups = Lookups(store, RING)
    ages = dict.fromkeys(Reachability, 3_600_000)
    quote = {"provider_uid": UID, "verification": ID, "budget": Decimal("1.2")}
    day = {"provider_uid": UID, "budget": Decimal(0)}

    async def begin(msisdn: str, look_id: str, **how: object) -> list[bool]:
        found = await lookups.begin(
            KEY, [msisdn], look_id=look_id, price=Decimal("0.5"), life_ms=60_000, ages=ages, **how,  # type: ignore[arg-type]
        )  # fmt: skip
        return [found[0].mine, found[0].over_budget]

    async def spent() -> tuple[Spending, Spending]:
        return (
            await lookups.spending(KEY, UID, verification=ID), await lookups.spending(KEY, UID),
        )  # fmt: skip

    nothing = Spending(Decimal(0), Decimal(0), Decimal(0))
    assert await begin(PHONES[0], "L0", **day) == [False, True]
    for _ in range(2):
        assert await begin(PHONES[0], "L1", **quote) == [True, False]
    assert await begin(PHONES[1], "L2", **quote) == [True, False]
    assert await begin(PHONES[2], "L3", **quote) == [False, True]
    assert await spent() == (Spending(Decimal(1), Decimal(0), Decimal(0)), nothing)
    ended = await lookups.end(KEY, "L1", [End(PHONES[0], "paid", cost=Decimal("0.3"))])
    assert (ended.spent, ended.quoted) == (Decimal("0.3"), Decimal("0.3"))
    end = End(PHONES[0], "known", reachability=Reachability.ACTIVE, cost=Decimal("0.3"), keep_ms=60_000)
    await lookups.end(KEY, "L1", [end])
    assert await spent() == (Spending(Decimal("0.5"), Decimal("0.3"), Decimal(0), 1), nothing)
    await lookups.end(KEY, "L2", [End(PHONES[1], "failed", reason="money")])
    assert await spent() == (Spending(Decimal(0), Decimal("0.3"), Decimal(0), 1), nothing)
    rich = {**day, "budget": Decimal(10)}
    assert await begin(PHONES[3], "L4", **rich) == [True, False]
    await lookups.end(KEY, "L4", [End(PHONES[3], "known", cost=Decimal("0.4"), keep_ms=60_000)])
    assert (await spent())[0] == Spending(Decimal(0), Decimal("0.3"), Decimal(0), 1)
    assert (await spent())[1] == Spending(Decimal(0), Decimal("0.4"), Decimal(0))


async def test_a_quote_is_never_exceeded_however_many_race(store: Store) -> None:
    lookups = Lookups(store, RING)
    ages = dict.fromkeys(Reachability, 3_600_000)
    found = await asyncio.gather(
        *(
            lookups.begin(
                KEY, [phone], look_id=f"L{n}", provider_uid=UID, verification=ID, budget=Decimal("3.2"),
                price=Decimal("0.5"), life_ms=60_000, ages=ages,
            )
            for n, phone in enumerate(PHONES[:40])
        )
    )  # fmt: skip
    assert sum(standing.mine for (standing,) in found) == 6
    assert (await lookups.spending(KEY, UID, verification=ID)).reserved == 3
