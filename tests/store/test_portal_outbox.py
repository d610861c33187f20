"""Portal statuses that wait, on a real Valkey: what is written and when, two writers, newer words."""

from collections.abc import AsyncIterator

import pytest

from smsbridge.core.delivery import PortalStatus
from smsbridge.core.message import ReportTo
from smsbridge.core.provider import Profile
from smsbridge.store import connection, embedded, tags
from smsbridge.store.portal_outbox import Entry, PortalOutbox, Result, Written
from tests.conftest import store_settings
from tests.store import messages
from tests.store.journey import Journey, now_ms

QUEUED, SENT, DELIVERED, UNDELIVERED = (
    PortalStatus.QUEUED,
    PortalStatus.SENT,
    PortalStatus.DELIVERED,
    PortalStatus.UNDELIVERED,
)
MINUTE_MS = 60_000


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    """Nothing is too early to be written."""
    made = connection.Store.connect(store_settings(valkey, times={"portal_quiet_ms": 0}))
    await made.redis.flushall()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def way(store: connection.Store) -> Journey:
    return Journey(store, messages.provider(profile=Profile.HTTP))


@pytest.fixture
def box(store: connection.Store) -> PortalOutbox:
    return PortalOutbox(store)


async def take(box: PortalOutbox, way: Journey, token: str = "t1", most: int = 50) -> list[Entry]:
    return list((await box.take(way.uid, token=token, most=most)).entries)


async def settle(
    box: PortalOutbox, way: Journey, entries: list[Entry], written: Written, token: str = "t1"
) -> dict[str, int]:
    results = [Result(entry, written) for entry in entries]
    return dict(await box.settle(way.uid, token=token, results=results))


async def rested(way: Journey, mid: str) -> None:
    """The entry's rest is over."""
    await way.store.redis.hset(f"{tags.provider(way.uid)}m:{mid}", "pf", 1)
    await way.time_passes("dirty")


@pytest.mark.parametrize(
    ("code", "status"), [(1, "delivered"), (20, "undelivered"), (22, "failed"), (3, "undelivered")]
)
async def test_a_final_status_is_written_once(
    way: Journey, box: PortalOutbox, code: int, status: str
) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, code)
    entries = await take(box, way)
    assert [(entry.message_id, entry.status) for entry in entries] == [(mid, status)]
    assert await settle(box, way, entries, Written.WRITTEN) == {"written": 1}
    assert await take(box, way) == []
    record = (await way.message(mid)).record
    assert record["pd"] == status
    assert (await box.due(way.uid)).next_seconds is None


async def test_sent_is_not_written_where_the_portal_shows_it_by_itself(
    way: Journey, box: PortalOutbox
) -> None:
    await way.sent([1])
    assert await take(box, way) == []


async def test_queued_is_written_after_a_minute_and_then_sent_too(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.accepted([1])
    due = await box.due(way.uid)
    assert due.count == 0
    assert due.next_seconds is not None
    assert 50 < due.next_seconds <= 60
    assert await take(box, way) == []
    await way.store.redis.hset(f"{tags.provider(way.uid)}m:{mid}", "acc", now_ms() - MINUTE_MS - 1)
    await way.time_passes("dirty")
    queued = await take(box, way)
    assert [entry.status for entry in queued] == [QUEUED]
    await settle(box, way, queued, Written.WRITTEN)
    assert await take(box, way) == []
    await way.pump()
    sent = await take(box, way, "t2")
    assert [entry.status for entry in sent] == [SENT]
    await settle(box, way, sent, Written.WRITTEN, "t2")
    await way.say(mid, 1)
    assert [entry.status for entry in await take(box, way, "t3")] == [DELIVERED]


async def test_nothing_is_written_so_soon_after_acceptance(
    valkey: embedded.EmbeddedValkey, store: connection.Store
) -> None:
    patient = connection.Store.connect(store_settings(valkey))
    way, box = Journey(patient, messages.provider(profile=Profile.HTTP)), PortalOutbox(patient)
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    due = await box.due(way.uid)
    assert due.count == 0
    assert due.next_seconds is not None
    assert 8 < due.next_seconds <= 10
    await patient.close()


@pytest.mark.parametrize("report_to", [ReportTo.ROBOT, ReportTo.ROBOT_AT_ONCE, ReportTo.NOBODY])
async def test_only_what_came_from_the_portal_is_written(
    way: Journey, box: PortalOutbox, report_to: ReportTo
) -> None:
    [mid] = await way.sent([1], report_to=report_to)
    await way.say(mid, 1)
    assert await take(box, way) == []


async def test_a_message_that_cannot_be_sent_is_told_as_failed(way: Journey, box: PortalOutbox) -> None:
    await way.accepted([1], recipient="call me")
    assert [entry.status for entry in await take(box, way)] == [PortalStatus.FAILED]


async def test_an_unknown_outcome_stays_sent_in_the_portal(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.sent([1])
    await way.closes(mid)
    await way.deliveries.take_polls(way.uid, most=10, lease_seconds=10)
    assert await way.state(mid) == "outcome_unknown"
    assert await take(box, way) == []


async def test_two_writers_share_the_work(way: Journey, box: PortalOutbox) -> None:
    for mid in await way.sent(range(1, 81)):
        await way.say(mid, 1)
    one, two = await take(box, way, "t1"), await take(box, way, "t2")
    assert (len(one), len(two)) == (50, 30)
    assert not {entry.message_id for entry in one} & {entry.message_id for entry in two}
    assert await take(box, way, "t3") == []


async def test_a_newer_status_waits_for_the_flight_and_is_written_then(
    way: Journey, box: PortalOutbox
) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 20)
    first = await take(box, way, "t1")
    assert [entry.status for entry in first] == [UNDELIVERED]
    await way.say(mid, 1)
    assert await take(box, way, "t2") == []  # in flight: nobody else takes it
    await settle(box, way, first, Written.WRITTEN, "t1")
    second = await take(box, way, "t2")
    assert [entry.status for entry in second] == [DELIVERED]
    assert second[0].version > first[0].version


async def test_an_unanswered_status_rests_and_then_the_newest_is_written(
    way: Journey, box: PortalOutbox
) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 20)
    await settle(box, way, await take(box, way), Written.UNANSWERED)
    await way.say(mid, 1)
    assert await take(box, way, "t2") == []
    view = await way.message(mid)
    assert 60 < (view.due_ms["portal"] - view.now_ms) / 1000 <= 70
    await rested(way, mid)
    assert [entry.status for entry in await take(box, way, "t2")] == [DELIVERED]


async def test_a_writer_that_died_leaves_its_entries_to_the_next(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    lost = await take(box, way, "t1")
    assert await take(box, way, "t2") == []
    await rested(way, mid)
    again = await take(box, way, "t2")
    assert [entry.message_id for entry in again] == [mid]
    # It was only slow: its late word touches nothing any more.
    assert await settle(box, way, lost, Written.WRITTEN, "t1") == {"stale": 1}
    assert await settle(box, way, again, Written.WRITTEN, "t2") == {"written": 1}


async def test_a_queued_that_may_have_arrived_is_followed_by_sent(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.accepted([1])
    await way.store.redis.hset(f"{tags.provider(way.uid)}m:{mid}", "acc", now_ms() - MINUTE_MS - 1)
    await way.time_passes("dirty")
    await settle(box, way, await take(box, way), Written.UNANSWERED)
    await way.pump()
    await rested(way, mid)
    assert [entry.status for entry in await take(box, way, "t2")] == [SENT]


async def test_what_was_not_done_is_due_again(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    entries = await take(box, way)
    results = [Result(entry, Written.LATER, delay_seconds=0) for entry in entries]
    assert dict(await box.settle(way.uid, token="t1", results=results)) == {"later": 1}
    assert [entry.status for entry in await take(box, way, "t2")] == [DELIVERED]


async def test_a_message_the_portal_does_not_know_is_tried_again_for_ten_minutes(
    way: Journey, box: PortalOutbox
) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    waits = []
    for number in range(7):
        entries = await take(box, way, f"t{number}")
        assert await settle(box, way, entries, Written.NOT_FOUND, f"t{number}") == {"not_found": 1}
        view = await way.message(mid)
        waits.append(round((view.due_ms["portal"] - view.now_ms) / 1000))
        await rested(way, mid)
    assert waits == [5, 10, 20, 40, 80, 160, 320]
    # Ten minutes after the first time it is over.
    await way.store.redis.hset(f"{tags.provider(way.uid)}m:{mid}", "pn0", now_ms() - 600_001)
    entries = await take(box, way, "last")
    assert await settle(box, way, entries, Written.NOT_FOUND, "last") == {"dropped": 1}
    assert await take(box, way, "more") == []
    assert (await way.message(mid)).record["px"] == "not_found"
    assert (await way.message(mid)).events[-1]["what"] == "portal_dropped"


async def test_found_after_all(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    await settle(box, way, await take(box, way), Written.NOT_FOUND)
    await rested(way, mid)
    await settle(box, way, await take(box, way, "t2"), Written.WRITTEN, "t2")
    record = (await way.message(mid)).record
    assert record["pd"] == "delivered"
    assert "pn" not in record


async def test_what_the_portal_refuses_is_dropped(way: Journey, box: PortalOutbox) -> None:
    [mid] = await way.sent([1])
    await way.say(mid, 1)
    assert await settle(box, way, await take(box, way), Written.REFUSED) == {"dropped": 1}
    assert await take(box, way, "t2") == []


async def test_what_is_too_old_is_dropped(store: connection.Store, way: Journey) -> None:
    box = PortalOutbox(store, most_age_seconds=1)
    [mid] = await way.sent([1], accepted_at_ms=now_ms() - 2000)
    await way.say(mid, 1)
    taken = await box.take(way.uid, token="t1", most=50)
    assert (taken.entries, taken.dropped) == ((), 1)
    assert (await way.message(mid)).record["px"] == "too_old"
