"""One listener for all stand-ins: /smsc, /portal/{domain}, /oauth, and their control under /sandbox.

`serve` is for the command line; `Sandbox.running` is for tests, which may also look into its parts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from smsbridge.sandbox import control_web, reports
from smsbridge.sandbox.clock import Clock
from smsbridge.sandbox.control_crm import CrmControl
from smsbridge.sandbox.control_portals import PortalControl
from smsbridge.sandbox.control_smsc import SmscControl
from smsbridge.sandbox.oauth_app import OAuthApp
from smsbridge.sandbox.orders import AdvanceOrder
from smsbridge.sandbox.portal_app import PortalApp, Portals
from smsbridge.sandbox.portal_crm_events import CrmEvents
from smsbridge.sandbox.portal_events import Events
from smsbridge.sandbox.portal_messages import Messages
from smsbridge.sandbox.portal_posts import Poster
from smsbridge.sandbox.portal_workflows import Workflows
from smsbridge.sandbox.settings import SandboxSettings
from smsbridge.sandbox.smsc_app import Smsc
from smsbridge.sandbox.tokens import TokenBook

_log = structlog.get_logger()
_LARGEST_BODY = 16 * 1024 * 1024
_BACKLOG = 1024


class Sandbox:
    """The stand-ins and what they hold. Use `running`, or `start` and `close`."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.smsc = Smsc(settings.smsc, settings.accounts, self.clock)
        self.portals = Portals(settings.portals, clock=self.clock, tokens=TokenBook())
        self.oauth = OAuthApp(self.portals)
        self._poster = Poster()
        self._messages = Messages(self.portals, self._poster)
        events = Events(self.portals, self._poster)
        self._crm_events = CrmEvents(self.portals, events)
        self._control = PortalControl(self.portals, self.oauth, events, self._messages)
        self._crm_control = CrmControl(self.portals, Workflows(self.portals, self._poster))
        self._runner: web.AppRunner | None = None
        self.base_url = ""

    @classmethod
    @asynccontextmanager
    async def running(cls, settings: SandboxSettings | None = None) -> AsyncIterator["Sandbox"]:
        sandbox = cls(settings or SandboxSettings())
        await sandbox.start()
        try:
            yield sandbox
        finally:
            await sandbox.close()

    @property
    def smsc_url(self) -> str:
        """`spec.smsc.baseUrl`."""
        return f"{self.base_url}/smsc"

    @property
    def oauth_url(self) -> str:
        """`spec.portal.oauthEndpoint`."""
        return f"{self.base_url}/oauth"

    @property
    def control_url(self) -> str:
        return f"{self.base_url}/sandbox"

    def portal_url(self, domain: str) -> str:
        """`spec.portal.endpoint`."""
        return self.portals.endpoint(domain)

    async def start(self) -> None:
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.add_routes(self.smsc.routes("/smsc"))
        application.add_routes(PortalApp(self.portals).routes("/portal"))
        application.add_routes(self.oauth.routes("/oauth"))
        application.add_routes(self._control.routes("/sandbox"))
        application.add_routes(self._crm_control.routes("/sandbox"))
        application.add_routes(SmscControl(self.smsc).routes("/sandbox"))
        application.add_routes(
            [
                control_web.route("GET", "/sandbox", self._overview),
                control_web.route("POST", "/sandbox/clock", self._advance),
            ]
        )
        # A caller that hung up must give its place back, as a dropped connection does at the real service.
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port, backlog=_BACKLOG)
        await site.start()
        port = self._runner.addresses[0][1]
        self.base_url = self.settings.public_url.rstrip("/") or f"http://{self.settings.host}:{port}"
        self.portals.base_url = self.base_url
        _log.info("sandbox_started", host=self.settings.host, port=port)

    async def close(self) -> None:
        await self._messages.close()
        await self._crm_events.close()
        self.clock.close()
        await self.smsc.callbacks.close()
        await self._poster.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _overview(self, _: web.Request) -> reports.Overview:
        return reports.Overview(
            smsc_url=self.smsc_url,
            oauth_url=self.oauth_url,
            control_url=self.control_url,
            accounts=[
                {"login": account.settings.login, "profile": account.profile.value}
                for account in self.smsc.accounts.values()
            ],
            portals=[self._control.describe(portal) for portal in self.portals.by_domain.values()],
        )

    async def _advance(self, request: web.Request) -> dict[str, float]:
        order = await control_web.read_as(request, AdvanceOrder)
        self.clock.advance(order.seconds)
        return {"now": self.clock.now()}


async def serve(settings: SandboxSettings, *, stop: asyncio.Event) -> None:
    """Runs the stand-ins until `stop` is set. Prints nothing."""
    async with Sandbox.running(settings):
        await stop.wait()
