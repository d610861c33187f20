"""Answers to workflow steps, on a real Valkey: when they are due, what they say, and that there is one."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from smsbridge.core.delivery import MessageState, StepStatus
from smsbridge.core.message import Reason, ReportTo, Route, TokenCheck
from smsbridge.core.provider import Profile, Routing
from smsbridge.store import connection, embedded, tags
from smsbridge.store.portal_outbox import Answer, Kind, PortalOutbox, Result, Taken, Written
from tests.conftest import store_settings
from tests.store import messages
from tests.store.journey import Journey, now_ms

TOKEN = "5a0d6f3c9b1e72.00000001|A80391_60433_1|secret.6f1d"
CASCADE = Routing(route=Route.CASCADE, viber_timeout_seconds=60)


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    """With the portal's quiet 10 seconds: answers do not wait for them."""
    made = connection.Store.connect(store_settings(valkey))
    await made.redis.flushall()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def way(store: connection.Store) -> Journey:
    return Journey(store, messages.provider(profile=Profile.HTTP))


@pytest.fixture
def cascade(store: connection.Store) -> Journey:
    return Journey(store, messages.provider(profile=Profile.HTTP, routing=CASCADE))


@pytest.fixture
def box(store: connection.Store) -> PortalOutbox:
    return PortalOutbox(store)


async def asked(
    way: Journey, report_to: ReportTo = ReportTo.ROBOT, *, sent: bool = True, **more: object
) -> str:
    """One message of a step; SMSC has accepted it where it was `sent`."""
    fields = {"report_to": report_to, "event_token": TOKEN, **more}
    [mid] = await (way.sent if sent else way.accepted)([1], **fields)
    return mid


async def taken(box: PortalOutbox, way: Journey, token: str) -> Taken:
    return await box.take(way.uid, token=token, most=50, kind=Kind.ANSWERS)


async def take(box: PortalOutbox, way: Journey, token: str = "t1") -> list[Answer]:
    entries = (await taken(box, way, token)).entries
    return [entry for entry in entries if isinstance(entry, Answer)]


async def words(box: PortalOutbox, way: Journey, token: str = "t1") -> list[StepStatus]:
    return [answer.status for answer in await take(box, way, token)]


async def settle(
    box: PortalOutbox, way: Journey, answers: list[Answer], written: Written, token: str = "t1"
) -> dict[str, int]:
    results = [Result(answer, written) for answer in answers]
    return dict(await box.settle(way.uid, token=token, results=results))


async def answered(box: PortalOutbox, way: Journey, token: str = "t1") -> list[StepStatus]:
    """Taken and written."""
    answers = await take(box, way, token)
    assert await settle(box, way, answers, Written.WRITTEN, token) == {"written": len(answers)}
    return [answer.status for answer in answers]


async def rested(way: Journey, mid: str) -> None:
    await way.store.redis.hset(f"{tags.provider(way.uid)}m:{mid}", "pf", 1)
    await way.time_passes("steps")


async def nothing_waits(box: PortalOutbox, way: Journey) -> bool:
    await way.time_passes("steps", "dirty")
    due = await box.due(way.uid)
    statuses = (await box.take(way.uid, token="none", most=50)).entries
    return (due.count, due.next_seconds, statuses, await take(box, way, "none")) == (0, None, (), [])


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (1, StepStatus.DELIVERED, ""),
        (20, StepStatus.UNDELIVERED, "NotDelivered"),
        (22, StepStatus.FAILED, "NumberRefused"),
        (3, StepStatus.UNDELIVERED, "NotDeliveredInTime"),
    ],
)
async def test_a_step_is_answered_once_with_how_its_message_ended(
    way: Journey, box: PortalOutbox, code: int, status: StepStatus, reason: str
) -> None:
    mid = await asked(way)
    await way.say(mid, code)
    [answer] = await take(box, way)
    assert (answer.message_id, answer.event_token, answer.status) == (mid, TOKEN, status)
    assert (answer.channel, answer.price) == ("sms", None)
    assert answer.reason == (await way.message(mid)).record["rs"]
    assert bool(answer.reason) is bool(reason)
    assert await settle(box, way, [answer], Written.WRITTEN) == {"written": 1}
    view = await way.message(mid)
    assert (view.record["pd"], view.portal_wanted, view.events[-1]["what"]) == (status, "", "step_answered")
    assert "tok" not in view.record  # it is of no use any more
    assert 0 <= view.now_ms - int(float(view.record["pa"])) < 60_000
    assert await nothing_waits(box, way)


async def test_a_step_that_waits_for_the_end_is_not_told_before(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way, sent=False)
    assert await nothing_waits(box, way)
    await way.pump()
    assert await way.state(mid) == "sent"
    assert await nothing_waits(box, way)
    await way.say(mid, 1)
    assert await words(box, way) == [StepStatus.DELIVERED]


async def test_the_first_leg_s_end_is_not_the_message_s(cascade: Journey, box: PortalOutbox) -> None:
    mid = await asked(cascade)
    await cascade.say(mid, 20)
    assert await nothing_waits(box, cascade)


async def test_delivered_after_failed_is_not_told_again(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 22)
    assert await answered(box, way) == [StepStatus.FAILED]
    await way.say(mid, 1)
    assert await way.state(mid) == "delivered"
    assert await nothing_waits(box, way)


async def test_what_is_learnt_before_it_leaves_is_told(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 22)
    await way.say(mid, 1)
    assert await answered(box, way) == [StepStatus.DELIVERED]


async def test_an_unknown_outcome_is_told_too(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.closes(mid)
    await way.deliveries.take_polls(way.uid, most=10, lease_seconds=10)
    [answer] = await take(box, way)
    assert (answer.status, answer.reason) == (StepStatus.UNKNOWN, Reason.OUTCOME_UNKNOWN)


async def test_expired_and_cancelled_are_words_of_their_own(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way, sent=False)
    await way.box.cancel(way.uid, mid, state=MessageState.CANCELLED, reason=Reason.CANCELLED)
    [answer] = await take(box, way)
    assert (answer.status, answer.channel, answer.reason) == (StepStatus.CANCELLED, "", Reason.CANCELLED)
    [late] = await way.accepted(
        [2], report_to=ReportTo.ROBOT, event_token="t|2", accepted_at_ms=now_ms() - 7_200_000
    )
    await way.box.reap(way.uid)
    assert await way.state(late) == "expired"
    [answer] = await take(box, way, "t2")
    assert (answer.message_id, answer.status, answer.reason) == (late, StepStatus.EXPIRED, Reason.EXPIRED)


@pytest.mark.parametrize("report_to", [ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE])
async def test_what_cannot_be_sent_is_told_at_once_with_the_reason(
    way: Journey, box: PortalOutbox, report_to: ReportTo
) -> None:
    await asked(way, report_to, sent=False, recipient="call me")
    [answer] = await take(box, way)
    assert (answer.status, answer.reason) == (StepStatus.FAILED, Reason.BAD_NUMBER)
    assert (answer.channel, answer.price) == ("", None)


async def test_at_once_is_when_it_is_taken_and_never_again(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way, ReportTo.ROBOT_AT_ONCE, sent=False)
    assert (await box.due(way.uid)).answers == 1
    [answer] = await take(box, way)
    assert (answer.status, answer.channel, answer.price, answer.reason) == (StepStatus.QUEUED, "", None, "")
    assert await settle(box, way, [answer], Written.WRITTEN) == {"written": 1}
    await way.pump()
    await way.say(mid, 22)
    await way.say(mid, 1)
    assert await nothing_waits(box, way)


async def test_at_once_that_left_meanwhile_is_still_queued_and_an_end_is_an_end(
    way: Journey, box: PortalOutbox
) -> None:
    mid = await asked(way, ReportTo.ROBOT_AT_ONCE)
    [answer] = await take(box, way)
    assert (answer.status, answer.channel) == (StepStatus.QUEUED, "sms")
    await settle(box, way, [answer], Written.LATER)
    await way.say(mid, 22)
    assert await words(box, way, "t2") == [StepStatus.FAILED]


@pytest.mark.parametrize("report_to", [ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE])
async def test_a_held_message_is_told_when_it_is_refused(
    way: Journey, box: PortalOutbox, report_to: ReportTo
) -> None:
    mid = await asked(way, report_to, sent=False, token_check=TokenCheck.MISMATCH, token_digest="d")
    assert await nothing_waits(box, way)
    await way.box.cancel(way.uid, mid, state=MessageState.FAILED, reason=Reason.TOKEN_REFUSED)
    [answer] = await take(box, way)
    assert (answer.status, answer.reason) == (StepStatus.FAILED, Reason.TOKEN_REFUSED)


async def test_a_held_message_is_told_at_once_when_it_is_released(way: Journey, box: PortalOutbox) -> None:
    held = {"token_check": TokenCheck.MISMATCH, "token_digest": "d"}
    mid = await asked(way, ReportTo.ROBOT_AT_ONCE, sent=False, **held)
    await way.box.unhold(way.uid, mid)
    assert await answered(box, way) == [StepStatus.QUEUED]
    await way.pump()
    await way.say(mid, 1)
    assert await nothing_waits(box, way)


async def test_channel_and_price_are_those_of_all_attempts(cascade: Journey, box: PortalOutbox) -> None:
    mid = await asked(cascade)
    await cascade.say(mid, 20)
    tick = await cascade.deliveries.tick(cascade.uid)
    assert [plan.ref for plan in tick.plans] == [f"{mid}|2"]
    key = f"{tags.provider(cascade.uid)}m:{mid}"
    await cascade.store.redis.hset(
        key, mapping={"a1:cost": "2.30", "a2:cost": "4", "a2:st": "sent", "a2:rk": 3, "a2:prof": "http"}
    )
    await cascade.say(mid, 1, attempt=2)
    [answer] = await take(box, cascade)
    assert (answer.status, answer.channel, answer.price) == (StepStatus.DELIVERED, "sms", Decimal("6.30"))
    await settle(box, cascade, [answer], Written.LATER)
    # It is the earlier leg that arrived after all; a cost that nobody can read is none.
    await cascade.store.redis.hset(key, mapping={"a1:st": "delivered", "a1:by": "viber", "a2:cost": "?"})
    [answer] = await take(box, cascade, "t2")
    assert (answer.channel, answer.price) == ("viber", Decimal("2.30"))


async def test_an_unanswered_answer_rests_and_goes_again_with_the_newest(
    way: Journey, box: PortalOutbox
) -> None:
    mid = await asked(way)
    await way.say(mid, 22)
    assert await settle(box, way, await take(box, way), Written.UNANSWERED) == {"unanswered": 1}
    await way.say(mid, 1)
    assert await take(box, way, "t2") == []
    view = await way.message(mid)
    assert 60 < (view.due_ms["portal"] - view.now_ms) / 1000 <= 70
    assert view.events[-2]["what"] == "portal_unanswered"
    await rested(way, mid)
    assert await answered(box, way, "t3") == [StepStatus.DELIVERED]
    assert await nothing_waits(box, way)


async def test_a_writer_that_died_leaves_its_answers_to_the_next(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 1)
    lost = await take(box, way, "t1")
    assert await take(box, way, "t2") == []
    await rested(way, mid)
    again = await take(box, way, "t2")
    assert again == lost
    # It was only slow: its late word touches nothing any more.
    assert await settle(box, way, lost, Written.WRITTEN, "t1") == {"stale": 1}
    assert await settle(box, way, again, Written.WRITTEN, "t2") == {"written": 1}
    assert await settle(box, way, again, Written.WRITTEN, "t2") == {"stale": 1}


async def test_a_step_that_waits_no_more_ends_the_matter(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 22)
    assert await settle(box, way, await take(box, way), Written.OVER) == {"over": 1}
    view = await way.message(mid)
    assert (view.events[-1]["what"], view.events[-1]["status"]) == ("step_over", "failed")
    assert "tok" not in view.record
    assert "pd" not in view.record
    await way.say(mid, 1)
    assert await nothing_waits(box, way)


async def test_what_the_portal_refuses_for_good_is_dropped(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 22)
    assert await settle(box, way, await take(box, way), Written.REFUSED) == {"dropped": 1}
    await way.say(mid, 1)
    assert await nothing_waits(box, way)
    assert "tok" not in (await way.message(mid)).record


async def test_what_is_too_old_is_dropped(store: connection.Store, way: Journey) -> None:
    box = PortalOutbox(store, most_age_seconds=1)
    mid = await asked(way, accepted_at_ms=now_ms() - 2000)
    await way.say(mid, 1)
    found = await taken(box, way, "t1")
    assert (found.entries, found.dropped) == ((), 1)
    record = (await way.message(mid)).record
    assert record["px"] == "too_old"
    assert "tok" not in record


async def test_statuses_and_answers_are_taken_apart_and_counted_together(
    way: Journey, box: PortalOutbox
) -> None:
    mid = await asked(way, ReportTo.ROBOT_AT_ONCE)
    await way.sent([2], accepted_at_ms=now_ms() - 20_000)
    await way.say(f"{2:032x}", 1)
    due = await box.due(way.uid)
    assert (due.statuses, due.answers, due.count) == (1, 1, 2)
    assert (await way.deliveries.ledger(way.uid)).portal_outbox == 2
    assert [answer.message_id for answer in await take(box, way)] == [mid]
    statuses = (await box.take(way.uid, token="t2", most=50)).entries
    assert [entry.message_id for entry in statuses] == [f"{2:032x}"]


async def test_answers_leave_in_the_order_in_which_they_were_due(way: Journey, box: PortalOutbox) -> None:
    found = await way.sent(range(1, 4), report_to=ReportTo.ROBOT, event_token="t")
    for mid in reversed(found):
        await way.say(mid, 1)
    await way.store.redis.zadd(f"{tags.provider(way.uid)}steps", {found[1]: 1}, xx=True)
    first = (await box.take(way.uid, token="t1", most=1, kind=Kind.ANSWERS)).entries
    assert [entry.message_id for entry in first] == [found[1]]


async def test_an_answer_keeps_its_place_while_its_message_goes_on(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way, ReportTo.ROBOT_AT_ONCE, sent=False)
    steps = f"{tags.provider(way.uid)}steps"
    await way.store.redis.zadd(steps, {mid: 1})
    await way.pump()
    await way.say(mid, 1)
    assert await way.store.redis.zscore(steps, mid) == 1


@pytest.mark.parametrize("report_to", [ReportTo.PORTAL, ReportTo.NOBODY])
async def test_a_token_is_kept_only_for_a_step(way: Journey, report_to: ReportTo) -> None:
    mid = await asked(way, report_to)
    assert (await way.message(mid)).record["tok"] == ""


@pytest.mark.parametrize("report_to", [ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE])
async def test_without_a_token_nobody_is_told(way: Journey, box: PortalOutbox, report_to: ReportTo) -> None:
    mid = await asked(way, report_to, event_token="")
    await way.say(mid, 1)
    assert await nothing_waits(box, way)


async def test_a_token_is_in_no_representation_and_no_story(way: Journey, box: PortalOutbox) -> None:
    mid = await asked(way)
    await way.say(mid, 1)
    assert TOKEN not in repr(await take(box, way))
    assert TOKEN not in repr(messages.outgoing(1, event_token=TOKEN))
    view = await way.message(mid)
    assert TOKEN not in repr(view)
    assert TOKEN not in str(view.events)
