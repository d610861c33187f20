"""A sandbox, its control client and an application that listens, for the tests of the sandbox itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import (
    ApplicationSettings,
    PortalSettings,
    SandboxSettings,
)

DOMAIN = "example.bitrix24.ru"
CLIENT = "local.1"
STATUS = "messageservice.message.status.update"


class Listener:
    """The application's own doors: what was posted there, and what they answer."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, str]] = []  # path, query, body
        self.url = ""
        self.status = 200
        self.page = "{}"

    async def take(self, request: web.Request) -> web.Response:
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        self.posts.append(
            (request.path, request.rel_url.raw_query_string, (await request.read()).decode("ascii"))
        )
        return web.Response(status=self.status, text=self.page)

    @property
    def last(self) -> str:
        return self.posts[-1][2]

    def field(self, name: str) -> str:
        return parse_qs(self.last)[name][0]


class World:
    def __init__(self, sandbox: Sandbox, client: SandboxClient, listener: Listener) -> None:
        self.sandbox = sandbox
        self.client = client
        self.listener = listener
        self.token = ""

    async def rest(self, method: str, **parameters: Any) -> Any:
        url = self.sandbox.portal_url(DOMAIN) + method
        body = {"auth": self.token} | parameters
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            return await response.json()

    async def ready(self, *, sent_after_seconds: float = 10, insert_after_seconds: float = 10) -> None:
        """Installs the application and registers its sender."""
        await self.client.change_portal(
            DOMAIN, sent_after_seconds=sent_after_seconds, insert_after_seconds=insert_after_seconds
        )
        self.token = (await self.client.install(DOMAIN, url=self.listener.url + "/install")).access_token
        sender = {
            "CODE": "smsc",
            "TYPE": "SMS",
            "NAME": "SMSC",
            "HANDLER": self.listener.url + "/handler?key=k",
        }
        assert (await self.rest("messageservice.sender.add", **sender))["result"] is True

    async def status(self, message_id: str) -> str:
        (row,) = await self.client.rows(DOMAIN, message_id=message_id)
        return row.status


@asynccontextmanager
async def living() -> AsyncIterator[World]:
    listener = Listener()
    application = web.Application()
    application.router.add_post("/{path:.*}", listener.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    known = ApplicationSettings(client_id=CLIENT, client_secret="s")
    member_id = "a223c6b3710f85df22e9377d6c4f7553"
    portal = PortalSettings(domain=DOMAIN, member_id=member_id, applications=[known])
    async with (
        Sandbox.running(SandboxSettings(portals=[portal])) as sandbox,
        SandboxClient(sandbox.control_url) as client,
    ):
        yield World(sandbox, client, listener)
    await runner.cleanup()
