"""More commands at once than connections: they wait for each other, and none is refused or forgotten."""

import asyncio

import pytest

from smsbridge.core import errors
from smsbridge.runtime import addresses
from smsbridge.store import connection, embedded, tags
from tests.conftest import store_settings

HOST = "127.0.0.1"


async def test_many_loops_share_few_connections(valkey: embedded.EmbeddedValkey) -> None:
    """Fifty providers' loops in one process, woken at once; with scripts and single commands."""
    store = connection.Store.connect(store_settings(valkey, max_connections=6))
    keys = [tags.provider(f"{number:08x}-0000-4000-8000-000000000000") for number in range(50)]
    try:
        await store.now_ms(keys[0])  # a role has read the registry before its loops begin
        for _ in range(3):
            times = asyncio.gather(*(store.now_ms(key) for key in keys * 4))
            values = asyncio.gather(*(store.redis.hget(f"{key}none", "x") for key in keys * 4))
            assert min(await times) > 0
            assert set(await values) == {None}
    finally:
        await store.close()


async def test_a_connection_that_cannot_be_made_is_not_counted_for_ever() -> None:
    url = f"redis://{HOST}:{addresses.free_port(HOST)}/0"
    store = connection.Store.connect(connection.StoreSettings(url=url, max_connections=1))
    try:
        for _ in range(3):
            with pytest.raises(errors.StoreAway, match=r"\(ConnectionError\)"):
                await store.now_ms("{x}")
    finally:
        await store.close()
