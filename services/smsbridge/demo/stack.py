"""The demo's processes: the sandbox and `run all`, each started as a user would, both ended with the demo."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from smsbridge.core import errors
from smsbridge.demo import orders
from smsbridge.runtime import addresses, rundir
from smsbridge.sandbox.client import SandboxClient

_HOST = "127.0.0.1"
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0
_LOG_LINES = 15

Read = Callable[[], Awaitable[Any]]


class DemoFailed(errors.SmsbridgeError):
    """The demo could not do a step."""

    code = "DemoFailed"


class Stack:
    """A running sandbox and product. `directory` holds everything and is the caller's to remove."""

    def __init__(self, directory: Path, *, sandbox_url: str, public: str, internal: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.sandbox_url = sandbox_url
        self.public = public
        self.internal = internal
        self.sandbox = SandboxClient(f"{sandbox_url}/sandbox")

    def address(self, role: str) -> str:
        run_file = rundir.read(self.data)
        if run_file is None:
            raise DemoFailed("`run all` has left no addresses")
        return run_file.processes[role].rpc

    async def metrics(self) -> str:
        status, text = await _get(f"http://{self.internal}/metrics")
        return text if status == 200 else ""

    async def provider(self, name: str) -> dict[str, Any]:
        """What `provider show` says; empty until the provisioner has taken the manifest."""
        code, shown = await output("provider", "show", name, "--data", str(self.data), "--output", "json")
        return dict(json.loads(shown)) if code == 0 else {}


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Stack]:
    """Sandbox and product, ready. Raises DemoFailed with the end of a log where one does not come up."""
    taken: set[int] = set()
    sandbox, public, internal = (_address(taken) for _ in range(3))
    stack = Stack(directory, sandbox_url=f"http://{sandbox}", public=public, internal=internal)
    file = directory / "providers.yaml"
    text = orders.manifests(public_url=f"http://{public}", sandbox_url=stack.sandbox_url)
    await asyncio.to_thread(file.write_text, text, encoding="utf-8")
    listening = ("--public", public, "--internal", internal)
    async with contextlib.AsyncExitStack() as ending:
        ending.push_async_callback(stack.sandbox.close)
        await ending.enter_async_context(_process(directory, "sandbox", "sandbox", "--listen", sandbox))
        await until(lambda: _answers(f"http://{sandbox}/sandbox"), what="the sandbox", directory=directory)
        product = ("run", "all", "--providers", str(file), "--data", str(stack.data), *listening)
        await ending.enter_async_context(_process(directory, "smsbridge", *product))
        await until(lambda: _answers(f"http://{internal}/readyz"), what="smsbridge", directory=directory)
        yield stack


async def until(read: Read, *, what: str, directory: Path, seconds: float = _START_SECONDS) -> Any:
    """Asks until the answer is true. Raises DemoFailed after so long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        answer = await read()
        if answer:
            return answer
        await asyncio.sleep(0.2)
    raise DemoFailed(
        f"{what} did not come up within {seconds:.0f} s\n{await asyncio.to_thread(_tail, directory)}"
    )


@contextlib.asynccontextmanager
async def _process(directory: Path, name: str, *arguments: str) -> AsyncIterator[None]:
    """Dies with the demo, whatever happens to it; ended in good order at the end of the block."""
    launcher = (sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid()))
    log = await asyncio.to_thread((directory / f"{name}.log").open, "ab")
    with log:
        process = await asyncio.create_subprocess_exec(
            *launcher, sys.executable, "-m", "smsbridge", *arguments, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def output(*arguments: str) -> tuple[int, str]:
    """Of a command, as a user gives it: its exit code and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "smsbridge",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def _answers(url: str) -> bool:
    return (await _get(url))[0] == 200


async def _get(url: str) -> tuple[int, str]:
    """Status 0 where nobody answers."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError):
        return 0, ""


def _address(taken: set[int]) -> str:
    port = addresses.free_port(_HOST, taken=frozenset(taken))
    taken.add(port)
    return addresses.join(_HOST, port)


def _tail(directory: Path) -> str:
    lines = []
    for log in sorted(directory.glob("*.log")):
        lines.append(f"--- end of {log.name}")
        lines += log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(lines)
