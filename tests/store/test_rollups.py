"""Rollups on a real Valkey: a final message is counted once and corrected once; repeats change nothing."""

import random
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.core.message import Lane, Origin, Route
from smsbridge.core.provider import Prices, Profile, Routing, ViberStop
from smsbridge.sender import intake
from smsbridge.status import story
from smsbridge.store import connection, delivery, rollups, scripts, tags
from smsbridge.store.rollups import Kind, Placed
from tests.store import messages
from tests.store.journey import Journey, now_ms

CASCADE = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
UNTIL_READ = Routing(route=Route.CASCADE, viber_timeout_seconds=60, viber_stops_on=ViberStop.READ)
VIBER = Routing(route=Route.VIBER)
PRICES = Prices(sms=Decimal("4.00"), viber=Decimal("2.30"))


def journey(
    store: connection.Store,
    *,
    profile: Profile = Profile.GUIDE,
    routing: Routing | None = None,
    cost: str = "",
    prices: Prices = PRICES,
) -> Journey:
    made = messages.provider(profile=profile, routing=routing or Routing(), prices=prices)
    return Journey(store, made, cost=cost)


async def counted(way: Journey, kind: Kind = Kind.WAY) -> dict[str, dict[str, int]]:
    """All days together, without what is 0."""
    today = rollups.today(now_ms() / 1000)
    days = await rollups.Rollups(way.store).read(way.uid, kind, since=today, until=today)
    assert set(days) <= {today}
    named = days.get(today, {})
    shown = {name: {m: n for m, n in measures.items() if n} for name, measures in named.items()}
    return {name: measures for name, measures in shown.items() if measures}


def without_times(found: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Deliveries as `h`, within whatever time."""
    shown: dict[str, dict[str, int]] = {}
    for name, measures in found.items():
        plain = {m: n for m, n in measures.items() if not _is_time(m)}
        times = sum(n for m, n in measures.items() if _is_time(m))
        shown[name] = plain | ({"h": times} if times else {})
    return shown


def _is_time(measure: str) -> bool:
    return measure[0] == "h" and measure[1:].isdigit()


async def test_a_delivered_sms_is_counted_when_it_is_final(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    assert await counted(way) == {}

    await way.say(mid, 1)

    assert without_times(await counted(way)) == {"sms": {"n": 1, "ce": 40_000, "h": 1}}


@pytest.mark.parametrize("again", [1, 3, 2])
async def test_a_repeat_or_an_older_word_changes_nothing(store: connection.Store, again: int) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    before = await counted(way)

    for _ in range(3):
        await way.say(mid, again)

    assert await counted(way) == before


async def test_a_late_delivery_replaces_a_failure(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.say(mid, 2)
    assert await counted(way) == {"sms": {"n": 1, "ce": 40_000, "f:NotDelivered": 1}}

    await way.say(mid, 1)

    assert without_times(await counted(way)) == {"sms": {"n": 1, "ce": 40_000, "h": 1}}


async def test_another_reason_replaces_the_first(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.closes(mid)
    await way.deliveries.take_polls(way.uid, most=10, lease_seconds=10)
    assert await counted(way) == {"sms": {"n": 1, "ce": 40_000, "f:OutcomeUnknown": 1}}

    await way.say(mid, 3)

    assert await counted(way) == {"sms": {"n": 1, "ce": 40_000, "f:NotDeliveredInTime": 1}}


async def test_what_never_reached_smsc_is_counted_apart(store: connection.Store) -> None:
    way = journey(store, routing=CASCADE)
    await way.accepted([1], text="")
    [taken_back] = await way.accepted([2])
    await way.box.cancel(way.uid, taken_back, state="cancelled", reason="Cancelled")

    assert await counted(way) == {"none": {"n": 2, "x": 2, "f:EmptyText": 1, "f:Cancelled": 1}}


async def test_a_price_that_comes_with_a_later_word_replaces_the_first(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, cost="4.10")
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    known = {"n": 1, "ck": 41_000, "ks": 41_000, "kg": 1, "h": 1}
    assert without_times(await counted(way)) == {"sms": known}

    change = delivery.Change(mid, 1, code=1, source="status", cost="3.9955")
    for _ in range(2):
        await way.deliveries.apply(way.uid, [change])

    assert without_times(await counted(way)) == {"sms": known | {"ck": 39_955, "ks": 39_955}}


@pytest.mark.parametrize("cost", ["nan", "inf", "-3", "1e300", "x", "4,10"])
async def test_a_cost_that_is_none_spoils_no_sum(store: connection.Store, cost: str) -> None:
    way = journey(store, profile=Profile.HTTP, cost="4.10")
    first, second = await way.sent([1, 2])
    await way.say(first, 1)
    await way.say(second, 1)
    await way.deliveries.apply(way.uid, [delivery.Change(second, 1, code=1, source="status", cost=cost)])

    assert without_times(await counted(way)) == {"sms": {"n": 2, "ck": 41_000, "ks": 41_000, "kg": 2, "h": 2}}
    assert isinstance(story.costs(await way.message(second))[0], Decimal)


async def test_a_cost_that_nobody_knows_is_counted_as_such(store: connection.Store) -> None:
    way = journey(store, prices=Prices())
    [mid] = await way.sent([1])
    await way.say(mid, 1)

    assert without_times(await counted(way)) == {"sms": {"n": 1, "cu": 1, "h": 1}}


async def test_viber_and_reading_are_counted(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=VIBER, cost="2.30")
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    delivered = {"n": 1, "v": 1, "ck": 23_000, "h": 1}
    assert without_times(await counted(way)) == {"viber": delivered}

    for _ in range(2):
        await way.say(mid, 2)

    assert without_times(await counted(way)) == {"viber": delivered | {"r": 1}}


async def test_a_native_cascade_by_viber_beside_sms_only(store: connection.Store) -> None:
    way = journey(store, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 20)

    assert without_times(await counted(way)) == {
        "cascade_viber": {"n": 1, "v": 1, "ce": 23_000, "cc": 23_000, "so": 40_000, "h": 1}
    }


async def test_a_native_cascade_that_fell_back_costs_an_sms(store: connection.Store) -> None:
    way = journey(store, routing=CASCADE)
    [mid] = await way.sent([1], text="Очень длинный текст. " * 5)  # 105 letters: two segments
    for code in (22, 22, 1, 22):
        await way.say(mid, code)

    assert without_times(await counted(way)) == {
        "cascade_sms": {"n": 1, "ce": 80_000, "cc": 80_000, "so": 80_000, "h": 1}
    }
    assert (await way.message(mid)).of_attempt(1, "cost") == "8.00"


async def test_our_own_cascade_has_both_legs(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE, cost="2.00")
    [mid] = await way.sent([1])
    await way.say(mid, 3)
    await _second_leg(way, mid)
    assert await counted(way) == {}
    await way.say(mid, 1, attempt=2)
    by_sms = {"n": 1, "ck": 40_000, "cc": 40_000, "so": 20_000, "ks": 20_000, "kg": 1, "h": 1}
    assert without_times(await counted(way)) == {"cascade_sms": by_sms}

    # Viber arrived after all: above everything, but what was delivered first stands.
    await way.say(mid, 1)

    assert sum(n["n"] for n in (await counted(way)).values()) == 1


async def test_a_cascade_by_viber_without_a_price_of_sms(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE, cost="2.00", prices=Prices())
    [mid] = await way.sent([1])
    await way.say(mid, 1)

    assert without_times(await counted(way)) == {
        "cascade_viber": {"n": 1, "v": 1, "ck": 20_000, "cc": 20_000, "sg": 1, "h": 1}
    }


async def test_the_time_to_deliver_counts_from_the_door(store: connection.Store) -> None:
    way = journey(store)
    found = await way.sent([1, 2, 3])
    key = f"{tags.provider(way.uid)}m:"
    for mid, age in zip(found, (0.5, 61, 86_401), strict=True):
        await store.redis.hset(key + mid, "acc", now_ms() - round(age * 1000))
        await way.say(mid, 1)
    today = rollups.today(now_ms() / 1000)
    book = rollups.Rollups(store)
    # Longer than one run of the script reads.
    days = await book.read(way.uid, Kind.WAY, since=today - timedelta(days=90), until=today)

    times = rollups.total(measures for ways in days.values() for measures in ways.values())
    assert {m: n for m, n in times.items() if _is_time(m)} == {"h1": 1, "h90": 1, "h172800": 1}
    assert len(days) == 2  # a day is the one of acceptance


async def test_delivered_unread_counts_from_its_delivery(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=UNTIL_READ, cost="2.00")
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    key = f"{tags.provider(way.uid)}m:{mid}"
    acc = int(await store.redis.hget(key, "acc"))
    await store.redis.hset(key, "a1:dl", acc + 44_000)
    await way.say(mid, 2)

    assert (await counted(way))["cascade_viber"]["h45"] == 1


async def test_a_day_is_kept_for_400_days_after_it(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    [key] = [key async for key in store.redis.scan_iter(match=f"{tags.provider(way.uid)}rw:*")]

    left_days = await store.redis.pttl(key) / 86_400_000

    assert 400 <= left_days <= 401


async def test_carriers_and_regions_are_added_once_and_follow(store: connection.Store) -> None:
    way = journey(store)
    found = await way.sent([1, 2, 3])
    await way.say(found[0], 2)
    await way.say(found[1], 1)
    book = rollups.Rollups(store)
    waiting = await book.unplaced(way.uid, most=10)
    assert {one.message_id for one in waiting} == set(found[:2])

    places = [Placed(found[0], "MTS", "Москва"), Placed(found[1], "MTS", "")]
    assert await book.place(way.uid, places) == 2
    assert await book.place(way.uid, places) == 0
    assert await book.unplaced(way.uid, most=10) == []
    await way.say(found[0], 1)  # delivered after all

    both = {"n": 2, "ce": 80_000, "h": 2}
    assert without_times(await counted(way, Kind.CARRIER)) == {"MTS": both}
    assert without_times(await counted(way, Kind.REGION)) == {"Москва": {"n": 1, "ce": 40_000, "h": 1}}
    assert without_times(await counted(way)) == {"sms": both}


async def test_names_are_bounded(store: connection.Store) -> None:
    way = journey(store)
    count = scripts.ROLLUP_NAMES_MOST + 5
    found = await way.sent(range(count))
    for mid in found:
        await way.say(mid, 1)

    await rollups.Rollups(store).place(way.uid, [Placed(mid, f"C{n}|x", "") for n, mid in enumerate(found)])

    named = await counted(way, Kind.CARRIER)
    assert len(named) == scripts.ROLLUP_NAMES_MOST + 1
    assert named["C0|x"]["n"] == 1
    assert named["other"]["n"] == 5


async def test_an_unsendable_number_is_not_asked_about(store: connection.Store) -> None:
    way = journey(store)
    await way.accepted([1], recipient="no phone")

    assert await rollups.Rollups(store).unplaced(way.uid, most=10) == []
    assert (await counted(way))["none"]["f:BadNumber"] == 1


CODES = {Profile.GUIDE: (1, 2, 3, 20, 22, -1, 0, 99), Profile.HTTP: (1, 2, 3, 20, 22, 23, 25, 0, 99)}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("profile", [Profile.GUIDE, Profile.HTTP])
async def test_whatever_is_said_the_sums_are_the_ledger_s(
    store: connection.Store, profile: Profile, seed: int
) -> None:
    chance = random.Random(seed)
    cost = "2.30" if profile is Profile.HTTP else ""
    way = journey(store, profile=profile, routing=CASCADE, cost=cost)
    found = await way.sent(range(6))
    book = rollups.Rollups(store)
    for _ in range(40):
        mid = chance.choice(found)
        attempt = chance.choice(range(1, (await way.message(mid)).attempts + 1))
        if (await way.message(mid)).of_attempt(attempt, "prof"):
            await way.say(mid, chance.choice(CODES[profile]), attempt=attempt)
        for plan in (await way.deliveries.tick(way.uid)).plans:
            await _second_leg(way, plan.message_id)
        if chance.random() < 0.2:
            places = [Placed(one.message_id, chance.choice(["A", "B", ""]), "R")
                      for one in await book.unplaced(way.uid, most=2)]  # fmt: skip
            await book.place(way.uid, places)
        await _sums_are_right(way)
    await book.place(way.uid, [Placed(mid, "A", "R") for mid in found])
    waits = {one.message_id for one in await book.unplaced(way.uid, most=10)}
    by_region = rollups.total((await counted(way, Kind.REGION)).values())
    assert waits == set()
    assert by_region == rollups.total((await counted(way)).values())


async def _sums_are_right(way: Journey) -> None:
    final = (await way.deliveries.ledger(way.uid)).final
    ways = await counted(way)
    total = rollups.total(ways.values())
    late = total.get("f:OutcomeUnknown", 0)
    delivered = sum(n for m, n in total.items() if _is_time(m))
    failed = sum(n for m, n in total.items() if m.startswith("f:"))
    assert all(n > 0 for measures in ways.values() for n in measures.values()), ways
    assert total.get("n", 0) == sum(final.values())
    assert delivered == final.get("delivered", 0)
    assert (failed, late) == (total.get("n", 0) - delivered, final.get("outcome_unknown", 0))
    assert total.get("cc", 0) == total.get("ck", 0) + total.get("ce", 0)


async def test_messages_are_found_by_their_number(store: connection.Store) -> None:
    way = journey(store)
    [first] = await way.sent([1])
    [other] = await way.sent([2])
    [second] = await way.sent([1], text="Ещё", message_id="f" * 32, origin=Origin.MARKETING)

    found = await way.deliveries.find(way.uid, messages.phone(1).lstrip("+"))

    assert [one.message_id for one in found] == [second, first]
    assert other not in {one.message_id for one in found}
    assert await way.deliveries.find(way.uid, "79000000000") == []


async def test_only_the_newest_of_a_number_are_kept(store: connection.Store) -> None:
    way = journey(store)
    for n in range(scripts.PHONE_MESSAGES_KEPT + 5):
        await way.accepted([1], text=f"Текст {n}", message_id=f"{n:032x}")

    found = await way.deliveries.find(way.uid, messages.phone(1).lstrip("+"))

    newest = [f"{n:032x}" for n in range(5, scripts.PHONE_MESSAGES_KEPT + 5)]
    assert sorted(one.message_id for one in found) == newest


async def test_a_duplicate_is_found_once(store: connection.Store) -> None:
    way = journey(store)
    for _ in range(3):
        await way.accepted([1])

    assert len(await way.deliveries.find(way.uid, messages.phone(1).lstrip("+"))) == 1


async def test_the_list_of_a_number_goes_with_its_last_record(store: connection.Store) -> None:
    way = journey(store)
    key = f"{tags.provider(way.uid)}to:{messages.phone(1).lstrip('+')}"

    async def life_ms() -> Any:
        return await store.redis.pttl(key)

    [first] = await way.sent([1])
    assert await life_ms() == -1
    await way.say(first, 1)
    kept_ms = store.settings.times.record_kept_ms
    assert kept_ms - 60_000 < await life_ms() <= kept_ms
    [second] = await way.sent([1], text="Ещё", message_id="f" * 32)
    assert await life_ms() == -1
    await way.say(second, 1)
    assert kept_ms - 60_000 < await life_ms() <= kept_ms


async def _second_leg(way: Journey, mid: str) -> None:
    legs = intake.load_legs((await way.message(mid)).record["legs"])
    group = intake.group_of(way.provider, Lane.INTERACTIVE, legs, 2, "Привет")
    assert await way.box.accept_next(way.uid, mid, 2, group) == "accepted"
    await way.deliveries.told(way.uid, plans=[(f"{mid}|2", True)])
    await way.pump()
