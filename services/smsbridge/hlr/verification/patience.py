"""Waits for what is away, and goes on: for work that has time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from smsbridge.core import errors
from smsbridge.store.portal_limiter import Held

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """A call that may be repeated is, at doubling distances, as long as somebody is away."""

    first_seconds: float
    most_seconds: float

    async def __call__(self, call: Callable[[], Awaitable[Result]]) -> Result:
        pause = self.first_seconds
        while True:
            try:
                return await call()
            except errors.Away as away:
                wait = away.wait_seconds if isinstance(away, Held) else 0.0
                await asyncio.sleep(min(self.most_seconds, max(pause, wait)))
                pause = min(self.most_seconds, pause * 2)
