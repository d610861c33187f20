"""What all tests share: a real Valkey for the session, emptied for each test, and a real Kubernetes API.

`SMSBRIDGE_TEST_STORE=cluster pytest tests/store` (or `sentinel`) runs the tests of the store on that instead.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from smsbridge.store import connection, embedded
from tests.flow import stores
from tests.operator import apiserver, binaries


class _Server:
    """Keeps the bundled server running for synchronous fixtures."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self.valkey: Any = self._loop.run_until_complete(self._stack.enter_async_context(_running(directory)))

    def stop(self) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()


def _running(directory: Path) -> contextlib.AbstractAsyncContextManager[Any]:
    many = {"cluster": stores.cluster, "sentinel": stores.sentinel}
    wanted = os.environ.get("SMSBRIDGE_TEST_STORE", "")
    if wanted:
        return many[wanted](directory)
    return embedded.running(directory, settings=embedded.EmbeddedSettings(maxmemory_mb=1024))


@pytest.fixture(scope="session")
def valkey() -> Iterator[embedded.EmbeddedValkey]:
    """The bundled server, with fsync at every write, for the whole session."""
    with tempfile.TemporaryDirectory(prefix="smsbridge-test-") as directory:
        server = _Server(Path(directory))
        try:
            yield server.valkey
        finally:
            server.stop()


def store_settings(valkey: embedded.EmbeddedValkey, **changes: object) -> connection.StoreSettings:
    own = valkey.settings if isinstance(valkey, stores.Many) else {}
    return connection.StoreSettings.model_validate(
        {"url": valkey.url, "password": valkey.password, **own, **changes}
    )


@pytest.fixture
async def store(valkey: embedded.EmbeddedValkey) -> AsyncIterator[connection.Store]:
    """An empty store with the default times."""
    made = connection.Store.connect(store_settings(valkey))
    await made.redis.flushall()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(scope="session")
def control_plane() -> Path:
    """Where etcd and kube-apiserver are; skips with the reason where they cannot be had."""
    try:
        return binaries.directory()
    except binaries.UnavailableError as reason:
        if binaries.required():
            pytest.fail(f"no control plane, and SMSBRIDGE_REQUIRE_CLUSTER is 1: {reason}", pytrace=False)
        pytest.skip(f"no control plane: {reason}")


@pytest.fixture(scope="session")
def api_server(
    control_plane: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[apiserver.ApiServer]:
    """A real Kubernetes API for the session."""
    with apiserver.running(control_plane, tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
