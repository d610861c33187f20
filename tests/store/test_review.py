"""Rules of the store that a review found broken once, each on a real Valkey."""

import asyncio

import pytest

from smsbridge.core.provider import Profile
from smsbridge.sender import intake
from smsbridge.store import connection, delivery, embedded, outbox, portal_outbox, tags
from tests.conftest import store_settings
from tests.store import journey, messages
from tests.store.test_outbox import (
    box,
    claim,
    finish,
    intend,
    now_ms,
    states,
    take,
)

UID = messages.UID
__all__ = ["box"]


async def uncertain(
    store: connection.Store, box: outbox.Outbox, numbers: range, **changes
) -> outbox.Uncertain:
    """Messages of one batch that nobody answered for, taken to be settled."""
    await take(box, numbers, **changes)
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "uncertain", "why": "timeout"})
    return await taken(store, box)


async def taken(store: connection.Store, box: outbox.Outbox, owner: str = "r") -> outbox.Uncertain:
    await store.redis.zadd(f"{tags.provider(UID)}intents", {"c1": 0})
    found = await box.take_uncertain(UID, owner=owner, lease_ms=60_000)
    assert isinstance(found, outbox.Uncertain)
    return found


@pytest.mark.parametrize("together", [True, False], ids=["in one call", "one after the other"])
async def test_a_text_is_kept_though_a_message_that_fails_had_it_first(
    box: outbox.Outbox, together: bool
) -> None:
    """A letter to ten thousand people has a number in it that is none."""
    bad = messages.outgoing(1, recipient="call me", accepted_at_ms=now_ms())
    good = messages.outgoing(2, accepted_at_ms=now_ms())
    new = [intake.prepare(item, messages.provider(), default_region="RU") for item in (bad, good)]
    if together:
        assert await box.accept(UID, new) == ["failed", "accepted"]
    else:
        assert await box.accept(UID, new[:1]) == ["failed"]
        assert await box.accept(UID, new[1:]) == ["accepted"]
    assert [m.text for m in (await claim(box, "c")).members] == ["Привет"]


async def test_five_thousand_messages_of_one_call_are_taken(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(5000))
    assert await states(store) == {"queued": 5000}
    assert len((await claim(box, "c")).members) == 100


async def test_the_answer_of_a_claim_is_kept_no_longer_than_its_lease(
    store: connection.Store, box: outbox.Outbox
) -> None:
    """It holds a hundred texts; a quarter of an hour of them fills the store."""
    await take(box, range(1))
    await claim(box, "c1", lease_ms=45_000)
    assert 0 < await store.redis.pttl(f"{tags.provider(UID)}op:c1") <= 45_000


async def test_what_outlived_its_validity_is_not_repeated(
    store: connection.Store, box: outbox.Outbox
) -> None:
    batch = await uncertain(store, box, range(3))
    ends = now_ms() - 1
    await store.redis.hset(f"{tags.provider(UID)}m:{1:032x}", "exp", ends)
    again = {"batch": batch, "lease_ms": 45_000, "fresh_client_id": "new"}
    # Within SMSC's duplicate guard only the same bytes may be sent again.
    assert await box.begin_repeat(UID, op="b1", within_ms=50_000, **again) == {"late": True}
    assert await box.begin_repeat(UID, op="b2", within_ms=0, **again) == {"rest": True, "client_id": "new"}
    assert await states(store) == {"expired": 1, "sending": 2}
    assert [m.ref for m in (await claim(box, "c2")).members] == [f"{0:032x}|1", f"{2:032x}|1"]


async def test_a_batch_of_which_all_expired_ends_and_frees_who_waited_for_it(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(2))
    first = await claim(box, "c0")
    await intend(box, first)
    await finish(box, first, {"kind": "alone", "code": 6, "ids": ["c1", "rest"]})
    alone = await claim(box, "x")
    await intend(box, alone)
    await finish(box, alone, {"kind": "uncertain", "why": "timeout"})
    batch = await taken(store, box)
    await store.redis.hset(f"{tags.provider(UID)}m:{alone.members[0].ref[:32]}", "exp", 1)
    begun = await box.begin_repeat(
        UID, op="b", batch=batch, lease_ms=45_000, within_ms=0, fresh_client_id="new"
    )
    assert begun == {"rest": True, "client_id": ""}
    assert (await claim(box, "y")).client_id == "rest"
    assert await states(store) == {"expired": 1, "sending": 1}


@pytest.mark.parametrize("kind", ["again", "not_found"])
async def test_what_nobody_can_tell_of_is_closed_in_the_end(
    valkey: embedded.EmbeddedValkey, store: connection.Store, kind: str
) -> None:
    hasty = connection.Store.connect(store_settings(valkey, times={"close_most_ms": 300}))
    box = outbox.Outbox(hasty)
    try:
        batch = await uncertain(store, box, range(2))
        verdict = {"kind": kind, "ask_in_ms": 0, "why": "account_changed"}
        assert (await box.settle(UID, op="s1", batch=batch, verdict=verdict))["left"] == 2
        await asyncio.sleep(0.35)
        batch = await taken(store, box)
        answer = await box.settle(UID, op="s2", batch=batch, verdict=verdict)
        assert answer == {"left": 0, "closed": True}
        assert await states(store) == {"outcome_unknown": 2}
        assert (await delivery.Deliveries(store).ledger(UID)).unaccounted == 0
        assert await store.redis.exists(f"{tags.provider(UID)}b:c1") == 0
    finally:
        await hasty.close()


async def test_a_late_acceptance_of_a_part_is_not_sent_again_with_the_rest(
    store: connection.Store, box: outbox.Outbox
) -> None:
    batch = await uncertain(store, box, range(2))
    outcome = {
        "kind": "accepted",
        "members": [{"ref": batch.members[0][0], "sid": "c1", "own": False}],
        "missing": [batch.members[1][0]],
        "ids": ["i", "j"],
    }
    late = {"op": "late", "client_id": "c1", "owner": "c1", "outcome": outcome}
    assert await box.outcome(UID, **late) == {"stale": True}
    begun = await box.begin_repeat(
        UID, op="b", batch=batch, lease_ms=45_000, within_ms=0, fresh_client_id="new"
    )
    assert begun == {"rest": True, "client_id": "new"}
    assert [m.ref for m in (await claim(box, "c2")).members] == [batch.members[1][0]]


async def test_a_later_status_is_retried_though_an_earlier_one_was_given_up(
    valkey: embedded.EmbeddedValkey, store: connection.Store
) -> None:
    times = {"portal_quiet_ms": 0, "portal_queued_after_ms": 0}
    hasty = connection.Store.connect(store_settings(valkey, times=times))
    way = journey.Journey(hasty, messages.provider(profile=Profile.HTTP))
    box = portal_outbox.PortalOutbox(hasty)
    key = f"{tags.provider(way.uid)}m:{1:032x}"
    try:
        await way.accepted([1])
        for number, since in enumerate((0, now_ms() - 600_001)):
            await hasty.redis.hset(key, mapping={"pf": 1} | ({"pn0": since} if since else {}))
            await way.time_passes("dirty")
            entries = (await box.take(way.uid, token=f"t{number}", most=50)).entries
            results = [portal_outbox.Result(entry, portal_outbox.Written.NOT_FOUND) for entry in entries]
            settled = await box.settle(way.uid, token=f"t{number}", results=results)
        assert settled == {"dropped": 1}
        await way.pump()
        await way.say(f"{1:032x}", 1)
        entries = (await box.take(way.uid, token="t", most=50)).entries
        results = [portal_outbox.Result(entry, portal_outbox.Written.NOT_FOUND) for entry in entries]
        assert await box.settle(way.uid, token="t", results=results) == {"not_found": 1}
    finally:
        await hasty.close()
