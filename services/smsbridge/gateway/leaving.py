"""Sees kept connections off when the gateway stops.

A connection that is closed just as its client writes into it takes that post with it, and a portal never
posts twice. So for a while every answer says `Connection: close`, and clients go before the door is shut.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

_LOOK_SECONDS = 0.05


class Leaving:
    """Stands before the doors."""

    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.Response]]) -> None:
        self._answer = answer
        self._leaving = False

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        response = await self._answer(request)
        if self._leaving:
            response.force_close()
        return response

    async def see_off(self, server: web.Server, *, seconds: float) -> None:
        """Until nobody is connected any more; who says nothing for so long is cut off."""
        self._leaving = True
        deadline = time.monotonic() + seconds
        while server.connections and time.monotonic() < deadline:  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(_LOOK_SECONDS)
