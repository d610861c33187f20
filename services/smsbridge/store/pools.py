"""Connections to a server: whoever finds all of them in use waits for one, in the order of coming.

Fifty providers have some hundred loops, and a change of the registry wakes them all at once. The driver's
pool would refuse most of them, and of its waiting one late comers get ahead.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as driver
from redis import exceptions
from redis.asyncio.sentinel import SentinelConnectionPool


class Turns:
    """As many at once as `count`; nobody waits longer than `seconds`."""

    def __init__(self, count: int, seconds: float) -> None:
        self._free = asyncio.Semaphore(count)
        self._seconds = seconds

    async def take(self) -> None:
        """Raises MaxConnectionsError where it takes too long."""
        if not self._free.locked():  # as a rule; a timer would cost more than the rest
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._free.acquire()
        except TimeoutError:
            raise exceptions.MaxConnectionsError("no connection is free") from None

    def give(self) -> None:
        self._free.release()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        await self.take()
        try:
            yield
        finally:
            self.give()


class Pool(driver.ConnectionPool):
    """Of one server."""

    def __init__(self, *args: Any, wait_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns = Turns(self.max_connections, wait_seconds)
        self._lent: set[Any] = set()

    async def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        await self._turns.take()
        try:
            connection = await super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]
        except BaseException:
            self._turns.give()
            raise
        self._lent.add(connection)
        return connection

    async def release(self, connection: Any) -> None:
        """Also called by the driver, for one that it could not connect and so did not lend."""
        lent = connection in self._lent
        self._lent.discard(connection)
        try:
            await super().release(connection)
        finally:
            if lent:
                self._turns.give()


class WatchedPool(Pool, SentinelConnectionPool):
    """Of the primary that the sentinels name."""
