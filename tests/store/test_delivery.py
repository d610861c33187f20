"""Delivery states on a real Valkey: every code of both profiles, rank, cascades, questions, the ledger."""

import itertools

import pytest

from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Channel, Lane, ReportTo, Route
from smsbridge.core.provider import Profile, Routing, ViberStop
from smsbridge.sender import intake
from smsbridge.status import verdict
from smsbridge.store import alive, connection, tags
from smsbridge.store.delivery import Change
from tests.store import messages
from tests.store.journey import Journey

CASCADE = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
UNTIL_READ = Routing(route=Route.CASCADE, viber_timeout_seconds=60, viber_stops_on=ViberStop.READ)
VIBER = Routing(route=Route.VIBER)


def journey(
    store: connection.Store, *, profile: Profile = Profile.GUIDE, routing: Routing | None = None
) -> Journey:
    return Journey(store, messages.provider(profile=profile, routing=routing or Routing()))


# (code, err, state of the message, its reason) after one receipt for an accepted attempt
GUIDE = [
    (-3, None, "sent", ""),
    (-1, None, "sent", ""),
    (0, None, "sent", ""),
    (1, None, "delivered", ""),
    (2, None, "undelivered", "NotDelivered"),
    (3, None, "undelivered", "NotDeliveredInTime"),
    (20, None, "delivered", ""),
    (22, None, "sent", ""),
    (4, None, "sent", ""),
    (23, None, "sent", ""),
    (99, None, "sent", ""),
]
HTTP = [
    (-3, None, "sent", ""),
    (-2, None, "sent", ""),
    (-1, None, "sent", ""),
    (0, None, "sent", ""),
    (1, None, "delivered", ""),
    (2, None, "delivered", ""),
    (3, None, "undelivered", "NotDeliveredInTime"),
    (4, None, "delivered", ""),
    (20, None, "undelivered", "NotDelivered"),
    (20, 1, "undelivered", "CannotDeliver"),
    (20, 245, "outcome_unknown", "OutcomeUnknown"),
    (1, 200, "outcome_unknown", "OutcomeUnknown"),
    (22, None, "failed", "NumberRefused"),
    (23, 253, "sent", ""),
    (24, None, "failed", "NoMoney"),
    (25, None, "undelivered", "CannotDeliver"),
    (6, None, "sent", ""),
    (99, None, "sent", ""),
]


@pytest.mark.parametrize("source", [verdict.CALLBACK, verdict.STATUS])
@pytest.mark.parametrize(
    ("profile", "code", "err", "state", "reason"),
    [(Profile.GUIDE, *row) for row in GUIDE] + [(Profile.HTTP, *row) for row in HTTP],
)
async def test_every_code(
    store: connection.Store,
    profile: Profile,
    code: int,
    err: int | None,
    state: str,
    reason: str,
    source: str,
) -> None:
    way = journey(store, profile=profile)
    [mid] = await way.sent([1])
    await way.say(mid, code, err=err, source=source)
    record = (await way.message(mid)).record
    assert (record["st"], record.get("rs", "")) == (state, reason)


# What a plain SMS attempt of profile http is after these codes in this order.
@pytest.mark.parametrize(
    ("codes", "state"),
    [
        ((1, 0), "delivered"),  # out of order
        ((1, 1), "delivered"),
        ((2, 1), "delivered"),
        ((1, 3), "delivered"),
        ((1, 20), "delivered"),
        ((20, 1), "delivered"),  # a late receipt
        ((3, 0), "undelivered"),
        ((20, 22), "undelivered"),  # the first verdict stands
        ((23, 1), "delivered"),  # released by a moderator
        ((23, 20), "undelivered"),
        ((20, 23), "undelivered"),
        ((22, 1), "delivered"),
    ],
)
async def test_rank_decides(store: connection.Store, codes: tuple[int, ...], state: str) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    for code in codes:
        await way.say(mid, code)
    assert await way.state(mid) == state


async def test_any_order_of_the_same_receipts_ends_alike(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    for number, order in enumerate(itertools.permutations((0, 1, 20, 23)), start=1):
        [mid] = await way.sent([number])
        for code in order:
            await way.say(mid, code)
        assert await way.state(mid) == "delivered"


async def test_what_a_repeat_answers(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    assert [await way.say(mid, code) for code in (1, 1, 2, 2)] == ["changed", "same", "changed", "same"]
    assert (await way.story(mid)).count("receipt") == 1
    lost = Change("nobody", 1, 1, verdict.CALLBACK)
    assert await way.deliveries.apply(way.uid, [lost]) == ["unknown"]


async def test_an_unknown_code_is_in_the_story_and_changes_nothing(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.say(mid, 99)
    assert await way.state(mid) == "sent"
    assert "unknown_code" in await way.story(mid)


async def test_a_cost_that_smsc_tells_replaces_an_estimate(store: connection.Store) -> None:
    way = journey(store)
    [mid] = await way.sent([1])
    await way.deliveries.apply(way.uid, [Change(mid, 1, 0, verdict.STATUS, cost="4.10")])
    view = await way.message(mid)
    assert (view.of_attempt(1, "cost"), view.of_attempt(1, "est")) == ("4.10", "0")


# Profile guide's cascade: one attempt, SMSC falls back itself.


@pytest.mark.parametrize(
    ("codes", "state", "by"),
    [
        ((20,), "delivered", "viber"),
        ((22,), "sent", "sms"),
        ((22, 1), "delivered", "sms"),
        ((22, 2), "undelivered", "sms"),
        ((22, 3), "undelivered", "sms"),
        ((1, 22), "delivered", "sms"),
        ((2, 22), "undelivered", "sms"),
        ((20, 22), "delivered", "viber"),
    ],
)
async def test_guide_s_own_cascade(
    store: connection.Store, codes: tuple[int, ...], state: str, by: str
) -> None:
    way = journey(store, routing=CASCADE)
    [mid] = await way.sent([1])
    for code in codes:
        await way.say(mid, code)
    view = await way.message(mid)
    assert (view.record["st"], view.of_attempt(1, "by")) == (state, by)
    assert view.attempts == 1


@pytest.mark.parametrize(
    ("routing", "codes", "channel"),
    [
        (CASCADE, (22,), Channel.SMS),
        (CASCADE, (1, 22), Channel.SMS),
        (CASCADE, (20,), Channel.VIBER),
        (CASCADE, (20, 22), Channel.VIBER),
        (CASCADE, (1,), None),  # nobody can say by which channel
        (Routing(), (1,), None),
        (Routing(route=Route.CASCADE, learn_preferred_channel=False), (22,), None),
    ],
)
async def test_what_guide_s_cascade_teaches(
    store: connection.Store, routing: Routing, codes: tuple[int, ...], channel: Channel | None
) -> None:
    way = journey(store, routing=routing)
    [mid] = await way.sent([1])
    for code in codes:
        await way.say(mid, code)
    learned = (await way.deliveries.tick(way.uid)).learned
    assert [(item.msisdn, item.channel) for item in learned] == (
        [("79990000001", channel)] if channel else []
    )


async def test_what_was_learned_stays_until_hlr_has_it(store: connection.Store) -> None:
    way = journey(store, routing=CASCADE)
    one, two = await way.sent([1]), await way.sent([2], recipient="+79990000001")
    await way.say(one[0], 22)
    [first] = (await way.deliveries.tick(way.uid)).learned
    await way.say(two[0], 20)
    await way.deliveries.told(way.uid, learned=[first])
    [second] = (await way.deliveries.tick(way.uid)).learned
    assert second.channel is Channel.VIBER  # a newer word is not acknowledged with the older
    await way.deliveries.told(way.uid, learned=[second])
    assert (await way.deliveries.tick(way.uid)).learned == ()


async def test_code_22_restarts_the_close_within_72_hours(store: connection.Store) -> None:
    way = journey(store, routing=CASCADE)
    [mid] = await way.sent([1])
    at = int(float((await way.message(mid)).of_attempt(1, "at")))
    key = f"{tags.provider(way.uid)}m:{mid}"
    await store.redis.hset(key, "a1:close", at + 1000)
    await way.say(mid, 22)
    close = float((await way.message(mid)).of_attempt(1, "close"))
    assert at + 48 * 3_600_000 <= close <= at + 72 * 3_600_000


# Profile http's cascade: two attempts of ours.


@pytest.mark.parametrize("code", [3, 20, 22, 25])
async def test_http_falls_back_at_once(store: connection.Store, code: int) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, code)
    assert await way.attempts(mid) == [("failed" if code == 22 else "undelivered"), "planned"]
    assert await way.state(mid) == "sent"
    [plan] = (await way.deliveries.tick(way.uid)).plans
    assert (plan.message_id, plan.attempt, plan.why) == (mid, 2, f"code_{code}")


async def test_http_falls_back_after_its_wait(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    assert (await way.deliveries.tick(way.uid)).moved == 0
    await way.time_passes("casc")
    tick = await way.deliveries.tick(way.uid)
    assert [(plan.ref, plan.why) for plan in tick.plans] == [(f"{mid}|2", "not_delivered_in_time")]
    assert await way.attempts(mid) == ["sent", "planned"]
    assert (await way.deliveries.tick(way.uid)).moved == 0


async def test_forbidden_falls_back_after_its_grace(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 23)
    assert await way.attempts(mid) == ["forbidden"]
    assert (await way.deliveries.tick(way.uid)).moved == 0
    await way.time_passes("grace")
    await way.deliveries.tick(way.uid)
    assert await way.attempts(mid) == ["failed", "planned"]
    await way.say(mid, 1)
    assert await way.state(mid) == "delivered"


async def test_forbidden_without_a_further_leg_fails_after_its_grace(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    await way.say(mid, 23, err=253)
    await way.time_passes("grace")
    await way.deliveries.tick(way.uid)
    record = (await way.message(mid)).record
    assert (record["st"], record["rs"]) == ("failed", "Forbidden")


async def test_forbidden_and_released_in_time_is_no_failure(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 23)
    await way.say(mid, 1)
    await way.time_passes("grace", "casc")
    await way.deliveries.tick(way.uid)
    assert await way.attempts(mid) == ["delivered"]


@pytest.mark.parametrize(("code", "err"), [(24, None), (20, 245)])
async def test_without_money_or_an_outcome_the_wait_goes_on(
    store: connection.Store, code: int, err: int | None
) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, code, err=err)
    assert (await way.deliveries.tick(way.uid)).plans == ()
    assert await way.state(mid) == "sent"
    await way.time_passes("casc")
    assert len((await way.deliveries.tick(way.uid)).plans) == 1


async def test_a_delivery_stops_the_cascade(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    await way.time_passes("casc")
    assert (await way.deliveries.tick(way.uid)).plans == ()
    assert await way.attempts(mid) == ["delivered"]


async def test_a_planned_leg_is_dropped_when_viber_arrives_after_all(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.time_passes("casc")
    await way.deliveries.tick(way.uid)
    await way.say(mid, 1)
    assert await way.attempts(mid) == ["delivered", "failed"]
    assert (await way.deliveries.tick(way.uid)).plans == ()
    assert (await way.deliveries.ledger(way.uid)).done == {"viber|delivered": 1}


async def second_leg(way: Journey, mid: str) -> None:
    """The sender takes the planned leg and SMSC accepts it."""
    [plan] = (await way.deliveries.tick(way.uid)).plans
    legs = intake.load_legs((await way.message(mid)).record["legs"])
    group = intake.group_of(way.provider, Lane.INTERACTIVE, legs, plan.attempt, "Привет")
    assert await way.box.accept_next(way.uid, mid, plan.attempt, group) == "accepted"
    await way.deliveries.told(way.uid, plans=[(plan.ref, True)])
    await way.pump()


@pytest.mark.parametrize(
    ("second", "state", "taught"),
    [(1, "delivered", "sms"), (20, "undelivered", None), (22, "failed", None)],
)
async def test_the_second_leg_decides(
    store: connection.Store, second: int, state: str, taught: str | None
) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 20)
    await second_leg(way, mid)
    assert await way.attempts(mid) == ["undelivered", "sent"]
    await way.say(mid, second, attempt=2)
    assert await way.state(mid) == state
    learned = (await way.deliveries.tick(way.uid)).learned
    assert [item.channel.value for item in learned] == ([taught] if taught else [])
    assert (await way.deliveries.tick(way.uid)).plans == ()


async def test_late_viber_beside_a_sent_sms_teaches_nothing(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.time_passes("casc")
    await second_leg(way, mid)
    await way.say(mid, 1)
    assert await way.state(mid) == "delivered"
    assert (await way.deliveries.tick(way.uid)).learned == ()
    await way.say(mid, 1, attempt=2)
    assert [item.channel for item in (await way.deliveries.tick(way.uid)).learned] == [Channel.SMS]


async def test_a_leg_of_a_removed_provider_ends_the_message(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    [mid] = await way.sent([1])
    await way.say(mid, 20)
    await way.deliveries.told(way.uid, plans=[(f"{mid}|2", False)])
    record = (await way.message(mid)).record
    assert (record["st"], record["rs"]) == ("failed", "ProviderRemoved")


# viberStopsOn: read


async def test_until_read_a_delivery_keeps_the_cascade_waiting(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=UNTIL_READ)
    [mid] = await way.sent([1])
    assert await way.say(mid, 1) == "changed"
    assert await way.state(mid) == "sent"
    await way.say(mid, 2)
    assert await way.state(mid) == "delivered"
    await way.time_passes("casc")
    assert (await way.deliveries.tick(way.uid)).plans == ()


async def test_until_read_an_unread_message_is_followed_by_sms_and_counts_as_delivered(
    store: connection.Store,
) -> None:
    way = journey(store, profile=Profile.HTTP, routing=UNTIL_READ)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    await way.time_passes("casc")
    await second_leg(way, mid)
    await way.say(mid, 0, attempt=2)
    assert await way.attempts(mid) == ["delivered", "sent"]
    assert await way.state(mid) == "delivered"


async def test_until_read_matters_only_where_a_leg_follows(store: connection.Store) -> None:
    routing = Routing(route=Route.VIBER, viber_stops_on=ViberStop.READ)
    way = journey(store, profile=Profile.HTTP, routing=routing)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    assert await way.state(mid) == "delivered"


# Questions and closes


async def test_questions_start_after_a_minute_and_double(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    first = await way.message(mid)
    accepted_at = float(first.of_attempt(1, "at"))
    assert first.due_ms["poll"] - accepted_at == 60_000
    waits = []
    for _ in range(8):
        await way.time_passes("poll")
        polls = await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)
        assert [poll.ref for poll in polls.polls] == [f"{mid}|1"]
        await way.say(mid, 0, source=verdict.STATUS)
        view = await way.message(mid)
        waits.append(round((view.due_ms["poll"] - view.now_ms) / 1000))
    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_a_question_is_ours_until_its_lease_ends(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    await way.time_passes("poll")
    [poll] = (await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)).polls
    assert (poll.smsc_id, poll.msisdn, poll.profile, poll.channel, poll.own_id) == (
        "cid1", "79990000001", "http", "sms", False,
    )  # fmt: skip
    assert (await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)).polls == ()
    await way.deliveries.ask_in(way.uid, [f"{mid}|1"], seconds=0)
    assert len((await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)).polls) == 1


async def test_what_is_final_is_not_asked_about(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    await way.deliveries.ask_in(way.uid, [f"{mid}|1"], seconds=0)
    assert (await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)).polls == ()


@pytest.mark.parametrize(("routing", "codes"), [(Routing(), ()), (CASCADE, (22,))])
async def test_without_a_receipt_it_closes_as_unknown(
    store: connection.Store, routing: Routing, codes: tuple[int, ...]
) -> None:
    way = journey(store, routing=routing)
    [mid] = await way.sent([1])
    for code in codes:
        await way.say(mid, code)
    await way.closes(mid)
    assert (await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)).closed == 1
    assert await way.state(mid) == MessageState.OUTCOME_UNKNOWN
    await way.say(mid, 1)
    assert await way.state(mid) == MessageState.DELIVERED


async def test_a_forbidden_attempt_closes_as_failed(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    await way.say(mid, 23)
    await way.closes(mid)
    await way.deliveries.take_polls(way.uid, most=100, lease_seconds=30)
    assert await way.state(mid) == "failed"


# An id without a phone


async def test_which_attempts_of_an_id_are_open(store: connection.Store) -> None:
    way = journey(store)
    one, two = await way.sent([1, 2])
    pairs = [(f"{one}|1", "cid1"), (f"{two}|1", "cid1")]
    early = await way.deliveries.open_attempts(way.uid, "cid1", pairs)
    assert early.incomplete  # the sender has not told of them yet
    await way.told()
    both = await way.deliveries.open_attempts(way.uid, "cid1", pairs)
    assert (set(both.refs), both.incomplete, both.uncertain) == ({f"{one}|1", f"{two}|1"}, False, False)
    await way.say(one, 1)
    assert (await way.deliveries.open_attempts(way.uid, "cid1", pairs)).refs == (f"{two}|1",)


# The ledger


async def test_every_message_is_somewhere(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP, routing=CASCADE)
    sent = await way.sent(range(1, 9))
    for mid, code in zip(sent, (1, 2, 3, 20, 22, 23, 24, 0), strict=True):
        await way.say(mid, code)
    await way.accepted(range(20, 23))
    await way.accepted([30], recipient="call me")
    ledger = await way.deliveries.ledger(way.uid)
    assert (ledger.accepted, ledger.unaccounted) == (12, 0)
    assert (ledger.queued, ledger.sent) == (3, 6)
    assert {state: n for state, n in ledger.final.items() if n} == {"delivered": 2, "failed": 1}
    assert ledger.plans == 3


async def test_a_late_delivery_moves_in_the_ledger(store: connection.Store) -> None:
    way = journey(store, profile=Profile.HTTP)
    [mid] = await way.sent([1])
    await way.say(mid, 20)
    await way.say(mid, 1)
    ledger = await way.deliveries.ledger(way.uid)
    assert {state: n for state, n in ledger.final.items() if n} == {"delivered": 1}
    assert ledger.done == {"sms|undelivered": 1, "sms|delivered": 1}
    assert ledger.unaccounted == 0


async def test_an_unknown_message_is_none(store: connection.Store) -> None:
    way = journey(store)
    assert await way.deliveries.message(way.uid, "nobody") is None
    [mid] = await way.accepted([1], report_to=ReportTo.NOBODY)
    view = await way.message(mid)
    assert view.portal_wanted == ""
    assert "group" in view.due_ms


async def test_the_gateways_journals_are_added_up(store: connection.Store) -> None:
    way = journey(store)
    assert await way.deliveries.journalled() == 0
    await store.redis.hset(tags.DEPLOYMENT + "journal", mapping={"g1": 3, "g2": 4})
    assert await way.deliveries.journalled() == 7


@pytest.mark.parametrize(
    ("profile", "routing", "codes", "proved"),
    [
        (Profile.GUIDE, Routing(), (1,), True),
        (Profile.GUIDE, CASCADE, (20,), False),  # by Viber: whose SIM card may be gone
        (Profile.GUIDE, CASCADE, (22, 1), True),
        (Profile.HTTP, VIBER, (1,), False),
        (Profile.HTTP, Routing(), (20,), False),
    ],
)
async def test_a_delivered_sms_is_remembered_as_proof_of_life(
    store: connection.Store, profile: Profile, routing: Routing, codes: tuple[int, ...], proved: bool
) -> None:
    way = journey(store, profile=profile, routing=routing)
    [mid] = await way.sent([1])
    for code in codes:
        await way.say(mid, code)
    msisdn = (await way.message(mid)).record["to"]
    found = await alive.Alive(store).of(way.uid, [msisdn, "79990000000"])
    assert list(found) == ([msisdn] if proved else [])
    if proved:
        left_ms = await store.redis.pttl(f"{tags.provider(way.uid)}al:{msisdn}")
        assert 0 < left_ms <= store.settings.times.alive_kept_ms
