"""How many posts a second the door takes, against a bare handler; and the memory of each role afterwards."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel

from bench import load
from smsbridge.demo import orders, stack
from smsbridge.runtime import addresses, rundir

_CONNECTIONS = 64
_WARM = 500


class AcceptReport(BaseModel):
    """`share` is the door's rate over the bare handler's, measured by the same client on this machine."""

    posts: int
    refused: int
    per_second: float
    p50_ms: float
    p99_ms: float
    bare_per_second: float
    share: float
    cpu_ms_a_post: dict[str, float]
    memory_mb: dict[str, float]


async def measure(count: int) -> AcceptReport:
    bare = await _bare(count)
    with tempfile.TemporaryDirectory(prefix="smsbridge-bench-") as directory:
        async with stack.running(Path(directory)) as running:
            plan = orders.PROVIDERS[0]
            shown = await stack.until(
                lambda: running.provider(f"{orders.NAMESPACE}/{plan.name}"),
                what="the provider",
                directory=running.directory,
            )
            url = str(shown["handlerUrl"])
            await load.run(url, _forms(_WARM, plan.code, "w"), connections=_CONNECTIONS)
            processes = _processes(running.data)
            before = {name: _cpu_ms(process) for name, process in processes.items()}
            door = await load.run(url, _forms(count, plan.code, "m"), connections=_CONNECTIONS)
            cpu = {name: (_cpu_ms(process) - before[name]) / count for name, process in processes.items()}
            memory = {name: _resident_mb(process) for name, process in processes.items()}
    return AcceptReport(
        posts=door.posts,
        refused=door.bad,
        per_second=round(door.per_second, 1),
        p50_ms=round(door.p50_ms, 2),
        p99_ms=round(door.p99_ms, 2),
        bare_per_second=round(bare.per_second, 1),
        share=round(door.per_second / bare.per_second, 3),
        cpu_ms_a_post={name: round(spent, 3) for name, spent in cpu.items()},
        memory_mb=memory,
    )


def _forms(count: int, code: str, salt: str) -> list[bytes]:
    return load.forms(count, code=code, origin="sender", salt=salt)


async def _bare(count: int) -> load.Measured:
    async with _bare_server() as url:
        await load.run(url, _forms(_WARM, "bare", "w"), connections=_CONNECTIONS)
        return await load.run(url, _forms(count, "bare", "m"), connections=_CONNECTIONS)


@contextlib.asynccontextmanager
async def _bare_server() -> AsyncIterator[str]:
    port = addresses.free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port))
    url = f"http://127.0.0.1:{port}/handler"
    try:
        while not await _listens(url):
            await asyncio.sleep(0.05)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def _listens(url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status > 0
    return False


def _processes(data: Path) -> dict[str, psutil.Process]:
    found = rundir.read(data)
    if found is None:
        return {}
    supervisor = psutil.Process(found.pid)
    return {"supervisor": supervisor} | {_name(child.cmdline()): child for child in supervisor.children()}


def _name(command: list[Any]) -> str:
    return command[command.index("run") + 1] if "run" in command else "store"


def _cpu_ms(process: psutil.Process) -> float:
    times = process.cpu_times()
    spent: float = times.user + times.system
    return spent * 1000


def _resident_mb(process: psutil.Process) -> float:
    resident: float = process.memory_info().rss / 2**20
    return round(resident, 1)
