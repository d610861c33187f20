"""The connection to Valkey and the one way to run a script on it.

The driver never repeats a command by itself: a repeat is the caller's decision, with the same operation id.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from redis import exceptions

from smsbridge.core import errors
from smsbridge.store import scripts, servers

# What the driver raises where the store cannot be used now. A script's own error is none of these.
AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,  # no server of the cluster answers, or none owns the slot
    exceptions.ClusterError,
    exceptions.AskError,
    exceptions.TryAgainError,
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


# A replica answers what it has on disk. Asked in one breath with the write it answers before its fsync, and
# then again only after a second: so it is asked after the write's own answer, and soon twice more.
_FIRST_WAITS_MS = (10, 40)
# A write of its own in front of WAITAOF: a repeated operation may write nothing, and then WAITAOF, which
# speaks of the writes of its own connection, would confirm what no replica has.
_MARK = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1] .. 'mark', '')"


class StoreSettings(BaseModel):
    """Where Valkey is and how it is used."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="redis:// or unix:// of one server; sentinel://HOST:PORT,HOST:PORT/SERVICE; "
        "cluster://HOST:PORT,HOST:PORT. With TLS: rediss://, sentinels://, clusters://.",
    )
    password: SecretStr = Field(SecretStr(""), description="Password of the store; empty for none.")
    sentinel_password: SecretStr = Field(
        SecretStr(""), description="Password of the sentinels themselves; empty for none."
    )
    ca_file: str = Field(
        "", description="Certificates (PEM) that a store with TLS is checked by; empty for the system's."
    )
    wait_replicas: int = Field(
        -1,
        ge=-1,
        description="Replicas of a primary that must have fsynced what may not be lost (WAITAOF). "
        "-1: 1 for sentinel:// and cluster://, else 0.",
    )
    wait_ms: int = Field(400, ge=50, description="How long such a confirmation may take (ms).")
    timeout_seconds: float = Field(5.0, description="How long one command may take (s).")
    max_connections: int = Field(
        512,
        ge=1,
        description="Connections of one process to one server at most. What finds all of them in use waits "
        "for one as long as `timeout_seconds`; behind Sentinel and in a Cluster it fails and is tried again.",
    )
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

    def __init__(self, servers_: servers.Servers, settings: StoreSettings) -> None:
        self.redis = servers_.client
        self.settings = settings
        self.replicas = _replicas(settings)
        self.servers = servers_
        self._scripts: dict[str, scripts.ScriptText] = {}

    @classmethod
    def connect(cls, settings: StoreSettings) -> "Store":
        return cls(servers.connect(_address(settings)), settings)

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
        call = (command, script, 1, tag, *args)
        if not durable or self.replicas == 0:
            return await self.servers.call(tag, call)
        return await self._confirmed(tag, call)

    async def confirm(self, tag: str) -> None:
        """Raises StoreAway where the replicas of the tag's primary would confirm nothing now."""
        if self.replicas:
            async with translated():
                await self._confirmed(tag)

    async def _confirmed(self, tag: str, *calls: servers.Command) -> Any:
        """The first call's answer, once the replicas have it on disk."""
        mark = ("EVAL", _MARK, 1, tag)
        last_ms = max(1, self.settings.wait_ms - sum(_FIRST_WAITS_MS))  # 0 would be for ever
        waits = [("WAITAOF", 1, self.replicas, ms) for ms in (*_FIRST_WAITS_MS, last_ms)]
        answer, *others = await self.servers.talk(tag, (*calls, mark), waits)
        if isinstance(answer, Exception):
            raise answer
        confirmed = others[-1]
        if isinstance(confirmed, Exception):  # a server that is no primary any more
            raise errors.StoreAway("the store's primary changed")
        if confirmed[0] < 1 or confirmed[1] < self.replicas:
            await self.servers.doubt()
            raise errors.StoreAway("the store's replicas did not confirm in time")
        return answer

    async def check(self) -> str:
        """Empty where the store may be used, else why not (guarantee 13).

        Of several primaries each must be set up right; one that is away stops only its own providers.
        """
        try:
            found = await self._primaries()
        except errors.StoreAway as away:
            return away.sentence
        states = [await self._state(server) for server in found]
        wrong = next((wrong for wrong, _ in states if wrong), "")
        stopped = [why for _, why in states]
        return wrong or ("" if "" in stopped else stopped[0])

    async def _primaries(self) -> Sequence[servers.Server]:
        async with translated():
            found = await self.servers.primaries()
        if not found:
            raise errors.StoreAway("the store has no primary")
        return found

    async def _state(self, server: servers.Server) -> tuple[str, str]:
        """What is wrong with it, and why it stands still."""
        try:
            async with translated():
                return await self._set_up(server), await self._alone(server)
        except errors.StoreAway as away:
            return "", away.sentence

    async def _set_up(self, server: servers.Server) -> str:
        config: dict[str, str] = {}
        for name in ("maxmemory-policy", "appendonly", "appendfsync", "maxmemory"):
            config |= _pairs(await server.execute_command("CONFIG", "GET", name))
        if config.get("maxmemory-policy") != "noeviction":
            return "the store's maxmemory-policy must be noeviction: evicted messages would be lost"
        if config.get("appendonly") != "yes" or config.get("appendfsync") != "always":
            return (
                "the store needs appendonly yes and appendfsync always: an accepted message must be on disk"
            )
        if config.get("maxmemory", "0") == "0":
            return "the store needs a maxmemory: without one the system would kill it instead"
        return ""

    async def _alone(self, server: servers.Server) -> str:
        if not self.replicas:
            return ""
        found = int((await server.execute_command("INFO", "replication"))["connected_slaves"])
        if found >= self.replicas:
            return ""
        return f"store.wait_replicas is {self.replicas}, but the primary has {found}: nothing is confirmed"

    async def memory_used(self) -> float:
        """Share of maxmemory in use, of the fullest server that answers; 0.0 where none is set."""
        return max(_share(info) for info in await self.info("memory"))

    async def info(self, section: str) -> list[dict[str, Any]]:
        """A section of INFO from each primary that answers. Raises StoreAway where none does."""
        told = []
        found = await self._primaries()
        for server in found:
            try:
                async with translated():
                    told.append(await server.execute_command("INFO", section))
            except errors.StoreAway:
                if server is found[-1] and not told:
                    raise
        return told

    async def now_ms(self, tag: str) -> int:
        """By the clock of the server that owns `tag`, as its scripts see it."""
        async with translated():
            seconds, micros = await self.servers.call(tag, ("TIME",))
        return int(seconds) * 1000 + int(micros) // 1000

    async def keys(self, tag: str) -> list[bytes]:
        """All that begin with `tag`. Walks through the whole keyspace of the server that owns it."""
        found: set[bytes] = set()
        cursor: Any = 0
        async with translated():
            while True:
                walk = ("SCAN", cursor, "MATCH", f"{tag}*", "COUNT", 1000)
                cursor, some = await self.servers.call(tag, walk)
                found.update(some)
                if int(cursor) == 0:
                    return list(found)

    async def close(self) -> None:
        await self.servers.close()


def _share(info: dict[str, Any]) -> float:
    most = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / most if most else 0.0


def _replicas(settings: StoreSettings) -> int:
    if settings.wait_replicas >= 0:
        return settings.wait_replicas
    return 1 if _address(settings).replicated else 0


def _address(settings: StoreSettings) -> servers.Address:
    return servers.Address(
        url=settings.url,
        password=settings.password.get_secret_value(),
        sentinel_password=settings.sentinel_password.get_secret_value(),
        timeout_seconds=settings.timeout_seconds,
        max_connections=settings.max_connections,
        ca_file=settings.ca_file,
    )


def _pairs(reply: Any) -> dict[str, str]:
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(k): _text(v) for k, v in items}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
