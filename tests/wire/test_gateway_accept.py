"""Messages at the handler's door: what the sender is told, and what the caller is answered."""

import asyncio
import json
from pathlib import Path

import grpc
import pytest

from smsbridge.api.v1 import sender_pb2, types_pb2
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from tests.wire import gateway_harness as harness


async def test_a_message_of_a_card_reaches_the_sender_whole(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    await harness.installed(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.post("handler", harness.form()) == (200, "{}")
        [message] = owners.sender.items
        assert message.accepted_at_ms > 1_700_000_000_000
        message.accepted_at_ms = 0
        assert message == sender_pb2.OutgoingMessage(
            provider_uid="uid-1",
            message_id=harness.MESSAGE_ID,
            recipient="+79990000000",
            text="Ваш код: 1234",
            origin=types_pb2.ORIGIN_CARD,
            report_to=types_pb2.REPORT_TO_PORTAL,
            document_type="DEAL",
            token_check=types_pb2.TOKEN_CHECK_MATCH,
            code="smsc",
            attempt=1,
        )
        assert gateway.metric("smsbridge_gateway_accepts_total", origin="card", result="accepted") == 1


async def test_a_message_s_id_is_the_trace_of_its_call(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    await harness.installed(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        owners.sender.fail = grpc.StatusCode.UNAVAILABLE  # so that it goes by the journal too
        assert await gateway.post("handler", harness.form()) == (200, "{}")
        owners.sender.fail = None
        await owners.sender.heard(1)
        assert len(owners.sender.traces) >= 2
        root = harness.MESSAGE_ID[16:]
        assert set(owners.sender.traces) == {f"00-{harness.MESSAGE_ID}-{root}-01"}


@pytest.mark.parametrize(
    ("token", "check"),
    [
        ("", types_pb2.TOKEN_CHECK_ABSENT),
        ("f" * 32, types_pb2.TOKEN_CHECK_MISMATCH),
        (harness.TOKEN, types_pb2.TOKEN_CHECK_MATCH),
        ("e" * 32, types_pb2.TOKEN_CHECK_MATCH),  # the one that an update brought
    ],
)
async def test_the_application_token_is_compared_with_both(
    store: Store, tmp_path: Path, token: str, check: int
) -> None:
    await harness.register(store)
    await harness.installed(store)
    await harness.installed(store, application_token="e" * 32, at=1_742_896_000)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        assert (await gateway.post("handler", harness.form(**{"auth[application_token]": token})))[0] == 200
        [message] = owners.sender.items
        assert message.token_check == check
        differs = check == types_pb2.TOKEN_CHECK_MISMATCH
        expected = Keyring([harness.MASTER]).digest("application_token", token) if differs else ""
        assert message.token_digest == expected


async def test_a_token_that_an_update_brings_counts_within_a_moment(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    await harness.installed(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        await harness.installed(store, application_token="e" * 32, at=1_742_896_000)
        async with asyncio.timeout(10):
            while True:
                await gateway.post("handler", harness.form(**{"auth[application_token]": "e" * 32}))
                if owners.sender.items[-1].token_check == types_pb2.TOKEN_CHECK_MATCH:
                    break


async def test_many_posts_at_once_share_few_calls(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        posts = [gateway.post("handler", harness.form(f"id-{number}")) for number in range(100)]
        assert {status for status, _ in await asyncio.gather(*posts)} == {200}
        assert sorted(m.message_id for m in owners.sender.items) == sorted(f"id-{n}" for n in range(100))
        assert len(owners.sender.calls) < 50
        counted = gateway.metric("smsbridge_gateway_call_items_count", owner="sender")
        assert counted == len(owners.sender.calls)


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        (sender_pb2.SUBMIT_RESULT_DUPLICATE, "duplicate"),
        (sender_pb2.SUBMIT_RESULT_FAILED, "failed"),
        (sender_pb2.SUBMIT_RESULT_HELD, "held"),
        (sender_pb2.SUBMIT_RESULT_REFUSED, "set_aside"),
        (sender_pb2.SUBMIT_RESULT_UNAVAILABLE, "journalled"),
        (sender_pb2.SUBMIT_RESULT_UNKNOWN_PROVIDER, "journalled"),
        (99, "journalled"),  # a newer sender's word
    ],
)
async def test_whatever_the_sender_answers_the_portal_gets_200(
    store: Store, tmp_path: Path, result: int, counted: str
) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path, drain_pause_seconds=60) as gateway,
    ):
        owners.sender.answer = lambda message: sender_pb2.SubmitAnswer(result=result, reason="BadNumber")
        assert await gateway.post("handler", harness.form()) == (200, "{}")
        assert gateway.metric("smsbridge_gateway_accepts_total", origin="card", result=counted) == 1
        waiting = gateway.metric("smsbridge_journal_depth", kind="message")
        aside = gateway.metric("smsbridge_journal_set_aside", kind="message")
        assert (waiting, aside) == (float(counted == "journalled"), float(counted == "set_aside"))


async def test_json_is_taken_like_a_form(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    body = json.dumps(
        {
            "module_id": "bizproc",
            "message_id": "m-1",
            "message_to": "8 999 000-00-00",
            "message_body": "Текст",
            "document_type": ["crm", "CCrmDocumentLead", "LEAD"],
            "code": "other",
            "ts": 1742895600,
        }
    )
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        for content_type in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
            assert (await gateway.post("handler", body, content_type=content_type))[0] == 200
        first = owners.sender.items[0]
        assert (first.recipient, first.text, first.code) == ("8 999 000-00-00", "Текст", "other")
        assert (first.origin, first.document_type) == (types_pb2.ORIGIN_ROBOT, "LEAD")
        assert first.token_check == types_pb2.TOKEN_CHECK_ABSENT


async def test_a_client_that_waits_for_100_continue_gets_it(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
        asyncio.timeout(5),
    ):
        host, port = gateway.role.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = harness.form().encode()
        writer.write(
            f"POST {gateway.path('handler')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            f"Content-Type: {harness.FORM}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert len(owners.sender.items) == 1
        writer.close()


async def test_a_provider_made_anew_has_its_own_doors(store: Store, tmp_path: Path) -> None:
    old, new = harness.PROVIDER, harness.provider(uid="uid-2")
    await harness.register(store, old)
    await harness.remove(store, old)
    await harness.register(store, new)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        assert (await gateway.post("handler", harness.form(), provider=old))[0] == 404
        assert (await gateway.post("handler", harness.form(), provider=new))[0] == 200
        assert [message.provider_uid for message in owners.sender.items] == ["uid-2"]
        receipt = "id=1&phone=79990000000&status=1"
        assert (await gateway.post("callback", receipt, provider=old))[0] == 200
        assert (await gateway.post("callback", receipt, provider=new))[0] == 200
