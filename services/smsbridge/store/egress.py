"""What all accounts behind one egress address share: SMSC blocks addresses, not accounts."""

import time
from collections.abc import Callable

from ulid import ULID

from smsbridge.store import connection, tags

_KEY = tags.EGRESS


class Egress:
    def __init__(
        self, store: connection.Store, *, window_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._window_ms = int(window_seconds * 1000)
        self._clock = clock
        self._seen = (0.0, 0)  # local time of the last look, ms the stop lasts from then

    async def auth_error(self) -> int:
        """Counts one; answers how many there were within the window."""
        return int(await self._store.run("egress_count", _KEY, str(ULID()), self._window_ms))

    async def auth_errors(self) -> int:
        return int(await self._store.run("egress_count", _KEY, "", self._window_ms))

    async def bad_request(self) -> int:
        """Counts one; answers how many came in a row."""
        async with connection.translated():
            return int(await self._store.redis.incr(f"{_KEY}bad"))

    async def good_request(self) -> None:
        async with connection.translated():
            await self._store.redis.delete(f"{_KEY}bad")

    async def stop(self, reason: str, *, seconds: float) -> None:
        """No request leaves for so long; a longer stop stands."""
        async with connection.translated():
            left = await self._store.redis.pttl(f"{_KEY}stop")
            if left < seconds * 1000:
                await self._store.redis.set(f"{_KEY}stop", reason, px=int(seconds * 1000))
        self._seen = (0.0, 0)

    async def blocks(self) -> int:
        """Counts address blocks that followed each other, for the length of the next stop."""
        async with connection.translated():
            count = int(await self._store.redis.incr(f"{_KEY}blocks"))
            await self._store.redis.pexpire(f"{_KEY}blocks", 2 * self._window_ms)
        return count

    async def stopped_ms(self) -> int:
        """How long no request may leave; 0 where it may. Looked up at most twice a second."""
        looked, left = self._seen
        age = self._clock() - looked
        if looked and age < 0.5:
            return max(0, left - int(age * 1000))
        async with connection.translated():
            left = max(0, int(await self._store.redis.pttl(f"{_KEY}stop")))
        self._seen = (self._clock(), left)
        return left

    async def stopped_for(self) -> str:
        """The reason of the stop that stands: blocked, bad_requests; empty where there is none."""
        async with connection.translated():
            found = await self._store.redis.get(f"{_KEY}stop")
        return found.decode() if found else ""
