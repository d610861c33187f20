"""Bounded exponential back-off.

Decides only how long to wait: what may be repeated is the caller's knowledge.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Backoff:
    """`jitter` is the share by which a delay may be longer or shorter, so that many do not come at once."""

    first_seconds: float = 0.1
    cap_seconds: float = 10.0
    factor: float = 2.0
    jitter: float = 0.2

    def delay(self, failures: int, *, rng: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failures in a row (1 for the first); `rng` gives 0 to 1."""
        steps = min(max(failures, 1) - 1, 64)  # beyond 64 doublings a float says nothing more than the cap
        plain = min(self.first_seconds * self.factor**steps, self.cap_seconds)
        return plain * (1 - self.jitter + 2 * self.jitter * rng())


async def attempts(
    backoff: Backoff,
    *,
    limit: int | None = None,
    sleep: Sleep = asyncio.sleep,
    rng: Callable[[], float] = random.random,
) -> AsyncIterator[int]:
    """Yields 1, 2, 3, ... and waits before each number but the first; ends after `limit` of them."""
    number = 1
    while True:
        yield number
        if limit is not None and number >= limit:
            return
        await sleep(backoff.delay(number, rng=rng))
        number += 1


async def call(
    function: Callable[[], Awaitable[T]],
    *,
    retry_on: type[Exception] | tuple[type[Exception], ...],
    limit: int,
    backoff: Backoff = Backoff(),
    sleep: Sleep = asyncio.sleep,
    rng: Callable[[], float] = random.random,
) -> T:
    """Calls at most `limit` times; the last error goes to the caller."""
    async for number in attempts(backoff, limit=limit, sleep=sleep, rng=rng):
        try:
            return await function()
        except retry_on:
            if number >= limit:
                raise
    raise ValueError("limit must be at least 1")
