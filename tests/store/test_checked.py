"""What look-ups mean for messages in the store: left out, waiting, sent unchecked; each step twice."""

import asyncio
from typing import Any

import pytest

from smsbridge.store import connection, delivery, outbox, scripts, tags
from tests.store import messages
from tests.store.test_outbox import claim, intend, take

UID = messages.UID


@pytest.fixture
def box(store: connection.Store) -> outbox.Outbox:
    return outbox.Outbox(store)


async def story(store: connection.Store, member: outbox.Member) -> list[dict[str, Any]]:
    events = await store.redis.lrange(f"{tags.provider(UID)}h:{member.message_id}", 0, -1)
    return [scripts.decode(event) for event in events]


async def ledger(store: connection.Store) -> delivery.LedgerView:
    return await delivery.Deliveries(store).ledger(UID)


async def test_who_is_left_out_fails_with_the_reason_and_the_others_go(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(3))
    claimed = await claim(box, "c1")
    gone = claimed.members[1]
    out = [{"ref": gone.ref, "reason": "NumberAbsent"}]
    for _ in range(2):
        assert await box.checked(UID, claimed, left_out=out, unchecked=[])
    record = await box.message(UID, gone.message_id)
    assert (record["st"], record["rs"], record["a1:st"], record["nx"]) == (
        "failed",
        "NumberAbsent",
        "failed",
        "0",
    )
    assert [event["what"] for event in await story(store, gone)] == ["accepted", "left_out"]
    assert "deadline_ms" in await intend(box, claimed)
    books = await ledger(store)
    assert (books.accepted, books.sending, books.final) == (3, 2, {"failed": 1})
    assert await store.redis.zscore(f"{tags.provider(UID)}dirty", gone.message_id) is not None


async def test_a_batch_of_which_all_are_left_out_ends(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(2))
    claimed = await claim(box, "c1")
    out = [{"ref": member.ref, "reason": "NumberAbsent"} for member in claimed.members]
    assert await box.checked(UID, claimed, left_out=out, unchecked=[])
    assert not await box.checked(UID, claimed, left_out=out, unchecked=[])
    assert "refused" in await intend(box, claimed)
    assert (await ledger(store)).final == {"failed": 2}
    assert await claim(box, "c2") == -1


async def test_a_batch_that_is_no_longer_ours_is_left_alone(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(1))
    claimed = await claim(box, "c1")
    await intend(box, claimed)
    out = [{"ref": claimed.members[0].ref, "reason": "NumberAbsent"}]
    assert not await box.checked(UID, claimed, left_out=out, unchecked=[])
    assert (await box.message(UID, claimed.members[0].message_id))["st"] == "sending"


async def test_the_wait_for_a_look_up_counts_from_its_first_time(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(1))
    waited = []
    for number in range(3):
        claimed = await claim(box, f"c{number}")
        (member,) = claimed.members
        waited.append(member.looked_ms)
        move = {"ref": member.ref, "delay_ms": 60, "why": "looking_up", "looking": True}
        assert await box.release(UID, claimed, [move])
        assert not await box.release(UID, claimed, [move])
        assert await claim(box, f"early{number}") > 0
        await asyncio.sleep(0.08)
    assert waited[0] == 0
    assert 60 <= waited[1] <= waited[2] - 60
    assert (await ledger(store)).queued == 1


async def test_what_was_decided_is_not_asked_again(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(1))
    claimed = await claim(box, "c1")
    (member,) = claimed.members
    assert await box.checked(UID, claimed, left_out=[], unchecked=[{"ref": member.ref, "why": "budget"}])
    event = (await story(store, member))[-1]
    assert (event["what"], event["why"]) == ("unchecked", "budget")
    await box.release(UID, claimed, [{"ref": member.ref, "delay_ms": 0, "why": "same_text_just_sent"}])
    (again,) = (await claim(box, "c2")).members
    assert again.looked_ms == -1
