"""Errands in the store: kept once, taken under a lease, settled by who has them."""

from typing import Any

from smsbridge.core.errand import EntityType, Errand, ErrandKind
from smsbridge.core.message import Channel
from smsbridge.store import errands
from smsbridge.store.channels import ChannelMarks, Field, Mark
from smsbridge.store.connection import Store
from smsbridge.store.errands import Errands, Lane, Load, Put, Settled, Waiting
from smsbridge.store.keyring import Keyring
from tests.wire.senders import until

UID = "p1"
RING = Keyring([b"k" * 32])
AGES = dict.fromkeys(ErrandKind, 60_000)
PHONE = "79991234567"


def errand(kind: ErrandKind = ErrandKind.ADDED, **given: Any) -> Errand:
    return Errand(UID, kind, **{"entity": EntityType.LEAD, "entity_id": 1, "phone": PHONE, **given})


def put(kind: ErrandKind = ErrandKind.ADDED, key: str = "1", **given: Any) -> Put:
    names = {"mark_ms", "replace", "delay_ms"}
    about = {name: given.pop(name) for name in names & given.keys()}
    return Put(errand(kind, **given), key, **about)


async def take(
    book: Errands, owner: str, *, lane: Lane = Lane.CRM, lease_ms: int = 60_000, most: int = 50, **ages: int
) -> Load:
    longest = AGES | {ErrandKind(kind): age for kind, age in ages.items()}
    return await book.take(UID, lane, owner=owner, lease_ms=lease_ms, most=most, longest_ms=longest)


async def test_what_is_put_is_taken_as_it_was_and_nothing_is_readable(store: Store) -> None:
    book = Errands(store, RING)
    given = errand(ErrandKind.STEP, event_token="the|token.0", accepted_at_ms=1)
    assert await book.put(UID, [Put(given, "token", mark_ms=60_000)]) == [True]
    found = await take(book, "one", lane=Lane.STEPS, step=2**53)
    assert [one.errand for one in found.errands] == [given]
    assert found.errands[0].times == 1
    for key in await store.keys(""):
        kind = await store.redis.type(key)
        held = await store.redis.hvals(key) if kind == b"hash" else []
        for value in (key, *held):
            assert PHONE.encode() not in value
            assert b"token" not in value


async def test_a_marked_one_is_kept_once_also_when_it_is_done(store: Store) -> None:
    book = Errands(store, RING)
    one, other = put(mark_ms=60_000), put(key="2", mark_ms=60_000)
    assert await book.put(UID, [one, other, one]) == [True, True, False]
    assert await book.put(UID, [one]) == [False]
    found = await take(book, "one")
    ends = [Settled(item.id) for item in found.errands]
    assert await book.settle(UID, ends, owner="one") == 2
    assert await book.put(UID, [one]) == [False]
    assert (await take(book, "one")).errands == ()
    assert (await book.waiting(UID))[ErrandKind.ADDED] == Waiting(0, 0)


async def test_an_unmarked_one_is_a_repeat_only_while_it_waits(store: Store) -> None:
    book = Errands(store, RING)
    one = put(ErrandKind.CHANGED)
    assert await book.put(UID, [one, one]) == [True, False]
    (taken,) = (await take(book, "one")).errands
    assert await book.settle(UID, [Settled(taken.id)], owner="one") == 1
    assert await book.put(UID, [one]) == [True]


async def test_what_comes_again_while_somebody_has_it_is_done_again(store: Store) -> None:
    book = Errands(store, RING)
    one = put(ErrandKind.CHANGED)
    await book.put(UID, [one])
    (taken,) = (await take(book, "one")).errands
    assert await book.put(UID, [one]) == [True]
    assert (await take(book, "two")).errands == ()
    await book.settle(UID, [Settled(taken.id)], owner="one")
    (again,) = (await take(book, "two")).errands
    assert (again.errand, again.times) == (taken.errand, 1)
    await book.settle(UID, [Settled(again.id)], owner="two")
    assert (await take(book, "one")).errands == ()


async def test_a_newer_one_takes_the_place_of_one_that_waits(store: Store) -> None:
    book = Errands(store, RING)
    older = put(ErrandKind.LEARNED, accepted_at_ms=1_000, replace=True)
    newer = put(ErrandKind.LEARNED, accepted_at_ms=2_000, replace=True)
    assert await book.put(UID, [older]) == [True]
    assert await book.put(UID, [newer]) == [True]
    (taken,) = (await take(book, "one", learned=2**53)).errands
    assert taken.errand.accepted_at_ms == 2_000


async def test_a_lease_that_ended_lets_another_have_it_and_the_late_one_nothing(store: Store) -> None:
    book = Errands(store, RING)
    await book.put(UID, [put()])
    (mine,) = (await take(book, "one", lease_ms=50)).errands
    assert (await take(book, "two")).errands == ()

    async def taken_over() -> bool:
        return bool((await take(book, "two")).errands)

    await until(taken_over)
    assert await book.keep(UID, [mine.id], owner="one", lease_ms=50) == frozenset()
    assert await book.settle(UID, [Settled(mine.id)], owner="one") == 0
    assert await book.settle(UID, [Settled(mine.id, later_ms=0)], owner="one") == 0
    assert await book.keep(UID, [mine.id], owner="two", lease_ms=60_000) == {mine.id}
    assert await book.settle(UID, [Settled(mine.id)], owner="two") == 1


async def test_one_put_off_is_taken_when_its_time_has_come(store: Store) -> None:
    book = Errands(store, RING)
    await book.put(UID, [put(), put(key="2", delay_ms=60_000)])
    (taken,) = (await take(book, "one")).errands
    await book.settle(UID, [Settled(taken.id, later_ms=30_000)], owner="one")
    found = await take(book, "one")
    assert found.errands == ()
    assert 20_000 < found.next_ms <= 30_000
    await book.put(UID, [put(ErrandKind.STEP, key="3")])
    assert [one.errand.kind for one in (await take(book, "one", lane=Lane.STEPS)).errands] == [
        ErrandKind.STEP
    ]


async def test_at_most_so_many_the_longest_due_first(store: Store) -> None:
    book = Errands(store, RING)
    for number in range(60):
        await book.put(UID, [put(key=str(number), entity_id=number)])
    first, second = await take(book, "one"), await take(book, "two")
    assert sorted(one.errand.entity_id for one in first.errands + second.errands) == list(range(60))
    assert (len(first.errands), len(second.errands)) == (50, 10)
    assert (await book.waiting(UID))[ErrandKind.ADDED].count == 60


async def test_what_waited_too_long_is_dropped_but_not_from_under_a_hand(store: Store) -> None:
    book = Errands(store, RING)
    long_ago = await store.now_ms("{p:p1}:") - 10_000
    await book.put(UID, [put(accepted_at_ms=long_ago), put(key="2", accepted_at_ms=long_ago)])
    (held,) = (await take(book, "one", most=1)).errands
    assert held.age_ms >= 10_000
    found = await take(book, "two", most=0, added=5_000)
    assert (found.errands, found.dropped) == ((), {ErrandKind.ADDED: 1})
    assert await book.settle(UID, [Settled(held.id, later_ms=0)], owner="one") == 1
    assert (await take(book, "two", added=5_000)).dropped == {ErrandKind.ADDED: 1}
    assert (await book.waiting(UID))[ErrandKind.ADDED] == Waiting(0, 0)
    assert not [key for key in await store.keys("{p:p1}:") if b":er:e:" in key]


async def test_a_door_s_clock_ahead_of_ours_makes_nothing_younger(store: Store) -> None:
    book = Errands(store, RING)
    await book.put(UID, [put(accepted_at_ms=2**50)])
    (taken,) = (await take(book, "one")).errands
    assert taken.age_ms >= 0


def test_every_kind_has_a_lane() -> None:
    lanes = {kind: Lane.of(kind) for kind in ErrandKind}
    assert {kind for kind, lane in lanes.items() if lane is Lane.STEPS} == {ErrandKind.STEP}
    assert set(lanes.values()) == set(errands.Lane)


async def test_marks_of_what_we_wrote(store: Store) -> None:
    marks = ChannelMarks(store, rest_seconds=0.05, own_update_seconds=60)
    field = Field(EntityType.CONTACT, 7, "UF_CRM_SMS_CHANNEL")
    sms, nothing = frozenset({Channel.SMS}), frozenset[Channel]()
    assert await marks.read("m", [field]) == [Mark()]
    await marks.begin("m", [(field, Channel.SMS)])
    assert await marks.read("m", [field]) == [Mark(sms, fresh=True)]
    await marks.wrote("m", [field])

    async def rested() -> bool:
        return not (await marks.read("m", [field]))[0].fresh

    await until(rested)
    assert await marks.read("m", [field]) == [Mark(sms)]
    # Begun and not done: what was ours stays ours.
    await marks.begin("m", [(field, None)])
    assert await marks.read("m", [field]) == [Mark(sms, fresh=True)]
    await marks.failed("m", [field])
    await until(rested)
    assert await marks.read("m", [field]) == [Mark(sms)]
    await marks.begin("m", [(field, None)])
    await marks.wrote("m", [field])
    assert await marks.read("m", [field]) == [Mark(nothing, fresh=True)]

    async def forgotten() -> bool:
        return not await store.keys("{b:m}:")

    await until(forgotten)
    await marks.begin("m", [(field, Channel.SMS)])
    await marks.wrote("m", [field])
    await marks.forget("m", [field])
    assert await marks.read("m", [field]) == [Mark()]


async def test_each_update_of_ours_swallows_one_event(store: Store) -> None:
    marks = ChannelMarks(store, rest_seconds=1, own_update_seconds=60)
    one, other = (EntityType.CONTACT, 1), (EntityType.CONTACT, 2)
    await marks.updating("m", [one, one, other])
    await marks.not_updated("m", [other])
    assert await marks.swallow("m", [one, other, one, one]) == [True, False, True, False]
    assert await store.keys("{b:m}:") == []


async def test_one_that_no_key_opens_is_dropped_and_holds_up_no_other(store: Store) -> None:
    await Errands(store, Keyring([b"o" * 32])).put(UID, [put()])
    book = Errands(store, RING)
    await book.put(UID, [put(key="2")])
    found = await take(book, "one")
    assert (len(found.errands), found.dropped) == (1, {ErrandKind.ADDED: 1})
    assert (await book.waiting(UID))[ErrandKind.ADDED].count == 1
