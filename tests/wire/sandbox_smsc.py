"""The SMSC stand-in with a caller and a status handler, for the tests of the stand-in itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import (
    AccountSettings,
    Profile,
    SandboxSettings,
    SmscSettings,
    Timing,
)

GUIDE = {"login": "guide", "psw": "secret-guide"}
HTTP = {"login": "http", "psw": "secret-http"}
ONE = {"phones": "79990000001", "mes": "Hello", "fmt": "3", "charset": "utf-8"}
TIMING = Timing(handover_seconds=10, delivery_seconds=100, jitter_seconds=0, read_seconds=1000)


class Handler:
    """A status handler that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.calls.put_nowait((request.method, request.rel_url.raw_query_string, await request.read()))
        return web.Response()

    async def form(self) -> dict[str, str]:
        _, _, body = await asyncio.wait_for(self.calls.get(), 5)
        return dict(parse_qsl(body.decode(), keep_blank_values=True))


class Smsc:
    """The stand-in and somebody who calls it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def text(self, script: str, *parts: dict[str, str]) -> str:
        form = {name: value for part in parts for name, value in part.items()}
        async with self.session.post(f"{self.sandbox.smsc_url}/sys/{script}.php", data=form) as response:
            assert response.status == 200
            return (await response.read()).decode(response.charset or "utf-8")

    async def json(self, script: str, *parts: dict[str, str]) -> Any:
        form = {name: value for part in parts for name, value in part.items()}
        async with self.session.post(f"{self.sandbox.smsc_url}/sys/{script}.php", data=form) as response:
            return await response.json()

    async def known(self, account: dict[str, str], client_id: str, phone: str) -> int:
        answer = await self.json("status", account, {"id": client_id, "phone": phone, "fmt": "3"})
        return int(answer["status"])


@asynccontextmanager
async def calling() -> AsyncIterator[Smsc]:
    accounts = [
        AccountSettings(login="guide", password="secret-guide", timing=TIMING),
        AccountSettings(login="http", password="secret-http", profile=Profile.HTTP, timing=TIMING),
    ]
    settings = SandboxSettings(accounts=accounts, smsc=SmscSettings(callback_connections=1))
    async with Sandbox.running(settings) as sandbox, aiohttp.ClientSession() as session:
        yield Smsc(sandbox, session)


@asynccontextmanager
async def listening() -> AsyncIterator[Handler]:
    handler = Handler()
    application = web.Application()
    application.router.add_route("*", "/callback", handler.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    handler.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    yield handler
    await runner.cleanup()


def error(code: int, sentence: str, smsc_id: int | str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"error": sentence, "error_code": code}
    return answer if smsc_id is None else answer | {"id": smsc_id}
