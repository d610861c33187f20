"""A replicated store: what may not be lost is confirmed by a replica, and a new primary is given time.

A real primary and a real replica, both with fsync at every write. Guarantees 2.4 and 13.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smsbridge.core.provider import Provider
from smsbridge.rpc import enums, message
from smsbridge.rpc.enums import Submitted
from smsbridge.sandbox import reports, server
from smsbridge.store import connection, embedded
from tests.conftest import store_settings
from tests.store import messages
from tests.wire import senders


@dataclass(frozen=True, slots=True)
class Pair:
    primary: connection.Store
    replica: connection.Store
    replica_port: int
    primary_port: int


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with contextlib.AsyncExitStack() as stack:
        stores, ports = [], []
        for name in ("primary", "replica"):
            directory = tmp_path / name
            directory.mkdir()
            valkey = await stack.enter_async_context(embedded.running(directory))
            replicas = {"wait_replicas": 1, "wait_ms": 2000} if name == "primary" else {}
            made = connection.Store.connect(store_settings(valkey, **replicas))
            stack.push_async_callback(made.close)
            await made.redis.config_set("requirepass", "")  # else each would need the other's
            await made.redis.config_set("repl-diskless-sync-delay", 0)
            stores.append(made)
            ports.append(valkey.port)
        await follow(stores[1], ports[0])
        yield Pair(stores[0], stores[1], ports[1], ports[0])


async def follow(store: connection.Store, port: int) -> None:
    await store.redis.execute_command("REPLICAOF", "127.0.0.1", port)

    async def linked() -> bool:
        return (await store.redis.info("replication"))["master_link_status"] == "up"

    await senders.until(linked)


@pytest.fixture
async def sandbox() -> AsyncIterator[server.Sandbox]:
    async with server.Sandbox.running(senders.sandbox_settings()) as running:
        yield running


def provider(sandbox: server.Sandbox) -> Provider:
    return messages.provider(base_url=sandbox.smsc_url)


async def submit(sender: senders.Sender, number: int) -> Submitted | None:
    wanted = messages.outgoing(number, accepted_at_ms=time.time_ns() // 1_000_000)
    answers = await sender.client.submit([message.to_proto(wanted)])
    return enums.SUBMITTED.to_core(answers[0].result)


def sent(sandbox: server.Sandbox) -> int:
    return int(sandbox.smsc.accounts["guide"].ledger(reports.CallbackReport()).messages)


async def test_what_no_replica_confirms_counts_as_not_kept(pair: Pair, sandbox: server.Sandbox) -> None:
    async with senders.running(pair.primary, sandbox, provider(sandbox)) as sender:
        assert await submit(sender, 1) is Submitted.ACCEPTED
        await pair.replica.redis.execute_command("REPLICAOF", "NO", "ONE")
        assert await submit(sender, 2) is Submitted.UNAVAILABLE
        await follow(pair.replica, pair.primary_port)
        assert await submit(sender, 2) is Submitted.DUPLICATE  # it was written, only not confirmed


async def test_after_a_change_of_primary_old_deadlines_pass_first(
    pair: Pair, sandbox: server.Sandbox
) -> None:
    times = {"memory_check_seconds": 0.05, "post_total_ms": 500, "margin_ms": 1500, "lease_ms": 6000}
    async with senders.running(pair.primary, sandbox, provider(sandbox), **times) as sender:
        assert await submit(sender, 1) is Submitted.ACCEPTED

        async def first() -> bool:
            return sent(sandbox) == 1

        await senders.until(first)
        await pair.replica.redis.execute_command("REPLICAOF", "NO", "ONE")
        await follow(pair.primary, pair.replica_port)
        await pair.primary.redis.execute_command("REPLICAOF", "NO", "ONE")
        await follow(pair.replica, pair.primary_port)
        changed = sender.role.claims_wait

        async def noticed() -> bool:
            return changed() > 0

        await senders.until(noticed)
        assert await submit(sender, 2) is Submitted.ACCEPTED

        async def second() -> bool:
            assert sent(sandbox) == 1 or changed() == 0
            return sent(sandbox) == 2

        await senders.until(second)
