"""Runs one role as a process: signals, the internal listener, and death together with the supervisor.

A child dies with its parent in two ways: the kernel kills it (PDEATHSIG, Linux), and it watches a pipe whose
other end only the supervisor holds. Dying at once is safe: every role is made to survive `kill -9`.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from pydantic import BaseModel, ConfigDict, Field

from smsbridge.runtime import metrics
from smsbridge.runtime.internal import InternalListener

log = structlog.get_logger()

LIFELINE_VARIABLE = "SMSBRIDGE_LIFELINE"  # number of the pipe's descriptor in a child
_PR_SET_PDEATHSIG = 1


class ProcessSettings(BaseModel):
    """What every process has."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    internal: str = Field(
        default="127.0.0.1:7100", description="HOST:PORT of /metrics, /livez and /readyz; empty for none."
    )
    master_key_file: Path = Field(
        default=Path("data/master.key"),
        description="The keyring: one key of 32 bytes in base64 a line; the first writes, all read.",
    )


class Role(Protocol):
    """`ready` gives "" where the role can work, else a sentence that says why not."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def ready(self) -> str: ...


def new_registry() -> CollectorRegistry:
    """A process's own metrics; without the library's global registry nothing is registered at import."""
    # A series more for each counter, and nobody asks when it was made.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    return registry


def stop_on_signals(stop: asyncio.Event | None = None) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; `stop` where there is one already."""
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _spare_the_collector() -> None:
    """What was loaded until now stays to the end; looking through it at every collection takes a tenth of a
    busy process. Young objects are looked at less often too: nearly all go by their count of references.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(role: Role, *, registry: CollectorRegistry, internal: str, stop: asyncio.Event) -> None:
    """Until `stop`: then no new work, and what is in hand is finished. `internal`: HOST:PORT or empty."""
    started = False

    async def ready() -> str:
        return await role.ready() if started and not stop.is_set() else f"{role.name} is starting or stopping"

    async def page() -> bytes:
        return metrics.render(registry)

    listener = InternalListener(listen=internal, page=page, ready=ready) if internal else None
    if listener is not None:
        await listener.start()
    try:
        await role.start()
        _spare_the_collector()
        started = True
        log.info("role_started", role=role.name, internal=listener.address if listener is not None else "")
        await stop.wait()
        log.info("role_stopping", role=role.name)
        await role.stop()
        log.info("role_stopped", role=role.name)
    finally:
        if listener is not None:
            await listener.stop()


def die_with_parent(parent: int) -> None:
    """The kernel is to kill this process when its parent dies; survives an exec. No effect off Linux."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def follow_supervisor() -> None:
    """Ends this process as soon as its supervisor is gone; does nothing for a process that has none."""
    descriptor = os.environ.get(LIFELINE_VARIABLE, "")
    if not descriptor.isdecimal():
        return
    # Nobody ever writes: readable means closed. Everything is left as after a kill, which all survive.
    asyncio.get_running_loop().add_reader(int(descriptor), os._exit, 1)
    die_with_parent(os.getppid())  # had the supervisor died before this line, the pipe would tell
