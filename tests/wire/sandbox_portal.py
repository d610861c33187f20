"""The portal stand-in with an installed application that calls it, for the tests of the stand-in itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from smsbridge.sandbox.portal import Portal
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import ApplicationSettings, PortalSettings, SandboxSettings
from smsbridge.sandbox.tokens import Grant, Pair

DOMAIN = "example.bitrix24.ru"
ADMIN, EMPLOYEE = 1, 7
CLIENT, SECRET = "local.1", "the-secret"
HANDLER = "https://sms.example.com/handler?key=k"
SENDER = {"CODE": "smsc", "TYPE": "SMS", "HANDLER": HANDLER, "NAME": "SMSC"}
STATUS = "messageservice.message.status.update"


class Rest:
    """The stand-in and an installed application that calls it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.application = self.portal.applications[CLIENT]
        self.application.present = self.application.installed = True
        self.admin = self.pair(ADMIN)

    @property
    def portal(self) -> Portal:
        return next(iter(self.sandbox.portals.by_domain.values()))

    def pair(self, user_id: int) -> Pair:
        granted = Grant(CLIENT, self.portal.member_id, user_id)
        return self.sandbox.portals.tokens.issue(granted, now=self.sandbox.clock.now(), seconds=3600)

    def row(self, message_id: str, *, author_id: int = 0) -> None:
        now = self.sandbox.clock.now()
        row = self.portal.new_row(
            message_id=message_id, phone="+79990000001", origin="card", author_id=author_id, now=now
        )
        self.portal.insert(row, status="sent", now=now)

    async def call(
        self, method: str, parameters: dict[str, Any] | None = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        body = {"auth": self.admin.access_token if token is None else token} | (parameters or {})
        url = self.sandbox.portal_url(self.portal.domain) + method
        async with self.session.post(url, json=body, allow_redirects=False) as response:
            return response.status, await response.json()

    async def batch(self, commands: Any, **more: Any) -> Any:
        status, answer = await self.call("batch", {"cmd": commands} | more)
        assert status == 200
        return answer["result"]

    async def token(self, verb: str = "GET", **changes: str) -> tuple[int, Any]:
        query = {
            "grant_type": "refresh_token",
            "client_id": CLIENT,
            "client_secret": SECRET,
            "refresh_token": self.admin.refresh_token,
        }
        url = self.sandbox.oauth_url + "/oauth/token/"
        # aiohttp repeats a GET by itself when its connection is reset; a POST it does not.
        async with self.session.request(verb, url, params=query | changes) as response:
            return response.status, await response.json()


@asynccontextmanager
async def calling() -> AsyncIterator[Rest]:
    application = ApplicationSettings(client_id=CLIENT, client_secret=SECRET)
    settings = SandboxSettings(portals=[PortalSettings(domain=DOMAIN, applications=[application])])
    async with Sandbox.running(settings) as sandbox, aiohttp.ClientSession() as session:
        yield Rest(sandbox, session)


def refused(error: str, description: str) -> dict[str, str]:
    return {"error": error, "error_description": description}


def update_command(message_id: str, status: str = "delivered") -> str:
    return f"{STATUS}?CODE=smsc&MESSAGE_ID={message_id}&STATUS={status}"
