"""The status role over gRPC: receipts in, messages and ledgers out, cascades handed on, questions to SMSC."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from smsbridge.api.v1 import sender_pb2, status_pb2, types_pb2
from smsbridge.core import errors
from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Route
from smsbridge.core.provider import Profile, Routing
from smsbridge.rpc import enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.sandbox.server import Sandbox
from smsbridge.store import account, connection, embedded, receipts, tags
from tests.store import messages
from tests.wire import smsc_server, status_lab
from tests.wire.senders import until
from tests.wire.status_lab import Lab

CASCADE = Routing(route=Route.CASCADE, viber_timeout_seconds=60)
GUIDE: dict[str, Any] = {"profile": Profile.GUIDE}
OURS = {"namespace": "crm", "provider": "smsc"}
APPLIED = "smsbridge_receipts_applied_total"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox.running() as running:
        yield running


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    async with status_lab.quick_store(valkey) as made:
        yield made


@pytest.fixture
async def lab(store: connection.Store, sandbox: Sandbox) -> AsyncIterator[Lab]:
    async with status_lab.running(store, sandbox, status_lab.provider(sandbox)) as running:
        yield running


async def tell(lab: Lab) -> None:
    """The sender's report."""
    await lab.client.record_submissions(
        [status_lab.to_proto(lab, item) for item in await lab.way.submissions()]
    )
    await lab.way.told()


def receipt(lab: Lab, smsc_id: str, msisdn: str, code: int, **more: Any) -> status_pb2.Receipt:
    fields = {"err": -1, "type": -1, **more}
    return status_pb2.Receipt(
        account_key=lab.way.account_key, smsc_id=smsc_id, msisdn=msisdn, code=code, **fields
    )


async def said(lab: Lab, *given: status_pb2.Receipt) -> tuple[int, int, int]:
    answer = await lab.client.record_receipts(given)
    return answer.matched, answer.repeated_count, answer.parked


async def becomes(lab: Lab, mid: str, state: str) -> None:
    async def done() -> bool:
        return await lab.way.state(mid) == state

    await until(done)


def phone(number: int) -> str:
    return messages.phone(number).lstrip("+")


async def test_a_receipt_finds_its_message(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    await tell(lab)
    assert await said(lab, receipt(lab, "cid1", "+" + phone(1), 1, err=0, ts=5)) == (1, 0, 0)
    await becomes(lab, mid, "delivered")
    assert await said(lab, receipt(lab, "cid1", phone(1), 1, err=0, ts=5)) == (0, 1, 0)


async def test_a_receipt_that_comes_before_the_sender_s_report(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    assert await said(lab, receipt(lab, "cid1", phone(1), 20, err=1)) == (0, 0, 1)
    await lab.figures(1, "smsbridge_receipts_parked")
    await tell(lab)
    await becomes(lab, mid, "undelivered")
    assert lab.figure("smsbridge_receipts_unmatched_total") == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 1, 0)])
async def test_receipts_in_any_order(lab: Lab, order: Sequence[int]) -> None:
    [mid] = await lab.way.sent([1])
    await tell(lab)
    for code in order:
        await said(lab, receipt(lab, "cid1", phone(1), code))
    await becomes(lab, mid, "delivered")


async def test_a_whole_batch(lab: Lab) -> None:
    found = await lab.way.sent(range(1, 101))
    await tell(lab)
    assert await said(lab, *(receipt(lab, "cid1", phone(n), 1) for n in range(1, 101))) == (100, 0, 0)
    for mid in found:
        await becomes(lab, mid, "delivered")
    ledger = (await lab.client.get_ledger()).ledgers[0]
    assert dict(ledger.final) == {"delivered": 100}


async def guide(store: connection.Store, sandbox: Sandbox, far: Any = None, **changes: Any) -> Any:
    """A lab of profile guide whose status.php is `far`."""
    made = status_lab.provider(sandbox, **GUIDE, **changes)
    if far is not None:
        made = replace(made, account=replace(made.account, base_url=far.url))
    return made


def statuses(*codes: int, smsc_id: str = "cid1", first: int = 1) -> bytes:
    rows = [{"status": c, "id": smsc_id, "phone": phone(first + i)} for i, c in enumerate(codes)]
    return json.dumps(rows).encode()


async def test_without_a_phone_a_single_open_attempt_is_meant(
    store: connection.Store, sandbox: Sandbox
) -> None:
    made = await guide(store, sandbox)
    async with status_lab.running(store, sandbox, made) as lab:
        [mid] = await lab.way.sent([1])
        await tell(lab)
        await said(lab, receipt(lab, "cid1", "", 1))
        await becomes(lab, mid, "delivered")


async def test_without_a_phone_an_id_of_its_own_names_the_number(
    store: connection.Store, sandbox: Sandbox
) -> None:
    made = await guide(store, sandbox)
    async with status_lab.running(store, sandbox, made, own=True) as lab:
        one, two = await lab.way.sent([1, 2])
        await tell(lab)
        await said(lab, receipt(lab, lab.way.smsc_id(f"{two}|1", ""), "", 2))
        await becomes(lab, two, "undelivered")
        assert await lab.way.state(one) == "sent"


async def test_without_a_phone_a_shared_id_sets_off_a_question(
    store: connection.Store, sandbox: Sandbox
) -> None:
    async with smsc_server.running(smsc_server.answer(statuses(1, 2))) as far:
        made = await guide(store, sandbox, far)
        async with status_lab.running(store, sandbox, made) as lab:
            one, two = await lab.way.sent([1, 2])
            await tell(lab)
            await said(lab, receipt(lab, "cid1", "", 1))
            await becomes(lab, one, "delivered")
            await becomes(lab, two, "undelivered")
            assert len(far.requests) == 1
            await lab.figures(1, APPLIED, **OURS, source="callback", result="ambiguous")
            await lab.figures(2, APPLIED, **OURS, source="status", result="changed")


async def test_without_a_phone_the_rest_of_the_batch_is_waited_for(
    store: connection.Store, sandbox: Sandbox
) -> None:
    async with smsc_server.running(smsc_server.answer(statuses(0, 1))) as far:
        made = await guide(store, sandbox, far)
        async with status_lab.running(store, sandbox, made) as lab:
            one, two = await lab.way.sent([1, 2])
            first = [item for item in await lab.way.submissions() if item.key.message_id == one]
            await lab.client.record_submissions([status_lab.to_proto(lab, item) for item in first])
            await said(lab, receipt(lab, "cid1", "", 1))
            await asyncio.sleep(0.2)
            assert await lab.way.state(one) == "sent"  # it may be the other one's
            await tell(lab)
            await becomes(lab, two, "delivered")
            assert await lab.way.state(one) == "sent"


async def test_an_attempt_without_a_receipt_is_asked_about(store: connection.Store, sandbox: Sandbox) -> None:
    async with smsc_server.running(smsc_server.answer(statuses(1, 20, 0))) as far:
        made = status_lab.provider(sandbox)
        made = replace(made, account=replace(made.account, base_url=far.url))
        async with status_lab.running(store, sandbox, made) as lab:
            one, two, three = await lab.way.sent([1, 2, 3])
            await lab.way.time_passes("poll")
            await becomes(lab, one, "delivered")
            await becomes(lab, two, "undelivered")
            assert await lab.way.state(three) == "sent"
            assert len(far.requests) == 1
            assert far.requests[0][0].startswith("POST /sys/status.php HTTP")


async def test_the_fifth_question_of_a_minute_is_not_asked(store: connection.Store, sandbox: Sandbox) -> None:
    async with smsc_server.running(smsc_server.answer(statuses(0))) as far:
        made = status_lab.provider(sandbox)
        made = replace(made, account=replace(made.account, base_url=far.url))
        async with status_lab.running(store, sandbox, made) as lab:
            await lab.way.sent([1])

            async def asked_in_vain() -> bool:
                await lab.way.time_passes("poll")
                return lab.figure("smsbridge_status_questions_total", result="too_often") >= 1

            await until(asked_in_vain)
            assert len(far.requests) == 4


NO_ANSWER = [
    (smsc_server.answer(b"<html>"), "away"),
    (smsc_server.answer(b"", status="502 Bad Gateway"), "away"),
    (smsc_server.answer(b"[]"), "away"),
    (smsc_server.reset, "away"),
    (smsc_server.answer(b'{"error":"too often","error_code":9}'), "refused"),
]


@pytest.mark.parametrize(("behaviour", "result"), NO_ANSWER)
async def test_a_question_without_an_answer_is_asked_again(
    store: connection.Store, sandbox: Sandbox, behaviour: Any, result: str
) -> None:
    async with smsc_server.running(behaviour, smsc_server.answer(statuses(1))) as far:
        made = status_lab.provider(sandbox)
        made = replace(made, account=replace(made.account, base_url=far.url))
        async with status_lab.running(store, sandbox, made) as lab:
            [mid] = await lab.way.sent([1])
            await lab.way.time_passes("poll")
            await becomes(lab, mid, "delivered")
            assert lab.figure("smsbridge_status_questions_total", result=result) == 1


@contextlib.asynccontextmanager
async def refused(
    store: connection.Store, sandbox: Sandbox, answer: bytes
) -> AsyncIterator[tuple[Lab, smsc_server.Far]]:
    """A message is asked about, and SMSC refuses every question."""
    async with smsc_server.running(smsc_server.answer(answer)) as far:
        made = status_lab.provider(sandbox)
        made = replace(made, account=replace(made.account, base_url=far.url))
        async with status_lab.running(store, sandbox, made) as lab:
            await lab.way.sent([1])
            await lab.way.time_passes("poll")
            yield lab, far


async def test_a_wrong_login_pauses_the_account(store: connection.Store, sandbox: Sandbox) -> None:
    refusal = b'{"error":"authorise error","error_code":2}'
    async with refused(store, sandbox, refusal) as (lab, far):
        accounts = account.Accounts(store, account.AccountLimits())

        async def paused() -> bool:
            return (await accounts.state(lab.way.account_key)).pause == "login"

        await until(paused)
        await lab.way.time_passes("poll")
        await asyncio.sleep(0.3)
        assert len(far.requests) == 1


async def test_a_second_block_stops_the_egress_for_longer(store: connection.Store, sandbox: Sandbox) -> None:
    async def stopped() -> bool:
        return await store.redis.get(f"{tags.EGRESS}stop") == b"blocked"

    async with refused(store, sandbox, b'{"error":"ip is blocked","error_code":4}') as (lab, far):
        lengths = []
        for _ in range(2):
            await until(stopped)
            lengths.append(await store.redis.pttl(f"{tags.EGRESS}stop"))
            assert len(far.requests) == len(lengths)
            await store.redis.delete(f"{tags.EGRESS}stop")  # its time has passed
            await lab.way.time_passes("poll")
        first, second = lengths
        assert first <= 600_000 < second <= 1_800_000


async def test_status_24_pauses_the_account(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    await tell(lab)
    await said(lab, receipt(lab, "cid1", phone(1), 24))
    await becomes(lab, mid, "failed")
    accounts = account.Accounts(lab.store, account.AccountLimits())
    paused = await accounts.state(lab.way.account_key)
    assert paused.pause == "money"
    # Looked at once: what there is now is the mark that a top-up has to pass.
    assert paused.next_probe_at_ms <= await lab.store.now_ms(tags.EGRESS)
    # Told again after there was money: no news.
    await accounts.resume(lab.way.account_key)
    await said(lab, receipt(lab, "cid1", phone(1), 24, ts=7))

    async def applied() -> bool:
        return lab.figure(APPLIED, **OURS, source="callback", result="same") == 1

    await until(applied)
    assert (await accounts.state(lab.way.account_key)).pause == ""


async def test_the_next_leg_is_handed_to_the_sender_once(store: connection.Store, sandbox: Sandbox) -> None:
    made = status_lab.provider(sandbox, routing=CASCADE)
    async with status_lab.running(store, sandbox, made) as lab:
        [mid] = await lab.way.sent([1])
        await tell(lab)
        await said(lab, receipt(lab, "cid1", phone(1), 20, err=21))

        async def handed() -> bool:
            return (await lab.way.deliveries.ledger(lab.way.uid)).plans == 0 and bool(lab.sender.legs)

        await until(handed)
        await asyncio.sleep(0.15)
        assert lab.sender.legs == [(mid, 2)]


async def test_a_leg_stays_in_the_outbox_until_the_sender_has_it(
    store: connection.Store, sandbox: Sandbox
) -> None:
    made = status_lab.provider(sandbox, routing=CASCADE)
    async with status_lab.running(store, sandbox, made) as lab:
        lab.sender.result = sender_pb2.SUBMIT_RESULT_UNAVAILABLE
        [mid] = await lab.way.sent([1])
        await lab.way.say(mid, 20)

        async def tried(times: int) -> bool:
            return len(lab.sender.legs) >= times

        await until(lambda: tried(2))
        assert (await lab.way.deliveries.ledger(lab.way.uid)).plans == 1
        # A sender that has just started has not read the registry yet.
        lab.sender.result = sender_pb2.SUBMIT_RESULT_UNKNOWN_PROVIDER
        before = len(lab.sender.legs)
        await until(lambda: tried(before + 2))
        assert (await lab.way.deliveries.ledger(lab.way.uid)).plans == 1
        await lab.registry.tombstone(made)
        await becomes(lab, mid, "failed")


async def test_hlr_learns_from_guide_s_fall_back(store: connection.Store, sandbox: Sandbox) -> None:
    made = await guide(store, sandbox, routing=CASCADE)
    async with status_lab.running(store, sandbox, made) as lab:
        await lab.way.sent([1])
        await tell(lab)
        await said(lab, receipt(lab, "cid1", phone(1), 22))

        async def taught() -> bool:
            return bool(lab.hlr.lessons)

        await until(taught)
        await asyncio.sleep(0.15)
        [lesson] = lab.hlr.lessons
        assert (lesson.msisdn, lesson.channel) == (phone(1), types_pb2.CHANNEL_SMS)


async def test_a_message_s_story(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    record = await lab.client.get_message(mid)
    assert (record.provider_name, record.recipient) == ("smsc", "7999*****01")
    assert record.state == types_pb2.MESSAGE_STATE_SENT
    assert [event.what for event in record.events] == ["accepted", "sending", "sent"]
    [attempt] = record.attempts
    assert (attempt.state, attempt.smsc_id, attempt.segments) == ("sent", "cid1", 1)
    assert record.next_step.startswith("a receipt is awaited, SMSC is asked at ")
    await lab.way.say(mid, 20, err=1)
    record = await lab.client.get_message(mid, provider_uid=lab.way.uid)
    assert (record.reason, record.portal_wanted) == ("CannotDeliver", "undelivered")
    assert record.reason_sentence == "SMSC cannot deliver to this number"
    assert dict(record.events[-1].detail) == {
        "attempt": "1", "code": "20", "err": "1", "from": "callback", "state": "undelivered",
        "reason": "CannotDeliver",
    }  # fmt: skip


async def test_nobody_knows_the_message(lab: Lab) -> None:
    with pytest.raises(rpc_errors.NotFound):
        await lab.client.get_message("nobody")
    with pytest.raises(rpc_errors.NotFound):
        await lab.client.get_message("nobody", provider_uid="no-such-uid")


async def test_watching_a_message_until_it_is_final(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    seen = []
    async with asyncio.timeout(10):
        async for record in lab.client.watch_message(mid):
            seen.append(enums.MESSAGE_STATE.to_core(record.state))
            if len(seen) == 1:
                await lab.way.say(mid, 1)
    assert seen == [MessageState.SENT, MessageState.DELIVERED]


async def test_the_ledger(lab: Lab) -> None:
    found = await lab.way.sent([1, 2])
    await lab.way.accepted([3])
    await lab.way.say(found[0], 1)
    answer = await lab.client.get_ledger()
    [ledger] = answer.ledgers
    assert (ledger.accepted, ledger.waiting, ledger.sent, dict(ledger.final)) == (3, 1, 1, {"delivered": 1})
    assert (ledger.unaccounted, answer.unaccounted, answer.journalled) == (0, 0, 0)
    with pytest.raises(rpc_errors.NotFound):
        await lab.client.get_ledger("no-such-uid")


async def test_figures_for_the_metrics_page(lab: Lab) -> None:
    found = await lab.way.sent([1, 2, 3])
    await lab.way.say(found[0], 1)
    await lab.way.say(found[1], 22)
    place = {"namespace": "crm", "provider": "smsc"}

    async def counted() -> bool:
        name = "smsbridge_messages_final_total"
        delivered = lab.figure(name, **place, channel="sms", state="delivered")
        failed = lab.figure(name, **place, channel="sms", state="failed")
        return (delivered, failed) == (1, 1)

    await until(counted)
    assert lab.metrics.get_sample_value("smsbridge_messages_unaccounted", place) == 0
    assert lab.figure("smsbridge_messages_accepted_total", **place) == 3
    assert lab.figure("smsbridge_status_polls_waiting", **place) == 1


BAD = [
    status_pb2.Submission(),
    status_pb2.Submission(account_key="a", smsc_id="s", msisdn="7"),
    status_pb2.Submission(
        account_key="a", smsc_id="s", msisdn="7", provider_uid="u", message_id="m|1", client_id="c"
    ),
    status_pb2.Submission(
        account_key="a", smsc_id="s", msisdn="7", provider_uid="u", message_id="m", client_id="c", profile="x"
    ),
]


@pytest.mark.parametrize("given", BAD)
async def test_a_submission_that_cannot_be_kept(lab: Lab, given: status_pb2.Submission) -> None:
    with pytest.raises(errors.InputError):
        await lab.client.record_submissions([given])


async def test_a_receipt_without_an_id(lab: Lab) -> None:
    with pytest.raises(errors.InputError):
        await lab.client.record_receipts([status_pb2.Receipt(account_key="a")])


async def test_a_receipt_of_an_erased_provider_is_put_away(lab: Lab) -> None:
    [mid] = await lab.way.sent([1])
    await tell(lab)
    await lab.registry.erase(lab.way.uid)
    await asyncio.sleep(0.2)  # the registry is followed
    await said(lab, receipt(lab, "cid1", phone(1), 1))

    async def gone() -> bool:
        return lab.figure(APPLIED, namespace="", provider="", source="callback", result="gone") == 1

    await until(gone)
    assert (await lab.way.receipts.depth(lab.way.account_key))[0] == 0
    assert await lab.way.deliveries.message(lab.way.uid, mid) is None


async def test_a_restart_loses_no_receipt(store: connection.Store, sandbox: Sandbox) -> None:
    made = status_lab.provider(sandbox)
    async with status_lab.running(store, sandbox, made, inbox_seconds=60.0) as lab:
        [mid] = await lab.way.sent([1])
        await lab.way.receipts.record(lab.way.account_key, [receipts.Receipt("cid1", phone(1), 1)])
        await lab.way.index()  # not through the role: nobody was woken
        assert await lab.way.state(mid) == "sent"
    async with status_lab.running(store, sandbox, made) as lab:
        await becomes(lab, mid, "delivered")


WATCHED: list[tuple[str, dict[str, str]]] = [
    (APPLIED, {"source": "callback", "result": "changed"}),
    (APPLIED, {"source": "callback", "result": "same"}),
    (APPLIED, {"source": "status", "result": "changed"}),
    ("smsbridge_portal_updates_total", {"result": "dropped"}),
    ("smsbridge_portal_answers_total", {"result": "dropped"}),
]


@pytest.mark.parametrize(("name", "labels"), WATCHED)
async def test_what_rules_watch_is_there_before_anything_happens(
    lab: Lab, name: str, labels: dict[str, str]
) -> None:
    assert lab.metrics.get_sample_value(name, {**OURS, **labels}) == 0


async def test_ready_where_the_store_may_be_used(lab: Lab) -> None:
    assert await lab.status.ready() == ""
