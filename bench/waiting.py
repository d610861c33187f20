"""Waits for a state by looking again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp


class StandFailed(Exception):
    """A state did not come, or the stack did not come up: nothing can be measured."""


async def until(
    read: Callable[[], Awaitable[Any]], *, what: str, seconds: float = 60.0, pause: float = 0.1
) -> Any:
    """Asks until the answer is true. Raises StandFailed after so long."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await read()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise StandFailed(f"{what} did not come within {seconds:.0f} s")
        await asyncio.sleep(pause)


async def answers(url: str) -> bool:
    """With 200."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
