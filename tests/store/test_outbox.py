"""The sender's scripts, on a real Valkey: from accept to outcome, and each repeated or out of turn."""

import time

import pytest

from smsbridge.core.message import TokenCheck
from smsbridge.core.provider import Batching, Profile
from smsbridge.sender import intake
from smsbridge.store import connection, outbox, tags
from tests.store import messages

UID = messages.UID


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def box(store: connection.Store) -> outbox.Outbox:
    return outbox.Outbox(store)


async def take(box: outbox.Outbox, numbers: range, *, provider=None, text="Привет", **changes) -> list[str]:
    provider = provider or messages.provider()
    new = [
        intake.prepare(
            messages.outgoing(n, text=text, accepted_at_ms=now_ms(), **changes), provider, default_region="RU"
        )
        for n in numbers
    ]
    return await box.accept(UID, new)


async def claim(box: outbox.Outbox, op: str, *, lane: str = "bulk", lease_ms: int = 45_000, most: int = 100):
    return await box.claim(UID, op=op, lane=lane, owner=op, lease_ms=lease_ms, client_id=op, most=most)


async def intend(box: outbox.Outbox, claimed: outbox.Claim, *, op: str = "", owner: str = "") -> dict:
    return await box.intend(
        UID,
        op=op or claimed.client_id + "-i",
        client_id=claimed.client_id,
        owner=owner or claimed.owner,
        total_ms=20_000,
        margin_ms=10_000,
        account_key="acct",
        profile="guide",
        base_url="http://127.0.0.1:1",
        body=b"phones=1",
        channel="sms",
    )


async def finish(
    box: outbox.Outbox, claimed: outbox.Claim, outcome: dict, *, op: str = "o", owner: str = ""
) -> dict:
    return await box.outcome(
        UID,
        op=claimed.client_id + op,
        client_id=claimed.client_id,
        owner=owner or claimed.owner,
        outcome=outcome,
    )


def all_accepted(claimed: outbox.Claim) -> dict:
    members = [
        {"ref": m.ref, "sid": claimed.client_id, "own": False, "cnt": 1, "cost": "", "est": False}
        for m in claimed.members
    ]
    return {"kind": "accepted", "members": members, "refused": [], "missing": [], "ids": ["x1", "x2"]}


async def states(store: connection.Store) -> dict[str, int]:
    tag = tags.provider(UID)
    counts = {s: await store.redis.scard(f"{tag}s:{s}") for s in ("held", "queued", "sending", "sent")}
    final = await store.redis.hgetall(f"{tag}fin")
    counts |= {k.decode(): int(v) for k, v in final.items() if int(v)}
    return {k: v for k, v in counts.items() if v}


async def test_a_message_is_taken_once(store: connection.Store, box: outbox.Outbox) -> None:
    assert await take(box, range(3)) == ["accepted"] * 3
    assert await take(box, range(2, 5)) == ["duplicate", "accepted", "accepted"]
    assert await states(store) == {"queued": 5}


async def test_a_claim_takes_a_hundred_and_never_one_phone_twice(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(250))
    await take(box, range(1000, 1001), recipient="+79990000000")
    sizes = []
    for index in range(4):
        found = await claim(box, f"c{index}")
        if isinstance(found, int):
            break
        sizes.append(len(found.members))
        phones = [m.msisdn for m in found.members]
        assert len(set(phones)) == len(phones)
    assert sizes == [100, 100, 51]
    assert await claim(box, "none") == -1


async def test_the_same_phone_waits_for_the_next_batch(box: outbox.Outbox) -> None:
    await take(box, range(1, 3), recipient="+79990000000")
    first, second = await claim(box, "c1"), await claim(box, "c2")
    assert [len(first.members), len(second.members)] == [1, 1]
    assert {first.members[0].ref, second.members[0].ref} == {f"{n:032x}|1" for n in (1, 2)}


async def test_a_repeated_claim_gets_the_first_answer(box: outbox.Outbox) -> None:
    await take(box, range(150))
    assert await claim(box, "c1") == await claim(box, "c1")
    left = await claim(box, "c2")
    assert len(left.members) == 50


async def test_linger_counts_from_entering_the_group(box: outbox.Outbox) -> None:
    slow = messages.provider(batching=Batching(linger_ms=5000))
    await take(box, range(99), provider=slow)
    wait = await claim(box, "c1")
    assert isinstance(wait, int)
    assert 4000 < wait <= 5000
    await take(box, range(99, 100), provider=slow)
    full = await claim(box, "c2")
    assert len(full.members) == 100


async def test_different_texts_share_a_request_only_where_the_profile_can(box: outbox.Outbox) -> None:
    for n in range(3):
        await take(box, range(n, n + 1), text=f"Текст {n}")
    assert [len((await claim(box, f"g{n}")).members) for n in range(3)] == [1, 1, 1]
    http = messages.provider(profile=Profile.HTTP)
    for n in range(3, 6):
        await take(box, range(n, n + 1), text=f"Текст {n}", provider=http)
    found = await claim(box, "h")
    assert [m.text for m in found.members] == ["Текст 3", "Текст 4", "Текст 5"]


async def test_an_accepted_batch_is_sent_and_told(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(2))
    found = await claim(box, "c1")
    assert (await intend(box, found))["deadline_ms"] == 30_000
    assert await finish(box, found, all_accepted(found)) == {"done": "accepted"}
    assert await states(store) == {"sent": 2}
    told = await box.submissions(UID, 100)
    assert {ref: fields["smsc_id"] for ref, fields in told.items()} == {m.ref: "c1" for m in found.members}
    assert await store.redis.exists(f"{tags.provider(UID)}b:c1") == 0


async def test_a_repeated_outcome_changes_nothing(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(2))
    found = await claim(box, "c1")
    await intend(box, found)
    first = await finish(box, found, all_accepted(found))
    assert await finish(box, found, all_accepted(found)) == first
    back = {"kind": "back", "delay_ms": 0, "why": "late"}
    assert await finish(box, found, back, op="other") == {"stale": True, "gone": True}
    assert await states(store) == {"sent": 2}


async def test_an_intent_needs_the_owner_and_a_long_lease(box: outbox.Outbox) -> None:
    await take(box, range(1))
    found = await claim(box, "c1", lease_ms=29_000)
    assert await intend(box, found, owner="stranger", op="a") == {"refused": "owner"}
    assert await intend(box, found, op="b") == {"refused": "lease"}


async def test_a_claim_without_intent_goes_back_when_its_lease_ends(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(2))
    found = await claim(box, "c1")
    await store.redis.zadd(f"{tags.provider(UID)}claims", {"c1": 0})
    assert await box.reap(UID) == {"reaped": 1, "expired": 0}
    assert await states(store) == {"queued": 2}
    assert await intend(box, found) == {"refused": "gone"}
    again = await claim(box, "c2")
    assert {m.ref for m in again.members} == {m.ref for m in found.members}


async def test_nobody_touches_an_intent_before_its_deadline(box: outbox.Outbox) -> None:
    await take(box, range(1))
    found = await claim(box, "c1")
    await intend(box, found)
    assert await box.reap(UID) == {"reaped": 0, "expired": 0}
    wait = await box.take_uncertain(UID, owner="r", lease_ms=1000)
    assert isinstance(wait, int)
    assert 29_000 < wait <= 30_000


async def test_what_did_not_leave_goes_back_and_keeps_its_place(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(2))
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "back", "delay_ms": 0, "why": "dns"})
    assert await states(store) == {"queued": 2}
    assert len((await claim(box, "c2")).members) == 2


async def test_a_refused_number_is_found_by_halves(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(4))
    bad = f"{2:032x}|1"
    requests, waiting = 0, [await claim(box, "c1")]
    while waiting:
        found = waiting.pop()
        await intend(box, found)
        requests += 1
        refs = [m.ref for m in found.members]
        ids = [f"{found.client_id}a", f"{found.client_id}b"]
        if bad in refs and len(refs) > 1:
            await finish(box, found, {"kind": "halve", "ids": ids, "code": 7})
            waiting += [await claim(box, f"{found.client_id}x{n}") for n in range(2)]
        elif bad in refs:
            await finish(
                box,
                found,
                {"kind": "fail", "reason": "NumberRefused", "text": "invalid number", "code": 7, "ids": ids},
            )
        else:
            await finish(box, found, all_accepted(found))
    assert requests == 5
    assert await states(store) == {"sent": 3, "failed": 1}
    assert (await box.message(UID, f"{2:032x}"))["rs"] == "NumberRefused"


@pytest.mark.parametrize(("second_code", "expected"), [(6, {"failed": 3}), (1, {"failed": 1, "sending": 2})])
async def test_one_is_tried_alone_and_the_rest_follows_its_verdict(
    store: connection.Store, box: outbox.Outbox, second_code: int, expected: dict[str, int]
) -> None:
    await take(box, range(3))
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "alone", "code": 6, "ids": ["one", "rest"]})
    alone = await claim(box, "c2")
    assert (alone.client_id, len(alone.members)) == ("one", 1)
    assert isinstance(await claim(box, "c3"), int)
    await intend(box, alone)
    failed = {
        "kind": "fail",
        "reason": "TextDenied",
        "text": "denied",
        "code": second_code,
        "ids": ["h1", "h2"],
    }
    await finish(box, alone, failed)
    assert await states(store) == expected


async def test_a_late_outcome_under_a_stale_owner_only_adds_accepted(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(1))
    found = await claim(box, "c1")
    await intend(box, found)
    await store.redis.zadd(f"{tags.provider(UID)}intents", {"c1": 0})
    taken = await box.take_uncertain(UID, owner="reconciler", lease_ms=60_000)
    assert isinstance(taken, outbox.Uncertain)
    assert await finish(box, found, {"kind": "back", "delay_ms": 0, "why": "x"}, op="1") == {"stale": True}
    assert await states(store) == {"sending": 1}
    assert await finish(box, found, all_accepted(found), op="2") == {"stale": True}
    assert await states(store) == {"sent": 1}


async def test_a_batch_that_may_be_on_its_way_is_never_put_back(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(1))
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "uncertain", "why": "timeout"})
    await store.redis.zadd(f"{tags.provider(UID)}intents", {"c1": 0})
    taken = await box.take_uncertain(UID, owner="r", lease_ms=60_000)
    begun = await box.begin_repeat(
        UID, op="b", batch=taken, lease_ms=45_000, within_ms=0, fresh_client_id="new"
    )
    assert begun["client_id"] == "c1"
    repeat = outbox.Claim("c1", "r", taken.group, (), split=False)
    assert (await intend(box, repeat, op="second"))["deadline_ms"] == 30_000
    await finish(box, repeat, {"kind": "back", "delay_ms": 0, "why": "dns"}, op="2")
    assert await states(store) == {"sending": 1}
    assert await store.redis.hget(f"{tags.provider(UID)}b:c1", "st") == b"uncertain"


async def test_a_repeat_with_other_bytes_is_refused(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(1))
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "uncertain", "why": "timeout"})
    await store.redis.zadd(f"{tags.provider(UID)}intents", {"c1": 0})
    taken = await box.take_uncertain(UID, owner="r", lease_ms=60_000)
    await box.begin_repeat(UID, op="b", batch=taken, lease_ms=45_000, within_ms=0, fresh_client_id="new")
    answer = await box.intend(
        UID, op="z", client_id="c1", owner="r", total_ms=20_000, margin_ms=10_000, account_key="acct",
        profile="guide", base_url="http://127.0.0.1:1", body=b"phones=2", channel="sms",
    )  # fmt: skip
    assert answer == {"refused": "body"}


async def test_a_part_found_is_adopted_and_the_rest_is_a_new_composition(
    store: connection.Store, box: outbox.Outbox
) -> None:
    await take(box, range(2))
    found = await claim(box, "c1")
    await intend(box, found)
    await finish(box, found, {"kind": "uncertain", "why": "timeout"})
    intents = f"{tags.provider(UID)}intents"
    await store.redis.zadd(intents, {"c1": 0})
    taken = await box.take_uncertain(UID, owner="r", lease_ms=60_000)
    adopted = [{"ref": found.members[0].ref, "sid": "c1", "own": False}]
    verdict = {"kind": "found", "members": adopted, "refused": [], "ids": ["i", "j"], "ask_in_ms": 0}
    assert await box.settle(UID, op="s", batch=taken, verdict=verdict) == {"left": 1, "not_found": 0}
    await store.redis.zadd(intents, {"c1": 0})
    rest = await box.take_uncertain(UID, owner="r2", lease_ms=60_000)
    assert rest.partial
    begun = await box.begin_repeat(
        UID, op="b", batch=rest, lease_ms=45_000, within_ms=0, fresh_client_id="new"
    )
    assert begun == {"rest": True, "client_id": "new"}
    again = await claim(box, "c9")
    assert (again.client_id, [m.ref for m in again.members]) == ("new", [found.members[1].ref])


async def test_validity_ends_a_waiting_message(store: connection.Store, box: outbox.Outbox) -> None:
    old = messages.outgoing(1, accepted_at_ms=now_ms() - 25 * 3600 * 1000)
    await box.accept(UID, [intake.prepare(old, messages.provider(), default_region="RU")])
    assert await box.reap(UID) == {"reaped": 0, "expired": 1}
    assert await states(store) == {"expired": 1}
    assert await claim(box, "c") == -1


async def test_cancel_takes_back_only_what_is_queued(store: connection.Store, box: outbox.Outbox) -> None:
    await take(box, range(2))
    mid = f"{0:032x}"
    assert await box.cancel(UID, mid, state="cancelled", reason="Cancelled") == {
        "state": "cancelled",
        "done": True,
    }
    found = await claim(box, "c")
    assert [m.ref for m in found.members] == [f"{1:032x}|1"]
    late = await box.cancel(UID, f"{1:032x}", state="cancelled", reason="Cancelled")
    assert late == {"state": "sending", "done": False}
    assert await box.cancel(UID, "f" * 32, state="cancelled", reason="Cancelled") == {"unknown": True}
    assert await states(store) == {"cancelled": 1, "sending": 1}


async def test_a_foreign_token_holds_a_message(store: connection.Store, box: outbox.Outbox) -> None:
    assert await take(box, range(1), token_check=TokenCheck.MISMATCH, token_digest="d") == ["held"]
    assert await claim(box, "c") == -1
    held = await box.held(UID)
    assert held == [{"mid": f"{0:032x}", "digest": "d", "due": False}]
    assert await box.unhold(UID, f"{0:032x}")
    assert not await box.unhold(UID, f"{0:032x}")
    assert len((await claim(box, "c2")).members) == 1
    assert await states(store) == {"sending": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipient": "call me"}, "BadNumber"),
        ({"text": ""}, "EmptyText"),
        ({"text": "я" * 1001}, "TextTooLong"),
        ({"text": "__CALL__ code"}, "ChannelPrefix"),
        ({"code": "other"}, "ForeignCode"),
    ],
)
async def test_what_cannot_be_sent_is_taken_and_failed(
    store: connection.Store, box: outbox.Outbox, changes: dict, reason: str
) -> None:
    assert await take(box, range(1), **changes) == ["failed"]
    assert (await box.message(UID, f"{0:032x}"))["rs"] == reason
    assert await states(store) == {"failed": 1}
    assert await store.redis.zcard(f"{tags.provider(UID)}dirty") == 1


async def test_held_messages_are_looked_through_page_by_page(box: outbox.Outbox) -> None:
    await take(box, range(5), token_check=TokenCheck.MISMATCH, token_digest="d")
    first, rest = await box.held(UID, most=3), await box.held(UID, offset=3, most=3)
    assert [len(first), len(rest)] == [3, 2]
    assert {item["mid"] for item in first + rest} == {f"{n:032x}" for n in range(5)}
    assert await box.held(UID, offset=5) == []
