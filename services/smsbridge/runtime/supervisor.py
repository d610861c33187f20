"""Keeps the processes of `run all` alive: starts them in order, starts again what dies, ends them together.

Holds the data directory by a lock on a descriptor that every child inherits: a new supervisor gets it only
when the old one *and* all its children are gone, so two stores never work on one directory.
Does not know what its children do.

smsbridge_supervisor_restarts_total{child}     processes that were started again
smsbridge_supervisor_child_up{child}           1 while the process runs
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydantic
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from smsbridge.runtime import process
from smsbridge.runtime.retry import Backoff

log = structlog.get_logger()


class SupervisorSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    lock_wait_seconds: float = pydantic.Field(
        default=60.0,
        gt=0,
        description="How long to wait for the data directory until those that used it are gone.",
    )
    stop_grace_seconds: float = pydantic.Field(
        default=30.0,
        gt=0,
        description="Time to finish what is in hand before the kill: longer than one POST to SMSC (20 s).",
    )
    restart_first_seconds: float = pydantic.Field(
        default=0.2, gt=0, description="Pause before a dead process is started again."
    )
    restart_cap_seconds: float = pydantic.Field(
        default=10.0, gt=0, description="Longest such pause; it doubles up to this."
    )
    steady_seconds: float = pydantic.Field(
        default=30.0,
        gt=0,
        description="A process that lived so long counts as sound: the next pause is the first one again.",
    )


class DirectoryInUse(Exception):
    """Somebody else works in the data directory and does not go away."""


async def _ready_at_once() -> None:
    return


@dataclass(frozen=True, slots=True)
class Child:
    """`ready` is awaited before the next child is started. `output` takes all it prints, where given."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[None]] = _ready_at_once
    output: Path | None = None


class Supervisor:
    """`lock` is the descriptor from `hold_directory`."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        settings: SupervisorSettings,
        lock: int,
        registry: CollectorRegistry,
    ) -> None:
        self._children = list(children)
        self._settings = settings
        self._lock = lock
        self._lifeline = os.pipe()
        self._stopping = False
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._restarts = Counter(
            "smsbridge_supervisor_restarts", "Processes started again.", ["child"], registry=registry
        )
        self._up = Gauge(
            "smsbridge_supervisor_child_up", "1 while the process runs.", ["child"], registry=registry
        )

    def pids(self) -> dict[str, int]:
        return {name: running.pid for name, running in self._running.items()}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then ends the children in reverse order, the first one (the store) last."""
        try:
            await self._start_all(stop)
            await stop.wait()
        finally:
            await self._stop_all()

    async def _start_all(self, stop: asyncio.Event) -> None:
        for child in self._children:
            if stop.is_set():
                return
            await self._spawn(child)
            self._keepers.append(asyncio.create_task(self._keep(child), name=f"keep-{child.name}"))
            await self._until_ready(child, stop)

    async def _until_ready(self, child: Child, stop: asyncio.Event) -> None:
        """A child that is not ready yet holds up those after it, but never the stopping."""
        ready = asyncio.ensure_future(child.ready())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
        finally:
            for task in (ready, stopped):
                task.cancel()

    async def _spawn(self, child: Child) -> None:
        reading, _ = self._lifeline
        environment = {**os.environ, **child.environment, process.LIFELINE_VARIABLE: str(reading)}
        with contextlib.ExitStack() as files:
            output = files.enter_context(child.output.open("ab")) if child.output is not None else None
            self._running[child.name] = await asyncio.create_subprocess_exec(
                *child.command,
                env=environment,
                pass_fds=(self._lock, reading),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in a terminal reaches the whole group; only the supervisor decides who stops when.
                start_new_session=True,
            )
        self._up.labels(child=child.name).set(1)
        log.info("child_started", child=child.name, pid=self._running[child.name].pid)

    async def _keep(self, child: Child) -> None:
        backoff = Backoff(
            first_seconds=self._settings.restart_first_seconds, cap_seconds=self._settings.restart_cap_seconds
        )
        failures = 0
        while True:
            started = time.monotonic()
            code = await self._running[child.name].wait()
            self._up.labels(child=child.name).set(0)
            if self._stopping:
                return
            failures = 1 if time.monotonic() - started >= self._settings.steady_seconds else failures + 1
            pause = backoff.delay(failures)
            log.warning("child_died", child=child.name, code=code, restart_in_seconds=round(pause, 2))
            await asyncio.sleep(pause)
            if self._stopping:
                return
            self._restarts.labels(child=child.name).inc()
            await self._spawn(child)

    async def _stop_all(self) -> None:
        """The first child (what the others work on) ends when all the others have."""
        self._stopping = True
        first, others = self._children[:1], self._children[1:]
        await asyncio.gather(*(self._end(child) for child in others))
        await asyncio.gather(*(self._end(child) for child in first))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for descriptor in self._lifeline:
            os.close(descriptor)

    async def _end(self, child: Child) -> None:
        running = self._running.get(child.name)
        if running is None or running.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._settings.stop_grace_seconds):
                await running.wait()
        except TimeoutError:
            log.warning("child_killed", child=child.name)
            with contextlib.suppress(ProcessLookupError):
                running.kill()
            await running.wait()
        log.info("child_stopped", child=child.name, code=running.returncode)


@contextlib.asynccontextmanager
async def hold_directory(directory: Path, *, wait_seconds: float) -> AsyncIterator[int]:
    """The lock's descriptor, to be inherited by children. Raises DirectoryInUse where others stay.

    The lock is not let go of here but by the closing of the last descriptor, a child's perhaps.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _lock(descriptor, directory, wait_seconds=wait_seconds)
        yield descriptor
    finally:
        os.close(descriptor)


async def _lock(descriptor: int, directory: Path, *, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise DirectoryInUse(
                    f"another smsbridge works in {directory}; stop it, or choose another --data directory"
                ) from None
        if not waiting:
            waiting = True
            log.info("waiting_for_directory", wait_seconds=wait_seconds)
        await asyncio.sleep(0.1)
