"""A script that is run again with the same arguments changes nothing more, and says what it said.

That is what a caller does who does not know whether it ran (guarantee 4). Also: what comes too late changes
nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from smsbridge.core.message import ReportTo, Route, TokenCheck
from smsbridge.core.provider import Profile, Routing
from smsbridge.store import connection, outbox, tags
from smsbridge.store.portal_outbox import Kind, PortalOutbox, Result, Written
from smsbridge.store.receipts import Receipt, Receipts, ReceiptTimes
from tests.store import messages
from tests.store.journey import Journey

UID = messages.UID
TAG = tags.provider(UID)
Run = Callable[[], Awaitable[Any]]


@dataclass(slots=True)
class Lab:
    """A provider of profile http with a cascade, so that every script has something to do."""

    store: connection.Store
    way: Journey

    @property
    def box(self) -> outbox.Outbox:
        return self.way.box

    async def claimed(self, count: int = 4) -> outbox.Claim:
        await self.way.accepted(range(count))
        claim = await self.claim("c1")
        assert isinstance(claim, outbox.Claim)
        return claim

    async def claim(self, op: str) -> outbox.Claim | int:
        return await self.box.claim(
            UID, op=op, lane="interactive", owner=op, lease_ms=45_000, client_id=op, most=100
        )

    def intend(self, client_id: str, owner: str, *, op: str = "i") -> Run:
        return lambda: self.box.intend(
            UID, op=op, client_id=client_id, owner=owner, total_ms=20_000, margin_ms=10_000,
            account_key="acct", profile="http", base_url="http://127.0.0.1:1", body=b"phones=1",
            channel="viber",
        )  # fmt: skip

    async def posted(self, count: int = 4) -> outbox.Claim:
        claim = await self.claimed(count)
        assert "deadline_ms" in await self.intend("c1", "c1")()
        return claim

    async def uncertain(self) -> outbox.Uncertain:
        await self.posted()
        verdict = {"kind": "uncertain", "why": "timeout", "ask_in_ms": 0}
        await self.box.outcome(UID, op="u", client_id="c1", owner="c1", outcome=verdict)
        await self.way.time_passes("intents")
        batch = await self.box.take_uncertain(UID, owner="r", lease_ms=60_000)
        assert isinstance(batch, outbox.Uncertain)
        return batch

    async def snapshot(self) -> dict[bytes, bytes]:
        """Every key but the answers that are kept for a repeat."""
        keys = [key async for key in self.store.redis.scan_iter() if b":op:" not in key]
        return {key: await self.store.redis.dump(key) for key in keys}


@pytest.fixture
def lab(store: connection.Store) -> Lab:
    routing = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
    return Lab(store, Journey(store, messages.provider(profile=Profile.HTTP, routing=routing)))


def refs(claim: outbox.Claim) -> list[str]:
    return [member.ref for member in claim.members]


def acceptance(ref: str) -> dict[str, Any]:
    return {"ref": ref, "sid": "s1", "own": False, "cnt": 1, "cost": "", "est": False}


async def a_claim(lab: Lab) -> Run:
    await lab.way.accepted(range(4))
    return lambda: lab.claim("c1")


async def an_empty_claim(lab: Lab) -> Run:
    return lambda: lab.claim("c1")


async def an_intent(lab: Lab) -> Run:
    await lab.claimed()
    return lab.intend("c1", "c1")


async def an_intent_with_members_that_are_not_needed(lab: Lab) -> Run:
    await lab.claimed()
    await lab.store.redis.hset(f"{TAG}m:{0:032x}", "a1:st", "failed")
    return lab.intend("c1", "c1")


def an_outcome(kind: str, **more: Any) -> Callable[[Lab], Awaitable[Run]]:
    async def prepare(lab: Lab) -> Run:
        claim = await lab.posted()
        outcome: dict[str, Any] = {"kind": kind, "ids": ["x1", "x2"], **more}
        if kind == "accepted":
            one, two, three, four = refs(claim)
            outcome["members"] = [acceptance(one), acceptance(two)]
            outcome["refused"] = [{"ref": three, "reason": "CannotDeliver", "text": "no route"}]
            outcome["missing"] = [four] if more.get("missing") else []
            outcome["members"] += [] if more.get("missing") else [acceptance(four)]
        return lambda: lab.box.outcome(UID, op="o", client_id="c1", owner="c1", outcome=outcome)

    return prepare


def a_settlement(kind: str, *, found: int = 0, refused: int = 0) -> Callable[[Lab], Awaitable[Run]]:
    async def prepare(lab: Lab) -> Run:
        batch = await lab.uncertain()
        names = [ref for ref, _ in batch.members]
        verdict = {
            "kind": kind,
            "members": [{"ref": ref, "sid": "s1", "own": False} for ref in names[:found]],
            "refused": [{"ref": ref, "reason": "Forbidden", "text": "spam"} for ref in names[:refused]],
            "ids": ["x1", "x2"],
            "ask_in_ms": 1000,
            "why": "status_unanswered",
        }
        return lambda: lab.box.settle(UID, op="s", batch=batch, verdict=verdict)

    return prepare


def a_repeat(*, partial: bool) -> Callable[[Lab], Awaitable[Run]]:
    async def prepare(lab: Lab) -> Run:
        batch = await lab.uncertain()
        if partial:
            await lab.store.redis.hset(f"{TAG}b:c1", "partial", "1")
        return lambda: lab.box.begin_repeat(
            UID, op="b", batch=batch, lease_ms=45_000, within_ms=0, fresh_client_id="new"
        )

    return prepare


SAID_AGAIN = {
    "claim": a_claim,
    "claim of nothing": an_empty_claim,
    "intent": an_intent,
    "intent, stale members": an_intent_with_members_that_are_not_needed,
    "accepted": an_outcome("accepted"),
    "accepted, one missing": an_outcome("accepted", missing=True),
    "fail": an_outcome("fail", reason="TextDenied", text="denied", code=6),
    "alone": an_outcome("alone", code=6),
    "halve": an_outcome("halve", code=7),
    "back": an_outcome("back", delay_ms=0, why="dns"),
    "back later": an_outcome("back", delay_ms=5000, why="duplicate"),
    "uncertain": an_outcome("uncertain", why="timeout", ask_in_ms=0),
    "settled: all found": a_settlement("found", found=4),
    "settled: some found": a_settlement("found", found=2),
    "settled: all refused": a_settlement("found", refused=4),
    "settled: not found": a_settlement("not_found"),
    "settled: no answer": a_settlement("again"),
    "repeat": a_repeat(partial=False),
    "repeat of a rest": a_repeat(partial=True),
}


@pytest.mark.parametrize("prepare", SAID_AGAIN.values(), ids=SAID_AGAIN.keys())
async def test_a_repeated_operation(lab: Lab, prepare: Callable[[Lab], Awaitable[Run]]) -> None:
    run = await prepare(lab)
    before = await lab.snapshot()
    first = await run()
    after = await lab.snapshot()
    assert await run() == first
    assert await lab.snapshot() == after
    if prepare is not an_empty_claim and prepare is not an_intent_with_members_that_are_not_needed:
        assert after != before


async def a_release(lab: Lab) -> Run:
    claim = await lab.claimed()
    moves = [{"ref": refs(claim)[0], "delay_ms": 0, "why": "same_text_just_sent"}]
    return lambda: lab.box.release(UID, claim, moves)


async def a_release_of_all(lab: Lab) -> Run:
    claim = await lab.claimed()
    moves = [{"ref": ref, "delay_ms": 1000, "why": "same_text_just_sent"} for ref in refs(claim)]
    return lambda: lab.box.release(UID, claim, moves)


async def dropped_members(lab: Lab) -> Run:
    claim = await lab.claimed()
    return lambda: lab.box.drop_stale(UID, claim, refs(claim)[:2])


async def a_reap(lab: Lab) -> Run:
    await lab.claimed()
    await lab.way.time_passes("claims", "exp")
    return lambda: lab.box.reap(UID)


async def an_uncertain_batch_taken(lab: Lab) -> Run:
    await lab.posted()
    await lab.way.time_passes("intents")
    return lambda: lab.box.take_uncertain(UID, owner="r", lease_ms=60_000)


async def a_cancel(lab: Lab) -> Run:
    [mid] = await lab.way.accepted([1])
    return lambda: lab.box.cancel(UID, mid, state="cancelled", reason="Cancelled")


async def a_hold_ended(lab: Lab) -> Run:
    [mid] = await lab.way.accepted([1], token_check=TokenCheck.MISMATCH, token_digest="d")
    return lambda: lab.box.unhold(UID, mid)


async def a_reading(lab: Lab) -> Run:
    [mid] = await lab.way.sent([1])
    return lambda: lab.way.say(mid, 20)


async def a_tick(lab: Lab) -> Run:
    await lab.way.sent([1])
    await lab.way.time_passes("casc")
    return lambda: lab.way.deliveries.tick(UID)


async def a_leg_told(lab: Lab) -> Run:
    [mid] = await lab.way.sent([1])
    await lab.way.say(mid, 20)
    return lambda: lab.way.deliveries.told(UID, plans=[(f"{mid}|2", True)])


async def a_leg_refused(lab: Lab) -> Run:
    [mid] = await lab.way.sent([1])
    await lab.way.say(mid, 20)
    return lambda: lab.way.deliveries.told(UID, plans=[(f"{mid}|2", False)])


async def an_index(lab: Lab) -> Run:
    await lab.way.sent([1])
    await lab.way.receipts.record(lab.way.account_key, [Receipt("cid1", messages.phone(1).lstrip("+"), 1)])
    told = await lab.way.submissions()
    return lambda: lab.way.receipts.index(lab.way.account_key, told)


async def a_receipt(lab: Lab) -> Run:
    await lab.way.sent([1])
    await lab.way.index()
    receipt = Receipt("cid1", messages.phone(1).lstrip("+"), 1, ts=7)
    return lambda: lab.way.receipts.record(lab.way.account_key, [receipt])


async def a_parked_receipt_given_up(lab: Lab) -> Run:
    box = Receipts(lab.store, ReceiptTimes(parked_seconds=0.001))
    await lab.way.receipts.record(lab.way.account_key, [Receipt("unheard", "79990000001", 1)])
    key = tags.account(lab.way.account_key) + "parked"
    await lab.store.redis.zadd(key, {"unheard": 1})
    return box.parked


async def a_receipt_settled(lab: Lab) -> Run:
    await (await a_receipt(lab))()
    [entry] = await lab.way.receipts.take(lab.way.account_key)
    return lambda: lab.way.receipts.settle(lab.way.account_key, done=[entry.entry_id])


async def _final(lab: Lab) -> PortalOutbox:
    """Three messages whose final status may be written."""
    for mid in await lab.way.sent([1, 2, 3]):
        await lab.way.say(mid, 1)
    await lab.way.time_passes("dirty")
    return PortalOutbox(lab.store)


async def _ended(lab: Lab) -> PortalOutbox:
    """The same of a workflow step's messages."""
    for mid in await lab.way.sent([1, 2, 3], report_to=ReportTo.ROBOT, event_token="t"):
        await lab.way.say(mid, 1)
    return PortalOutbox(lab.store)


async def answers_taken(lab: Lab) -> Run:
    portal = await _ended(lab)
    return lambda: portal.take(UID, token="t1", most=50, kind=Kind.ANSWERS)


def answers_settled(written: Written) -> Callable[[Lab], Awaitable[Run]]:
    async def prepare(lab: Lab) -> Run:
        portal = await _ended(lab)
        entries = (await portal.take(UID, token="t1", most=50, kind=Kind.ANSWERS)).entries
        assert len(entries) == 3
        results = [Result(entry, written, delay_seconds=1.0) for entry in entries]
        return lambda: portal.settle(UID, token="t1", results=results)

    return prepare


async def statuses_taken(lab: Lab) -> Run:
    portal = await _final(lab)
    return lambda: portal.take(UID, token="t1", most=50)


def statuses_settled(written: Written) -> Callable[[Lab], Awaitable[Run]]:
    async def prepare(lab: Lab) -> Run:
        portal = await _final(lab)
        entries = (await portal.take(UID, token="t1", most=50)).entries
        assert len(entries) == 3
        results = [Result(entry, written, delay_seconds=1.0) for entry in entries]
        return lambda: portal.settle(UID, token="t1", results=results)

    return prepare


CHANGES_NOTHING_MORE = {
    "release": a_release,
    "release of all": a_release_of_all,
    "drop_stale": dropped_members,
    "reap": a_reap,
    "take_uncertain": an_uncertain_batch_taken,
    "cancel": a_cancel,
    "unhold": a_hold_ended,
    "delivery_apply": a_reading,
    "delivery_tick": a_tick,
    "delivery_told, taken": a_leg_told,
    "delivery_told, refused": a_leg_refused,
    "receipts_index": an_index,
    "receipts_record": a_receipt,
    "receipts_parked": a_parked_receipt_given_up,
    "receipts_settle": a_receipt_settled,
    "portal_take": statuses_taken,
    "portal_take, answers": answers_taken,
    **{f"portal_settle, {written}": statuses_settled(written) for written in Written},
    **{f"portal_settle, an answer {written}": answers_settled(written) for written in Written},
}


@pytest.mark.parametrize("prepare", CHANGES_NOTHING_MORE.values(), ids=CHANGES_NOTHING_MORE.keys())
async def test_a_repeated_script(lab: Lab, prepare: Callable[[Lab], Awaitable[Run]]) -> None:
    """These know by what they find that they are done; their second answer may say so."""
    run = await prepare(lab)
    before = await lab.snapshot()
    await run()
    after = await lab.snapshot()
    assert after != before
    await run()
    assert await lab.snapshot() == after


async def test_a_repeat_that_begins_too_late_for_smsc_s_duplicate_guard(lab: Lab) -> None:
    """The question took long: nothing is begun, and the batch stays its owner's."""
    batch = await lab.uncertain()
    posted = int((await lab.store.redis.hget(f"{TAG}b:c1", "posted")).decode())
    await lab.store.redis.hset(f"{TAG}b:c1", "posted", posted - 50_000)
    before = await lab.snapshot()
    begun = await lab.box.begin_repeat(
        UID, op="b", batch=batch, lease_ms=45_000, within_ms=50_000, fresh_client_id="new"
    )
    assert begun == {"late": True}
    assert await lab.snapshot() == before
    verdict = {"kind": "not_found", "ask_in_ms": 0}
    assert await lab.box.settle(UID, op="s", batch=batch, verdict=verdict) == {"left": 4, "not_found": 1}


async def test_a_repeat_in_time(lab: Lab) -> None:
    batch = await lab.uncertain()
    begun = await lab.box.begin_repeat(
        UID, op="b", batch=batch, lease_ms=45_000, within_ms=50_000, fresh_client_id="new"
    )
    assert begun["client_id"] == "c1"
