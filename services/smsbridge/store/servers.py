"""The shapes a store may have: one server, servers behind Sentinel, a Cluster. Each knows how to reach the
server that owns a tag, and repeats nothing by itself (guarantee 4.4).

A refusal that says where a command belongs is followed: it was not executed. While a slot is on its way key
by key (ASK) a script finds only a part of its keys on either side, so then the store counts as away.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import redis.asyncio as driver
from redis import exceptions
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from smsbridge.core import errors

Command = tuple[Any, ...]

_REDIRECTIONS = 3  # a failover is one; more are a cluster that has not made up its mind
_LOOK_AGAIN_SECONDS = 0.2  # a look at the cluster's nodes makes every connection anew
_CONNECT_SECONDS = 1.0  # a machine that is gone answers nothing: it must not keep us from asking the next
_NEVER = Retry(NoBackoff(), 0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is and how it is spoken to."""

    url: str
    password: str = field(repr=False)
    sentinel_password: str = field(repr=False)
    timeout_seconds: float
    max_connections: int
    ca_file: str

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def replicated(self) -> bool:
        """Sentinel and Cluster are there for the sake of replicas."""
        return self.scheme.removesuffix("s") in ("sentinel", "cluster")


class Server(Protocol):
    async def execute_command(self, *args: Any) -> Any: ...


class Servers(Protocol):
    """`client` is the driver's, for single commands; its answers are bytes."""

    client: Any

    async def call(self, tag: str, command: Command) -> Any:
        """On the server that owns `tag`. Raises what the driver raises, and StoreAway."""

    async def talk(self, tag: str, *rounds: Sequence[Command]) -> list[Any]:
        """Down one connection, each round when the one before is answered; an error that is a command's
        answer stands in its place, and then no further round goes.
        """

    async def primaries(self) -> Sequence[Server]: ...

    async def doubt(self) -> None:
        """No replica confirms: another server may be the primary by now."""

    async def close(self) -> None: ...


def connect(address: Address) -> Servers:
    if address.scheme.startswith("cluster"):
        return Cluster(address)
    return Watched(address) if address.scheme.startswith("sentinel") else One(_one(address))


class One:
    """One server, or whatever the driver's client takes for one."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def call(self, tag: str, command: Command) -> Any:
        return await self.client.execute_command(*command)

    async def talk(self, tag: str, *rounds: Sequence[Command]) -> list[Any]:
        pool = self.client.connection_pool
        connection = await pool.get_connection()
        try:
            return await _talk(connection, rounds)
        finally:
            await pool.release(connection)

    async def primaries(self) -> Sequence[Server]:
        return [self.client]

    async def doubt(self) -> None:
        return

    async def close(self) -> None:
        await self.client.aclose()


class Watched(One):
    """The primary that the sentinels name, asked anew by every new connection."""

    def __init__(self, address: Address) -> None:
        url = urlsplit(address.url)
        if not url.path.strip("/"):
            raise errors.ConfigError("store.url: sentinel://HOST:PORT/SERVICE needs the name of the service")
        common = _common(address)
        seconds = min(_CONNECT_SECONDS, address.timeout_seconds)
        own = {
            **_tls(address),
            "password": address.sentinel_password or None,
            "socket_timeout": seconds,
            "socket_connect_timeout": seconds,
            **_once(),
        }
        self._sentinel = Sentinel(_hosts(url.netloc), sentinel_kwargs=own)  # type: ignore[no-untyped-call]
        super().__init__(
            self._sentinel.master_for(
                url.path.strip("/"),
                max_connections=address.max_connections,
                **common,
                **_tls(address),
                **_once(),
            )
        )

    async def doubt(self) -> None:
        """A primary that was cut off from its replicas answers for as long as its connections last."""
        await self.client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await super().close()
        await self._sentinel.aclose()


class Cluster:
    def __init__(self, address: Address) -> None:
        url = urlsplit(address.url)
        self.client = _ClusterClient(
            startup_nodes=[ClusterNode(host, port) for host, port in _hosts(url.netloc)],
            require_full_coverage=False,  # the other primaries' providers go on
            dynamic_startup_nodes=False,  # the names stay, where servers come back under other addresses
            max_connections=address.max_connections,
            retry=_NEVER,
            **_common(address),
            **_tls(address),
        )

    async def call(self, tag: str, command: Command) -> Any:
        (answer,) = await self.talk(tag, [command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def talk(self, tag: str, *rounds: Sequence[Command]) -> list[Any]:
        for _ in range(_REDIRECTIONS):
            await self.client.initialize()
            node = self.client.get_node_from_key(tag)
            if node is None:
                raise errors.StoreAway("no server of the cluster owns this slot")
            answers = await self._talk_to(node, rounds)
            if not isinstance(answers[0], exceptions.MovedError):
                return answers
            await self.client.nodes_manager.move_slot(answers[0])
        raise errors.StoreAway("the cluster's servers do not agree on who owns this slot")

    async def _talk_to(self, node: ClusterNode, rounds: Sequence[Sequence[Command]]) -> list[Any]:
        try:
            connection = node.acquire_connection()
            try:
                await node.disconnect_if_needed(connection)
                answers = await _talk(connection, rounds)
            finally:
                node.release(connection)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            # Too many connections say nothing of a server.
            if not isinstance(error, exceptions.MaxConnectionsError):
                self.client.look_again(node.name)
            raise
        if isinstance(answers[0], exceptions.ClusterDownError):
            self.client.look_again()
        asked = isinstance(answers[0], exceptions.AskError | exceptions.TryAgainError)
        if asked and not isinstance(answers[0], exceptions.MovedError):
            raise errors.StoreAway("the cluster is moving this slot")
        return answers

    async def primaries(self) -> Sequence[Server]:
        await self.client.initialize()
        return list(self.client.get_primaries())

    async def doubt(self) -> None:
        """A primary that is alone stops by itself (cluster-node-timeout)."""

    async def close(self) -> None:
        await self.client.aclose()


class _ClusterClient(RedisCluster):
    """The driver's, with eyes: after a failure it looks again who owns what, at the addresses it was given
    and at all it has seen since, but not more often than helps.
    """

    _looked_at = 0.0
    _failed = ""  # the server that is asked last
    _given: dict[str, ClusterNode] | None = None

    def look_again(self, failed: str = "") -> None:
        """Before the next command."""
        self._failed = failed
        self._initialize = True

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> "RedisCluster":
        if not self._initialize:
            return self
        manager = self.nodes_manager
        if manager.nodes_cache and time.monotonic() - self._looked_at < _LOOK_AGAIN_SECONDS:
            self._initialize = False
            return self
        self._looked_at = time.monotonic()
        self._given = self._given or dict(manager.startup_nodes)
        manager.startup_nodes = {**self._given, **manager.nodes_cache}
        return await super().initialize(
            additional_startup_nodes_info, last_failed_node_name or self._failed or None
        )


async def _talk(connection: Any, rounds: Sequence[Sequence[Command]]) -> list[Any]:
    answers: list[Any] = []
    for commands in rounds:
        await connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                answers.append(await connection.read_response())
            except exceptions.ResponseError as error:
                answers.append(error)
        if any(isinstance(answer, Exception) for answer in answers):
            break
    return answers


def _one(address: Address) -> Any:
    url = address.url
    plain = url.replace("valkey", "redis", 1) if address.scheme.startswith("valkey") else url
    tls = _tls(address)
    tls.pop("ssl", None)  # the scheme says so
    common = _common(address)
    # Fifty providers have some hundred loops, and a change of the registry wakes them all at once: what finds
    # every connection in use waits for one, where the driver's usual pool would refuse it.
    pool = driver.BlockingConnectionPool.from_url(
        plain,
        max_connections=address.max_connections,
        timeout=address.timeout_seconds,
        **common,
        **tls,
        **_once(),
    )
    return driver.Redis.from_pool(pool)


def _common(address: Address) -> dict[str, Any]:
    url = urlsplit(address.url)
    most = _CONNECT_SECONDS if address.replicated else address.timeout_seconds
    return {
        "username": unquote(url.username) if url.username else None,
        "password": address.password or (unquote(url.password) if url.password else None),
        "socket_timeout": address.timeout_seconds,
        "socket_connect_timeout": min(most, address.timeout_seconds),
    }


def _once() -> dict[str, Any]:
    return {"retry": Retry(NoBackoff(), 0), "retry_on_error": []}


def _tls(address: Address) -> dict[str, Any]:
    """rediss://, sentinels:// and clusters:// are TLS; the sentinels speak it too."""
    if address.scheme not in ("rediss", "valkeys", "sentinels", "clusters"):
        return {}
    return {"ssl": True} | ({"ssl_ca_certs": address.ca_file} if address.ca_file else {})


def _hosts(netloc: str) -> list[tuple[str, int]]:
    hosts = [item.rpartition(":") for item in netloc.rpartition("@")[2].split(",")]
    return [(host, int(port)) for host, _, port in hosts]
