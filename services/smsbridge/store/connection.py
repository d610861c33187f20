"""The connection to Valkey and the one way to run a script on it.

The driver never repeats a command by itself: a repeat is the caller's decision, with the same operation id.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis.asyncio as driver
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from redis import exceptions
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from smsbridge.core import errors
from smsbridge.store import scripts

# What the driver raises where the store cannot be used now. A script's own error is none of these.
AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.OutOfMemoryError,
    OSError,
    asyncio.TimeoutError,
)
_AWAY_REPLIES = (
    "OOM",
    "LOADING",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "UNBLOCKED",
)


class StoreSettings(BaseModel):
    """Where Valkey is and how it is used."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="redis://, rediss:// (TLS) or unix:// of one server; "
        "sentinel://HOST:PORT,HOST:PORT/SERVICE; cluster://HOST:PORT,HOST:PORT.",
    )
    password: SecretStr = Field(SecretStr(""), description="Password of the store; empty for none.")
    wait_replicas: int = Field(
        0,
        ge=0,
        description="Replicas that must have fsynced what may not be lost (WAITAOF).",
    )
    wait_ms: int = Field(400, description="How long such a confirmation may take (ms).")
    timeout_seconds: float = Field(5.0, description="How long one command may take (s).")
    max_connections: int = Field(64, description="Connections of one process at most.")
    claim_below_memory: float = Field(
        0.80, description="Share of maxmemory above which nothing more is claimed."
    )
    accept_below_memory: float = Field(
        0.90, description="Share of maxmemory above which accepts go to the journal."
    )
    times: scripts.StoreTimes = Field(
        default=scripts.StoreTimes(),
        description="Times that scripts need.",
    )


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """The driver's errors as `StoreAway`."""
    try:
        yield
    except AWAY as error:
        raise errors.StoreAway(f"the store does not answer ({type(error).__name__})") from error
    except exceptions.ResponseError as error:
        word = str(error).split(" ", 1)[0]
        if word in _AWAY_REPLIES or "OOM command not allowed" in str(error):
            raise errors.StoreAway(f"the store takes no writes now ({word})") from error
        raise


class Store:
    """One per process. `redis` is the driver's client, answers are bytes."""

    def __init__(self, client: Any, settings: StoreSettings) -> None:
        self.redis = client
        self.settings = settings
        self._scripts: dict[str, scripts.ScriptText] = {}

    @classmethod
    def connect(cls, settings: StoreSettings) -> "Store":
        return cls(_client(settings), settings)

    async def run(self, name: str, tag: str, *args: Any, durable: bool = False) -> Any:
        """Runs store/NAME.lua with KEYS[1] = `tag` and answers its JSON. `durable`: replicas have it too.

        Raises StoreAway where nobody knows whether it ran: repeat it with the same operation id.
        """
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = scripts.ScriptText(name, self.settings.times)
        async with translated():
            try:
                return scripts.decode(await self._evaluate("EVALSHA", script.sha, tag, args, durable))
            except exceptions.NoScriptError:
                return scripts.decode(await self._evaluate("EVAL", script.text, tag, args, durable))

    async def _evaluate(self, command: str, script: str, tag: str, args: Sequence[Any], durable: bool) -> Any:
        if not durable or self.settings.wait_replicas == 0:
            return await self.redis.execute_command(command, script, 1, tag, *args)
        # WAITAOF speaks of the writes of its own connection, so both go down the same one.
        async with self._pinned(tag) as pipe:
            pipe.execute_command(command, script, 1, tag, *args)
            pipe.execute_command("WAITAOF", 1, self.settings.wait_replicas, self.settings.wait_ms)
            answer, confirmed = await pipe.execute()
        if confirmed[0] < 1 or confirmed[1] < self.settings.wait_replicas:
            raise errors.StoreAway("the store's replicas did not confirm in time")
        return answer

    def _pinned(self, tag: str) -> Any:
        return self.redis.pipeline(transaction=False)

    async def check(self) -> str:
        """Empty where the store may be used, else why not (guarantee 13)."""
        try:
            async with translated():
                config: dict[str, str] = {}
                for name in ("maxmemory-policy", "appendonly", "appendfsync", "maxmemory"):
                    reply = await self.redis.execute_command("CONFIG", "GET", name)
                    config |= _pairs(reply)
        except errors.StoreAway as away:
            return away.sentence
        if config.get("maxmemory-policy") != "noeviction":
            return "the store's maxmemory-policy must be noeviction: evicted messages would be lost"
        if config.get("appendonly") != "yes" or config.get("appendfsync") != "always":
            return (
                "the store needs appendonly yes and appendfsync always: an accepted message must be on disk"
            )
        if config.get("maxmemory", "0") == "0":
            return "the store needs a maxmemory: without one the system would kill it instead"
        return ""

    async def memory_used(self) -> float:
        """Share of maxmemory in use, 0.0 where none is set."""
        async with translated():
            info = await self.redis.info("memory")
        most = int(info.get("maxmemory", 0))
        return int(info["used_memory"]) / most if most else 0.0

    async def primary(self) -> str:
        """Identity of the primary that answers: it changes when another node takes over."""
        async with translated():
            info = await self.redis.info("replication")
        return str(info["master_replid"])

    async def close(self) -> None:
        await self.redis.aclose()


def _pairs(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(k): _text(v) for k, v in items}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _client(settings: StoreSettings) -> Any:
    url = urlsplit(settings.url)
    common: dict[str, Any] = {
        "password": settings.password.get_secret_value() or url.password or None,
        "socket_timeout": settings.timeout_seconds,
        "socket_connect_timeout": settings.timeout_seconds,
    }
    if url.scheme == "cluster":
        hosts = [driver.cluster.ClusterNode(h, p) for h, p in _hosts(url.netloc)]
        return RedisCluster(startup_nodes=hosts, cluster_error_retry_attempts=0, **common)
    once: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "retry_on_error": []}
    if url.scheme == "sentinel":
        sentinel = Sentinel(_hosts(url.netloc), sentinel_kwargs=dict(parse_qsl(url.query)))  # type: ignore[no-untyped-call]
        return sentinel.master_for(url.path.strip("/"), **common, **once)
    plain = settings.url.replace("valkey", "redis", 1) if url.scheme.startswith("valkey") else settings.url
    return driver.Redis.from_url(plain, max_connections=settings.max_connections, **common, **once)


def _hosts(netloc: str) -> list[tuple[str, int]]:
    hosts = [item.rpartition(":") for item in netloc.rpartition("@")[2].split(",")]
    return [(host, int(port)) for host, _, port in hosts]
