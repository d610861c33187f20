"""Time as a dependency: what waits or measures takes a `Clock`, so that tests never sleep.

The store's scripts use the store's own clock; this one measures durations and stamps local events.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds from an unknown start; never goes back."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def unix_ms(at: datetime) -> int:
    """Unix milliseconds of an aware datetime."""
    return round(at.timestamp() * 1000)
