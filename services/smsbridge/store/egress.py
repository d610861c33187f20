"""What all accounts behind one egress address share: SMSC blocks addresses, not accounts."""

import time
from collections.abc import Callable
from enum import StrEnum

import structlog
from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from smsbridge.store import connection, scripts, tags

log = structlog.get_logger()

_KEY = tags.EGRESS


class Stop(StrEnum):
    """Why nothing leaves."""

    BLOCKED = "blocked"
    BAD_REQUESTS = "bad_requests"


class EgressSettings(BaseModel):
    """What keeps SMSC from blocking our address, and what happens where it has. Defaults are guarantees 6."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    login_errors_most: int = Field(
        3,
        ge=1,
        description="Wrong logins within the window; then none is tried that has not succeeded since the "
        "start. SMSC blocks at 5.",
    )
    login_window_seconds: float = Field(1800.0, gt=0, description="The window of wrong logins (s).")
    blocked_seconds: tuple[float, ...] = Field(
        (600.0, 1800.0),
        min_length=1,
        description="Nothing leaves for so long after SMSC blocked the address; the last repeats (s).",
    )
    bad_requests_most: int = Field(50, ge=1, description="Bad requests in a row; SMSC blocks at 100.")
    bad_requests_stop_seconds: float = Field(
        600.0, gt=0, description="Nothing leaves for so long after them (s)."
    )


class Egress:
    def __init__(
        self,
        store: connection.Store,
        settings: EgressSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._window_ms = int(settings.login_window_seconds * 1000)
        self._clock = clock
        self._seen = (0.0, 0)  # local time of the last look, ms the stop lasts from then

    async def auth_error(self) -> None:
        """Counts one."""
        await self._store.run("egress_count", _KEY, str(ULID()), self._window_ms)

    async def login_allowed(self) -> bool:
        """False once so many wrong logins came from this egress that one more might get it blocked."""
        count = int(await self._store.run("egress_count", _KEY, "", self._window_ms))
        return count < self._settings.login_errors_most

    async def bad_request(self) -> None:
        """Counts one; too many in a row stop the egress, and the count begins anew."""
        async with connection.translated():
            count = int(await self._store.redis.incr(f"{_KEY}bad"))
        if count >= self._settings.bad_requests_most:
            await self._stop(Stop.BAD_REQUESTS, seconds=self._settings.bad_requests_stop_seconds)
            await self.good_request()

    async def good_request(self) -> None:
        async with connection.translated():
            await self._store.redis.delete(f"{_KEY}bad")

    async def block(self) -> None:
        """SMSC blocked our address: nothing leaves it for a while, for no account."""
        steps = [int(seconds * 1000) for seconds in self._settings.blocked_seconds]
        stopped_ms = int(
            await self._store.run(
                "egress_block", _KEY, Stop.BLOCKED, scripts.encode(steps), 2 * self._window_ms
            )
        )
        self._seen = (0.0, 0)
        if stopped_ms:
            log.error("egress_stopped", reason=Stop.BLOCKED, seconds=stopped_ms / 1000)

    async def _stop(self, reason: Stop, *, seconds: float) -> None:
        """A longer stop stands."""
        log.error("egress_stopped", reason=reason, seconds=seconds)
        async with connection.translated():
            left = await self._store.redis.pttl(f"{_KEY}stop")
            if left < seconds * 1000:
                await self._store.redis.set(f"{_KEY}stop", reason, px=int(seconds * 1000))
        self._seen = (0.0, 0)

    async def stopped_seconds(self) -> float:
        """How long nothing may leave; 0 where it may. Looked up at most twice a second."""
        looked, left = self._seen
        age = self._clock() - looked
        if looked and age < 0.5:
            return max(0.0, left / 1000 - age)
        async with connection.translated():
            left = max(0, int(await self._store.redis.pttl(f"{_KEY}stop")))
        self._seen = (self._clock(), left)
        return left / 1000

    async def stopped_for(self) -> str:
        """The reason of the stop that stands; empty where there is none."""
        async with connection.translated():
            found = await self._store.redis.get(f"{_KEY}stop")
        return found.decode() if found else ""
