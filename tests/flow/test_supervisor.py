"""Guarantee 14: children die with the supervisor, and a new one starts only when the old ones are gone."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
import redis.asyncio

from smsbridge.runtime import supervisor
from smsbridge.store import embedded

T = TypeVar("T")
PROGRAM = Path(__file__).with_name("supervised.py")
SLEEPER = (sys.executable, "-c", "import time; time.sleep(3600)")
# Deaf to SIGTERM, and without a look at the pipe: only the kernel can end it with its parent. Both helpers
# make a file, their argument, when they have arranged for their death.
DEAF = (
    "import os, pathlib, signal, sys, time\n"
    "from smsbridge.runtime import process\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "process.die_with_parent(os.getppid())\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "time.sleep(3600)"
)
# As a role does.
FOLLOWER = (
    "import asyncio, pathlib, sys\n"
    "from smsbridge.runtime import process\n"
    "async def main():\n"
    "    process.follow_supervisor()\n"
    "    pathlib.Path(sys.argv[1]).touch()\n"
    "    await asyncio.sleep(3600)\n"
    "asyncio.run(main())"
)


class Stack:
    def __init__(self, directory: Path, running: asyncio.subprocess.Process) -> None:
        self.directory = directory
        self.process = running

    async def state(self, *, other_than: int = 0) -> dict[str, int]:
        """Pids by name, when all run; waits until the helper is another one than `other_than`."""

        async def read() -> dict[str, int] | None:
            try:
                pids = json.loads((self.directory / "state.json").read_text())["pids"]
            except FileNotFoundError:
                return None
            return pids if pids["helper"] != other_than else None

        return await until(read)

    def store(self) -> "redis.asyncio.Redis":
        port = json.loads((self.directory / "state.json").read_text())["port"]
        password = embedded.read_password(self.directory)
        return redis.asyncio.Redis(host="127.0.0.1", port=port, password=password)


async def until(read: Callable[[], Awaitable[T | None]]) -> T:
    """Asks until there is an answer, for at most 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = await read()
        if answer is not None:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in 20 seconds")


@contextlib.asynccontextmanager
async def stack(directory: Path, helper: tuple[str, ...]) -> AsyncIterator[Stack]:
    (directory / "state.json").unlink(missing_ok=True)
    running = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), str(directory), *helper)
    try:
        yield Stack(directory, running)
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            await running.wait()


async def gone(pid: int) -> None:
    async def look() -> bool | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                return None
        return True

    await until(look)


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    async with stack(tmp_path, SLEEPER) as running:
        first = await running.state()
        os.kill(first["helper"], signal.SIGKILL)
        second = await running.state(other_than=first["helper"])
        assert second["store"] == first["store"]


async def test_sigterm_ends_all_and_what_was_written_stays(tmp_path: Path) -> None:
    async with stack(tmp_path, SLEEPER) as running:
        pids = await running.state()
        async with running.store() as client:
            await client.set("kept", "yes")
    assert running.process.returncode == 0
    for pid in pids.values():
        await gone(pid)
    async with stack(tmp_path, SLEEPER) as running:
        await running.state()
        async with running.store() as client:
            assert await client.get("kept") == b"yes"


@pytest.mark.parametrize("program", [DEAF, FOLLOWER], ids=["deaf", "follower"])
async def test_children_die_with_a_killed_supervisor_and_a_new_one_takes_over(
    tmp_path: Path, program: str
) -> None:
    armed = tmp_path / "armed"
    helper = (sys.executable, "-c", program, str(armed))

    async def look() -> bool | None:
        return armed.exists() or None

    async with stack(tmp_path, helper) as running:
        pids = await running.state()
        async with running.store() as client:
            await client.set("kept", "yes")
        await until(look)
        running.process.kill()
        await running.process.wait()
        async with stack(tmp_path, helper) as second:
            await second.state(other_than=pids["helper"])
            for pid in pids.values():
                await gone(pid)
            async with second.store() as client:
                assert await client.get("kept") == b"yes"


async def test_a_directory_that_stays_in_use_is_refused(tmp_path: Path) -> None:
    async with supervisor.hold_directory(tmp_path, wait_seconds=1):
        with pytest.raises(supervisor.DirectoryInUse, match="another smsbridge works in"):
            async with supervisor.hold_directory(tmp_path, wait_seconds=0.05):
                pass


async def test_a_child_holds_the_directory_until_it_is_gone(tmp_path: Path) -> None:
    async with supervisor.hold_directory(tmp_path, wait_seconds=1) as lock:
        child = await asyncio.create_subprocess_exec(*SLEEPER, pass_fds=(lock,))
    try:
        with pytest.raises(supervisor.DirectoryInUse):
            async with supervisor.hold_directory(tmp_path, wait_seconds=0.05):
                pass
    finally:
        child.kill()
        await child.wait()
    async with supervisor.hold_directory(tmp_path, wait_seconds=5):
        pass
