"""The sender, status or the store away: posts are answered all the same, and the journal drains in order."""

import asyncio
import socket
import time
from pathlib import Path

import grpc
import pytest

from smsbridge.api.v1 import hlr_pb2, sender_pb2, status_pb2
from smsbridge.core import errors
from smsbridge.gateway import orphan, standing
from smsbridge.gateway.journal import Journal, Kind
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient
from smsbridge.runtime import rpc
from smsbridge.store import connection
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from tests.wire import gateway_harness as harness


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def nobody() -> rpc.Endpoints:
    address = unused_address()
    return rpc.Endpoints(sender=address, status=address, hlr=address)


async def depths(folder: Path) -> dict[Kind, int]:
    """Of a journal that no gateway has open."""
    journal = Journal(folder, Keyring([harness.MASTER]), now_ms=lambda: 0)
    await journal.open()
    try:
        return {kind: number for kind, number in journal.depths.items() if number}
    finally:
        await journal.close()


async def test_while_the_sender_is_away_posts_are_kept_and_drain_interactive_first(
    store: Store, tmp_path: Path
) -> None:
    await harness.register(store)
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(store, owners.endpoints, tmp_path) as gateway:
        for message_id, module in [("b1", "sender"), ("i1", "crm"), ("b2", "sender"), ("i2", "bizproc")]:
            assert await gateway.post("handler", harness.form(message_id, module_id=module)) == (200, "{}")
        assert gateway.metric("smsbridge_journal_depth", kind="message") == 4
        door = time.time_ns() // 1_000_000
        async with harness.running_owners(owners):
            await owners.sender.heard(4)
            assert [message.message_id for message in owners.sender.items] == ["i1", "i2", "b1", "b2"]
            assert all(message.accepted_at_ms <= door for message in owners.sender.items)
            await harness.until(lambda: gateway.metric("smsbridge_journal_depth", kind="message") == 0)
            # The way is open again: no more detour.
            await gateway.post("handler", harness.form("i3"))
            assert gateway.metric("smsbridge_gateway_accepts_total", origin="card", result="accepted") == 1


async def test_what_is_in_the_journal_survives_a_restart(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with harness.running_gateway(store, nobody(), tmp_path) as gateway:
        assert (await gateway.post("handler", harness.form("m1")))[0] == 200
        assert (await gateway.post("callback", "id=7&phone=79990000000&status=1"))[0] == 200
    assert await depths(tmp_path) == {Kind.MESSAGE: 1, Kind.RECEIPT: 1}
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path),
    ):
        await owners.sender.heard(1)
        await owners.status.heard(1)
        assert owners.sender.items[0].message_id == "m1"
        assert owners.status.items[0].smsc_id == "7"
    assert await depths(tmp_path) == {}


async def test_a_sender_that_hangs_delays_the_first_post_only(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(
            store,
            owners.endpoints,
            tmp_path,
            submit_timeout_ms=300,
            away_pause_ms=30_000,
            drain_pause_seconds=60,
        ) as gateway,
    ):
        owners.sender.hang = True
        began = time.monotonic()
        posts = [gateway.post("handler", harness.form(f"m{number}")) for number in range(20)]
        assert {status for status, _ in await asyncio.gather(*posts)} == {200}
        assert 0.25 < time.monotonic() - began < 1.0
        began = time.monotonic()
        for number in range(20):
            assert (await gateway.post("handler", harness.form(f"n{number}")))[0] == 200
        assert time.monotonic() - began < 1.0
        assert gateway.metric("smsbridge_journal_depth", kind="message") == 40


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT]
)
async def test_a_call_that_fails_loses_nothing(store: Store, tmp_path: Path, status: grpc.StatusCode) -> None:
    await harness.register(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(
            store, owners.endpoints, tmp_path, drain_pause_seconds=60, away_pause_ms=0
        ) as gateway,
    ):
        owners.sender.fail = status
        assert (await gateway.post("handler", harness.form("m1")))[0] == 200
    assert await depths(tmp_path) == {Kind.MESSAGE: 1}


async def test_what_the_sender_refuses_is_set_aside_and_blocks_nobody(store: Store, tmp_path: Path) -> None:
    """m1: refused with a reason; m2: makes the call invalid; m3: makes it fail unforeseen; m4 is good."""
    await harness.register(store)
    owners = harness.Owners(address=unused_address())
    statuses = {"m2": grpc.StatusCode.INVALID_ARGUMENT, "m3": grpc.StatusCode.UNKNOWN}
    accepted = owners.sender.answer
    owners.sender.refuse_call = lambda message: statuses.get(message.message_id)
    owners.sender.answer = lambda message: (
        sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_REFUSED, reason="TextTooLong")
        if message.message_id == "m1"
        else accepted(message)
    )
    async with harness.running_gateway(store, owners.endpoints, tmp_path) as gateway:
        for number in range(1, 5):
            assert (await gateway.post("handler", harness.form(f"m{number}")))[0] == 200
        async with harness.running_owners(owners):
            await harness.until(lambda: gateway.metric("smsbridge_journal_depth", kind="message") == 1)
            assert gateway.metric("smsbridge_journal_set_aside", kind="message") == 2
            assert [message.message_id for message in owners.sender.items] == ["m1", "m4"]


async def test_a_provider_that_is_away_holds_up_no_other(store: Store, tmp_path: Path) -> None:
    other = harness.provider(uid="uid-2", name="other")
    await harness.register(store, harness.PROVIDER, other)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path, away_pause_ms=60_000) as gateway,
    ):
        accepted = owners.sender.answer
        owners.sender.answer = lambda message: (
            sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_UNAVAILABLE)
            if message.provider_uid == "uid-1"
            else accepted(message)
        )
        assert (await gateway.post("handler", harness.form("m1")))[0] == 200
        assert (await gateway.post("handler", harness.form("m2"), provider=other))[0] == 200
        counted = {
            result: gateway.metric("smsbridge_gateway_accepts_total", origin="card", result=result)
            for result in ("accepted", "journalled")
        }
        assert counted == {"accepted": 1, "journalled": 1}


async def test_an_entry_of_a_removed_provider_is_set_aside(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with harness.running_gateway(store, nobody(), tmp_path) as gateway:
        assert (await gateway.post("handler", harness.form()))[0] == 200
    await harness.remove(store)
    async with harness.running_owners() as owners:
        owners.sender.answer = lambda message: sender_pb2.SubmitAnswer(
            result=sender_pb2.SUBMIT_RESULT_UNKNOWN_PROVIDER
        )
        async with harness.running_gateway(store, owners.endpoints, tmp_path) as gateway:
            await harness.until(lambda: gateway.metric("smsbridge_journal_set_aside", kind="message") == 1)


async def test_without_sender_and_journal_the_caller_is_told(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with harness.running_gateway(store, nobody(), tmp_path) as gateway:
        await gateway.role.journal.close()
        assert (await gateway.post("handler", harness.form()))[0] == 503
        assert gateway.metric("smsbridge_gateway_accepts_total", origin="card", result="lost") == 1
        assert (await gateway.post("callback", "id=7&phone=79990000000&status=1"))[0] == 503


async def test_a_start_without_the_store_serves_from_the_snapshot(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    await harness.installed(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        await gateway.post("handler", harness.form("m1"))
    away = connection.Store.connect(
        connection.StoreSettings(url=f"redis://{unused_address()}/0", timeout_seconds=0.2)
    )
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(away, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.role.ready() == ""
        assert (await gateway.post("handler", harness.form("m2")))[0] == 200
        assert owners.sender.items[0].token_check == 1  # the token is known too
        assert (await gateway.call("POST", "/bitrix24/crm/smsc/wrong/handler"))[0] == 404
    await away.close()


async def test_a_gateway_that_never_saw_a_registry_answers_503_everywhere(tmp_path: Path) -> None:
    away = connection.Store.connect(
        connection.StoreSettings(url=f"redis://{unused_address()}/0", timeout_seconds=0.2)
    )
    async with harness.running_gateway(away, nobody(), tmp_path) as gateway:
        assert "no registry" in await gateway.role.ready()
        for path in (gateway.path("handler"), gateway.path("callback"), "/", "/nothing"):
            assert (await gateway.call("POST", path))[0] == 503
    await away.close()


async def test_the_store_is_told_the_depth(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(store, owners.endpoints, tmp_path) as gateway:
        await gateway.post("handler", harness.form("m1"))
        await gateway.post("handler", harness.form("m2"))

        async def told(number: bytes) -> None:
            async with asyncio.timeout(10):
                while await store.redis.hvals(standing.DEPTHS_KEY) != [number]:
                    pass

        await told(b"2")
        async with harness.running_owners(owners):
            await told(b"0")


async def test_an_orphan_is_emptied_from_outside(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    async with harness.running_gateway(store, nobody(), tmp_path) as gateway:
        await gateway.post("handler", harness.form("m1"))
        await gateway.post("callback", "id=7&phone=79990000000&status=1")
        await gateway.post("callback", "id=8&phone=79990000000&status=1&type=4&mcc=250")
        with pytest.raises(errors.ConfigError, match="other gateway"):
            await drained(tmp_path, nobody())
    async with harness.running_owners() as owners:
        owners.hlr.fail = grpc.StatusCode.UNIMPLEMENTED
        report = await drained(tmp_path, owners.endpoints)
        assert report.empty
        assert report.found == dict.fromkeys(Kind, 1) | {Kind.ERRAND: 0, Kind.EVENT: 0}
        assert isinstance(owners.sender.items[0], sender_pb2.OutgoingMessage)
        assert isinstance(owners.status.items[0], status_pb2.Receipt)
    with pytest.raises(errors.ConfigError, match="no journal"):
        await drained(tmp_path / "elsewhere", nobody())


async def drained(folder: Path, endpoints: rpc.Endpoints) -> orphan.DrainReport:
    async with rpc.channel(endpoints.sender) as channel:
        clients = orphan.Clients(SenderClient(channel), StatusClient(channel), HlrClient(channel))
        return await orphan.drain_directory(
            folder, Keyring([harness.MASTER]), clients, now_ms=lambda: 0, busy_seconds=0.1
        )


async def test_what_was_set_aside_is_shown_put_back_or_forgotten(store: Store, tmp_path: Path) -> None:
    await harness.register(store)

    async def aside(settle: orphan.Settle = orphan.Settle.NOTHING) -> list[tuple[Kind, str, str]]:
        ring = Keyring([harness.MASTER])
        found = await orphan.set_aside(tmp_path, ring, settle=settle, now_ms=lambda: 0, busy_seconds=0.1)
        return [(one.kind, one.message_id, one.reason) for one in found]

    refusal = sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_REFUSED, reason="no such message_id")
    both = [(Kind.MESSAGE, "m1", refusal.reason), (Kind.MESSAGE, "m2", refusal.reason)]
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        owners.sender.answer = lambda message: refusal
        for message_id in ("m1", "m2"):
            assert await gateway.post("handler", harness.form(message_id)) == (200, "{}")
        with pytest.raises(errors.ConfigError, match="other gateway"):
            await aside()
    assert await aside() == both
    assert await aside(orphan.Settle.AGAIN) == both
    assert await aside() == []
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        owners.sender.answer = lambda message: refusal
        await owners.sender.heard(2)
        await harness.until(lambda: gateway.metric("smsbridge_journal_set_aside", kind="message") == 2)
        assert [item.message_id for item in owners.sender.items] == ["m1", "m2"]
    assert await aside(orphan.Settle.FORGET) == both
    assert await aside() == []


async def test_results_of_look_ups_go_to_the_hlr_or_wait(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    body = "id=8&phone=79990000000&status=1&err=0&ts=1742895600&type=4&mcc=250&imsi=250010000000000"
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        assert (await gateway.post("callback", body))[0] == 200
        [result] = owners.hlr.items
        assert (result.smsc_id, result.msisdn, result.code, result.err) == ("8", "79990000000", 1, 0)
        assert dict(result.extra) == {"mcc": "250", "imsi": "250010000000000"}
        assert isinstance(result, hlr_pb2.HlrResult)
        owners.hlr.fail = grpc.StatusCode.UNIMPLEMENTED
        assert (await gateway.post("callback", body))[0] == 200
        assert gateway.metric("smsbridge_gateway_callbacks_total", result="dropped") == 1
        owners.hlr.fail = grpc.StatusCode.UNAVAILABLE
        assert (await gateway.post("callback", body))[0] == 200
        assert gateway.metric("smsbridge_gateway_callbacks_total", result="journalled") == 1
        assert gateway.metric("smsbridge_gateway_callbacks_total", result="hlr_result") == 1
