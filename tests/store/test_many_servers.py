"""A store of many servers: a Cluster of three primaries with a replica each, and a pair behind Sentinel.

Real servers, killed and stopped for real. Guarantees 2.4, 4.4 and 13, and the hash tags: every script finds
its server.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from smsbridge.core import errors
from smsbridge.sender import intake
from smsbridge.store import connection, outbox, registry, tags
from smsbridge.store.keyring import Keyring
from tests.flow import stores
from tests.store import messages

SETTLE_MS = 60_000
KEYRING = Keyring([bytes(range(32))])


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[stores.Many]:
    async with stores.cluster(tmp_path / "cluster") as many:
        yield many


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[stores.Many]:
    async with stores.sentinel(tmp_path / "pair") as many:
        yield many


@contextlib.asynccontextmanager
async def connected(many: stores.Many, **changes: object) -> AsyncIterator[connection.Store]:
    store = many.connect(**changes)
    try:
        yield store
    finally:
        await store.close()


async def on_each_primary(many: stores.Many) -> list[str]:
    """A provider's uid for each primary of the cluster, in their order."""
    found: dict[int, str] = {}
    for number in range(100):
        uid = f"{number:08x}-0000-4000-8000-000000000000"
        found.setdefault((await many.primary_of(tags.provider(uid))).port, uid)
    return [found[node.port] for node in many.nodes[:3]]


async def accept(store: connection.Store, uid: str, number: int) -> str:
    wanted = messages.outgoing(number, accepted_at_ms=time.time_ns() // 1_000_000)
    new = intake.prepare(wanted, messages.provider(uid=uid), default_region="RU")
    (answer,) = await outbox.Outbox(store).accept(uid, [new])
    return answer


async def claim(store: connection.Store, uid: str, op: str) -> outbox.Claim | int:
    return await outbox.Outbox(store).claim(
        uid, op=op, lane="bulk", owner=op, lease_ms=60_000, client_id=op, most=100, settle_ms=SETTLE_MS
    )


async def accepted_in_time(store: connection.Store, uid: str, number: int) -> str:
    """Tried as the journal tries, until the store is there again."""
    async with asyncio.timeout(40):
        while True:
            with contextlib.suppress(errors.StoreAway):
                return await accept(store, uid, number)
            await asyncio.sleep(0.1)


async def test_each_provider_lives_on_its_own_primary(cluster: stores.Many) -> None:
    uids = await on_each_primary(cluster)
    async with connected(cluster) as store:
        for uid in uids:
            assert await accept(store, uid, 1) == "accepted"
            assert isinstance(await claim(store, uid, "c1"), outbox.Claim)
        for node, uid in zip(cluster.nodes[:3], uids, strict=True):
            keys = await node.ask("KEYS", "{p:*")
            assert keys
            assert all(key.startswith(tags.provider(uid).encode()) for key in keys)


async def test_erasing_a_provider_leaves_the_others(cluster: stores.Many) -> None:
    uids = await on_each_primary(cluster)
    async with connected(cluster) as store:
        for uid in uids:
            await accept(store, uid, 1)
        await registry.Registry(store, KEYRING).erase(uids[1])
        assert [bool(await store.keys(tags.provider(uid))) for uid in uids] == [True, False, True]


async def test_the_replica_of_the_own_primary_confirms(cluster: stores.Many) -> None:
    uids = await on_each_primary(cluster)
    async with connected(cluster) as store:
        for uid in uids:
            assert await accept(store, uid, 1) == "accepted"
        assert cluster.nodes[3].process is not None  # it follows the first primary
        frozen = psutil.Process(cluster.nodes[3].process.pid)
        frozen.suspend()
        try:
            with pytest.raises(errors.StoreAway):
                await accept(store, uids[0], 2)
            assert await accept(store, uids[1], 2) == "accepted"
        finally:
            frozen.resume()


async def test_only_the_lost_primarys_claims_wait(cluster: stores.Many) -> None:
    lost, other, _ = await on_each_primary(cluster)
    async with connected(cluster) as store:
        for uid in (lost, other):
            assert await accept(store, uid, 1) == "accepted"
            assert isinstance(await claim(store, uid, "c1"), outbox.Claim)
        dead = cluster.nodes[0]
        await dead.kill()
        assert await accept(store, other, 2) == "accepted"
        assert isinstance(await claim(store, other, "c2"), outbox.Claim)
        await cluster.taken_over(dead, tags.provider(lost))
        await dead.start()
        assert await accepted_in_time(store, lost, 2) in ("accepted", "duplicate")
    async with connected(cluster) as fresh:  # nobody in this process has seen the old primary
        waits = await claim(fresh, lost, "c3")
        assert isinstance(waits, int)
        assert waits > SETTLE_MS / 2


async def test_what_was_confirmed_is_there_after_the_primary_is_lost(pair: stores.Many) -> None:
    async with connected(pair) as store:
        assert isinstance(await claim(store, messages.UID, "c0"), int)
        for number in range(50):
            assert await accept(store, messages.UID, number) == "accepted"
        dead = pair.nodes[0]
        await dead.kill()
        await pair.taken_over(dead, "")
        await dead.start()
        for number in range(50):
            assert await accepted_in_time(store, messages.UID, number) == "duplicate"
        waits = await claim(store, messages.UID, "c1")
        assert isinstance(waits, int)
        assert waits > SETTLE_MS / 2


async def test_a_slot_that_is_being_moved_counts_as_away(cluster: stores.Many) -> None:
    """Key by key: the script would find a part of its keys on either side, and take a message twice."""
    uid = (await on_each_primary(cluster))[0]
    source, target = cluster.nodes[0], cluster.nodes[1]
    slot = await source.ask("CLUSTER", "KEYSLOT", tags.provider(uid))
    async with connected(cluster) as store:
        assert await accept(store, uid, 1) == "accepted"
        await target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", await source.ask("CLUSTER", "MYID"))
        await source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", await target.ask("CLUSTER", "MYID"))
        with pytest.raises(errors.StoreAway):
            await accept(store, uid, 1)
        assert await target.ask("KEYS", "{p:" + uid + "*") == []
        await source.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        assert await accept(store, uid, 1) == "duplicate"


async def test_a_client_that_knows_the_old_owner_is_led_to_the_new_one(cluster: stores.Many) -> None:
    """MOVED was not executed, so it is followed, also by what must be confirmed."""
    uid = (await on_each_primary(cluster))[0]
    async with connected(cluster) as store:
        assert await accept(store, uid, 1) == "accepted"
        await cluster.nodes[3].ask("CLUSTER", "FAILOVER")
        await cluster.taken_over(cluster.nodes[0], tags.provider(uid))
        assert await accepted_in_time(store, uid, 1) == "duplicate"
        assert await accepted_in_time(store, uid, 2) in ("accepted", "duplicate")


async def test_every_primary_is_checked(cluster: stores.Many) -> None:
    async with connected(cluster) as store:
        assert await store.check() == ""
        await cluster.nodes[2].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        assert "noeviction" in await store.check()
        await cluster.nodes[2].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await cluster.nodes[1].ask("CONFIG", "SET", "maxmemory", "4mb")
        assert await store.memory_used() > 0.2  # of the fullest, not of all
    async with connected(cluster, wait_replicas=2) as store:
        assert "wait_replicas is 2" in await store.check()


async def test_a_primary_that_is_away_stops_its_own_providers_only(cluster: stores.Many) -> None:
    async with connected(cluster) as store:
        assert await store.check() == ""
        lost, other, _ = await on_each_primary(cluster)
        for node in (cluster.nodes[0], cluster.nodes[3]):
            await node.kill()
        assert await store.check() == ""
        assert await store.memory_used() > 0
        assert await accept(store, other, 1) == "accepted"
        with pytest.raises(errors.StoreAway):
            await accept(store, lost, 1)


def test_a_url_of_sentinels_names_the_service() -> None:
    with pytest.raises(errors.ConfigError):
        connection.Store.connect(connection.StoreSettings(url="sentinel://127.0.0.1:1"))


async def test_sentinels_have_a_password_of_their_own(pair: stores.Many) -> None:
    async with connected(pair) as store:
        assert await store.check() == ""
    async with connected(pair, sentinel_password="another") as store:
        assert await store.check() != ""
