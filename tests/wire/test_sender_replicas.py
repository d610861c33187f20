"""A replicated store: what may not be lost is confirmed by a replica, and a new primary is given time.

A real primary and a real replica, both with fsync at every write. Guarantees 2.4 and 13.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.rpc import enums, message
from smsbridge.rpc.enums import Submitted
from smsbridge.sandbox import reports, server
from smsbridge.store import connection, embedded, registry, tags
from tests.conftest import store_settings
from tests.store import messages
from tests.wire import senders


@dataclass(frozen=True, slots=True)
class Pair:
    primary: connection.Store
    replica: connection.Store
    replica_port: int
    primary_port: int
    replica_process: psutil.Process

    async def freeze_replica(self) -> None:
        """It keeps its connection and confirms nothing."""
        self.replica_process.suspend()
        while self.replica_process.status() != psutil.STATUS_STOPPED:
            await asyncio.sleep(0.001)

    def thaw_replica(self) -> None:
        self.replica_process.resume()


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
        pid = (await stores[1].redis.info("server"))["process_id"]
        yield Pair(stores[0], stores[1], ports[1], ports[0], psutil.Process(pid))


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


async def fail_over(pair: Pair) -> None:
    """Roles change and change back: the store of the test stays, under another identity."""
    await pair.replica.redis.execute_command("REPLICAOF", "NO", "ONE")
    await follow(pair.primary, pair.replica_port)
    await pair.primary.redis.execute_command("REPLICAOF", "NO", "ONE")
    await follow(pair.replica, pair.primary_port)


async def claimable_in(store: connection.Store) -> int:
    """Milliseconds until the store lets anybody claim after a change of primary."""
    found = await store.redis.hget(f"{tags.provider(messages.UID)}primary", "from")
    return int(found or 0) - await store.now_ms(tags.provider(messages.UID))


async def test_after_a_change_of_primary_old_deadlines_pass_first(
    pair: Pair, sandbox: server.Sandbox
) -> None:
    times = {"post_total_ms": 500, "margin_ms": 1500, "lease_ms": 6000}
    async with senders.running(pair.primary, sandbox, provider(sandbox), **times) as sender:
        assert await submit(sender, 1) is Submitted.ACCEPTED

        async def first() -> bool:
            return sent(sandbox) == 1

        await senders.until(first)
        await fail_over(pair)

        async def noticed() -> bool:
            return await claimable_in(pair.primary) > 0

        await senders.until(noticed)
        assert await submit(sender, 2) is Submitted.ACCEPTED

        async def second() -> bool:
            early = sent(sandbox) == 2 and await claimable_in(pair.primary) > 0
            assert not early
            return sent(sandbox) == 2

        await senders.until(second)


async def test_a_sender_that_starts_after_the_change_waits_too(pair: Pair, sandbox: server.Sandbox) -> None:
    """Nobody who saw the old primary is left: what is kept beside the data tells of the change."""
    times = {"post_total_ms": 500, "margin_ms": 1500, "lease_ms": 6000}
    async with senders.running(pair.primary, sandbox, provider(sandbox), **times) as sender:
        assert await submit(sender, 1) is Submitted.ACCEPTED

        async def first() -> bool:
            return sent(sandbox) == 1

        await senders.until(first)
    await fail_over(pair)
    async with senders.running(pair.primary, sandbox, provider(sandbox), **times) as sender:
        assert await submit(sender, 2) is Submitted.ACCEPTED

        async def second() -> bool:
            return sent(sandbox) == 2

        async def noticed() -> bool:
            return await claimable_in(pair.primary) > 0

        await senders.until(noticed)
        assert sent(sandbox) == 1
        await senders.until(second)
        assert await claimable_in(pair.primary) <= 0


async def test_while_nothing_is_confirmed_nothing_becomes_uncertain(
    pair: Pair, sandbox: server.Sandbox
) -> None:
    """An intent that no replica has is not sent, but would have to be asked about: so it is not written."""
    async with senders.running(pair.primary, sandbox, provider(sandbox)) as sender:
        await pair.replica.redis.execute_command("REPLICAOF", "NO", "ONE")
        assert await submit(sender, 1) is Submitted.UNAVAILABLE  # written, and due at once
        for _ in range(2):  # a submit takes as long as a confirmation is waited for
            assert await submit(sender, 2) is Submitted.UNAVAILABLE
        assert await pair.primary.redis.zcard(f"{tags.provider(messages.UID)}intents") == 0
        await follow(pair.replica, pair.primary_port)

        async def both() -> bool:
            return sent(sandbox) == 2

        await senders.until(both)
        assert sandbox.smsc.accounts["guide"].totals.requests["send"]["ok"] == 1


async def test_a_repeat_is_not_confirmed_by_replicas_that_have_nothing(pair: Pair) -> None:
    """A repeated operation writes nothing; that a replica has the first one's write is asked all the same."""
    book = registry.Registry(pair.primary, senders.KEYRING)
    await book.uid_of("crm", "other", candidate="uid-0")
    await pair.freeze_replica()
    try:
        with pytest.raises(errors.StoreAway):
            await book.uid_of("crm", "smsc", candidate="uid-1")
        repeats = [book.uid_of("crm", "smsc", candidate=f"uid-{n}") for n in range(2, 6)]
        answers = await asyncio.gather(*repeats, return_exceptions=True)  # each over a connection of its own
        assert [type(answer) for answer in answers] == [errors.StoreAway] * 4
    finally:
        pair.thaw_replica()
    assert await book.uid_of("crm", "smsc", candidate="uid-6") == "uid-1"


async def test_a_lone_write_is_confirmed_in_the_time_that_a_door_waits(pair: Pair) -> None:
    """A replica that is asked in one breath with the write answers a second later."""
    book = registry.Registry(connection.Store(pair.primary.servers, hasty(pair.primary)), senders.KEYRING)
    for number in range(5):
        assert await book.uid_of("crm", f"p{number}", candidate=f"uid-{number}") == f"uid-{number}"


def hasty(store: connection.Store) -> connection.StoreSettings:
    return store.settings.model_copy(update={"wait_ms": connection.StoreSettings().wait_ms})
