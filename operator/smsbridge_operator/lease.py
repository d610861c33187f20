"""One operator acts at a time: the one that the store names as its writer.

The registry is what must not have two writers, so the lease stands where it stands. Whoever finds that
another has it stops at once; the process then ends and is started anew by its Deployment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from smsbridge.core import errors

log = structlog.get_logger()

_RENEWALS = 3  # tries within one lease


class Book(Protocol):
    """`store.registry.Registry`, as far as it is used here."""

    async def hold(self, owner: str, *, seconds: float) -> str: ...

    async def leave(self, owner: str) -> None: ...


class Lease:
    def __init__(
        self,
        book: Book,
        *,
        owner: str,
        seconds: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._book = book
        self._owner = owner
        self._seconds = seconds
        self._sleep = sleep
        self.held = False

    async def acquire(self) -> None:
        """Returns when it is ours."""
        told = False
        while await self._holder() != self._owner:
            if not told:
                log.info("lease_waited_for")
                told = True
            await self._sleep(self._seconds / _RENEWALS)
        self.held = True
        log.info("lease_taken")

    async def keep(self) -> None:
        """Renews it; returns when somebody else has it. While the store is away nobody can take it."""
        while await self._holder() in (self._owner, ""):
            await self._sleep(self._seconds / _RENEWALS)
        self.held = False
        log.error("lease_lost")

    async def leave(self) -> None:
        if not self.held:
            return
        self.held = False
        try:
            await self._book.leave(self._owner)
        except errors.StoreAway:
            log.info("lease_not_returned")  # it runs out by itself

    async def _holder(self) -> str:
        """Empty where the store does not answer."""
        try:
            return await self._book.hold(self._owner, seconds=self._seconds)
        except errors.StoreAway:
            return ""
