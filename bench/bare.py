"""The yardstick: an aiohttp handler that reads a form and answers 200, and keeps nothing.

Runs as a program: `python -m bench.bare PORT`.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from bench import waiting
from smsbridge.runtime import addresses

_HOST = "127.0.0.1"
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Bare:
    url: str
    pid: int


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Bare]:
    port = addresses.free_port(_HOST)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.bare", str(port), cwd=_ROOT)
    try:
        url = f"http://{_HOST}:{port}/handler"
        await waiting.until(lambda: waiting.answers(url), what="the bare handler")
        yield Bare(url, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _handler(request: web.Request) -> web.Response:
    await request.post()
    return web.Response(body=b"{}", content_type="application/json")


def main() -> None:
    application = web.Application()
    application.router.add_route("*", "/handler", _handler)
    web.run_app(application, host=_HOST, port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
