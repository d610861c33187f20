"""The internal listener: /metrics, /livez and /readyz.

Never reachable from outside; nothing else is served here.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from smsbridge.runtime import metrics
from smsbridge.runtime.web import WebServer

Page = Callable[[], Awaitable[bytes]]
Ready = Callable[[], Awaitable[str]]


class InternalListener:
    """`ready` gives "" where all is well, else a sentence; `page` gives the metrics as text."""

    def __init__(self, *, listen: str, page: Page, ready: Ready) -> None:
        self._page = page
        self._ready = ready
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        self._server = WebServer(application, listen=listen, shutdown_seconds=1.0)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def address(self) -> str:
        return self._server.address

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._page(), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        why_not = await self._ready()
        return web.Response(text=f"{why_not or 'ok'}\n", status=503 if why_not else 200)
