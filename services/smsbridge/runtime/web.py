"""Starts and stops an aiohttp application on HOST:PORT. Routes belong to who makes the application."""

from aiohttp import web

from smsbridge.runtime import addresses


class WebServer:
    """Port 0 means any free one; `address` tells which."""

    def __init__(self, application: web.Application, *, listen: str, shutdown_seconds: float = 5.0) -> None:
        self._host, self._port = addresses.split(listen)
        # No access log: its lines hold URLs, and URLs hold keys.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_seconds)

    async def start(self) -> None:
        """Raises OSError where the address is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, backlog=1024)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]

    @property
    def address(self) -> str:
        return addresses.join(self._host, self._port)

    @property
    def port(self) -> int:
        return self._port

    async def stop(self) -> None:
        """No new connections; requests in hand are finished within the shutdown time."""
        await self._runner.cleanup()
