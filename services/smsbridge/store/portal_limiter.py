"""A portal's limits, kept by all processes together: requests a second, operating time per method.

Portal tag. It satisfies `bitrix24.limiter.Limiter` by its shape. The bucket stays below the portal's own by a
margin for requests that travel at different speeds; operating time is paced so that nearly all of it is used
and no call is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.core import errors
from smsbridge.store import connection, scripts, tags


class PortalLimits(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    requests_per_second: float = Field(
        default=2.0,
        gt=0,
        description="Requests a second a portal lets through in the long run (Enterprise: 5).",
    )
    burst: int = Field(
        default=45,
        ge=6,
        description="Requests a portal may get at once; it blocks above 50 (Enterprise: 250).",
    )
    priority_step: int = Field(
        default=3,
        ge=0,
        description="Of the burst, how many requests each priority leaves free for the next higher one.",
    )
    verification_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the requests that base verification keeps, whatever else goes on.",
    )
    operating_limit_seconds: float = Field(
        default=480.0,
        ge=0,
        description="Operating time a method may use in the window (s); 0: the portal has no such limit.",
    )
    operating_window_seconds: float = Field(default=600.0, gt=0, description="That window (s).")
    operating_slow_share: float = Field(
        default=0.80,
        gt=0,
        le=1,
        description="From this share of the limit on, a method is paced to the window's average.",
    )
    operating_stop_share: float = Field(
        default=0.97, gt=0, le=1, description="A method waits above this share of the limit."
    )
    operating_cost_seconds: float = Field(
        default=0.05, gt=0, description="What a command is taken to cost until the portal's answers tell (s)."
    )
    flight_seconds: float = Field(
        default=75.0, gt=0, description="A request without an answer is forgotten after so long (s)."
    )
    back_off_seconds: float = Field(
        default=1.0, gt=0, description="First pause after 503 QUERY_LIMIT_EXCEEDED; doubles (s)."
    )
    back_off_most_seconds: float = Field(default=60.0, gt=0, description="The longest such pause (s).")
    overload_seconds: float = Field(
        default=1800.0,
        gt=0,
        description="Nothing is sent for so long after OVERLOAD_LIMIT, which Bitrix24 sets by hand (s).",
    )
    patience_seconds: float = Field(
        default=30.0,
        ge=0,
        description="A caller that would have to wait longer for its turn is sent away (s).",
    )


class Held(errors.Away):
    """No turn soon. `why`: rate, back_off, operating, operating_time_over or overload."""

    code: ClassVar[str] = "PortalLimited"

    def __init__(self, why: str, *, wait_seconds: float) -> None:
        super().__init__(f"the portal's limits allow no request now: {why}")
        self.why = why
        self.wait_seconds = wait_seconds


class Observed(Protocol):
    """`bitrix24.limiter.Observation`, by its shape. `seen` is one of OPERATING, RATE_LIMITED, OVERLOADED and
    OPERATING_TIME_OVER; `reset_at` is in unix seconds.
    """

    @property
    def seen(self) -> Enum: ...
    @property
    def method(self) -> str: ...
    @property
    def operating_seconds(self) -> float: ...
    @property
    def reset_at(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Turn:
    """`wait_seconds` 0: now. `stopped`: waiting is of no use for a while."""

    wait_seconds: float = 0.0
    why: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Headroom:
    """How much of a portal's limits is in use. `cost_seconds`: operating time of one command."""

    requests_ratio: float
    operating_ratio: float
    cost_seconds: float


class PortalLimiter:
    def __init__(
        self,
        store: connection.Store,
        limits: PortalLimits | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._limits = limits or PortalLimits()
        self._sleep = sleep

    async def acquire(self, portal: str, *, priority: IntEnum, method: str = "", commands: int = 1) -> None:
        """Returns when one request may go. Raises Held where that takes too long, StoreAway."""
        waited = 0.0
        while True:
            turn = await self._ask(portal, priority=priority, method=method, commands=commands, peek=False)
            if turn.wait_seconds <= 0:
                return
            if turn.stopped or waited + turn.wait_seconds > self._limits.patience_seconds:
                raise Held(turn.why, wait_seconds=turn.wait_seconds)
            waited += turn.wait_seconds
            await self._sleep(turn.wait_seconds)

    async def turn(self, portal: str, *, priority: IntEnum, method: str = "", commands: int = 1) -> Turn:
        """When `acquire` would return; takes nothing."""
        return await self._ask(portal, priority=priority, method=method, commands=commands, peek=True)

    async def observed(self, portal: str, observation: Observed) -> None:
        limits = self._limits
        payload = {
            "seen": observation.seen.name.lower(),
            "method": observation.method,
            "operating": observation.operating_seconds,
            "window": limits.operating_window_seconds,
            "cap": limits.burst,
            "back_off": round(limits.back_off_seconds * 1000),
            "back_off_most": round(limits.back_off_most_seconds * 1000),
            "overload": round(limits.overload_seconds * 1000),
        }
        if observation.reset_at is not None:
            payload["reset_at"] = observation.reset_at
        await self._store.run("limiter_observe", tags.portal(portal), scripts.encode(payload))

    async def conditions(self, portal: str) -> dict[str, int]:
        """What is wrong with the portal's limits, by the unix ms it began: overload, operating_time_over."""
        async with connection.translated():
            found = await self._store.redis.hgetall(tags.portal(portal) + "flags")
        return {name.decode(): int(float(at)) for name, at in found.items()}

    async def headroom(self, portal: str, *, method: str) -> Headroom:
        """As it is now; changes nothing."""
        limits = self._limits
        payload = {
            "method": method,
            "rate": limits.requests_per_second,
            "operating_limit": limits.operating_limit_seconds,
            "cost": limits.operating_cost_seconds,
        }
        found = await self._store.run("limiter_read", tags.portal(portal), scripts.encode(payload))
        operating = found["used"] / found["limit"] if found["limit"] else 0.0
        return Headroom(found["level"] / limits.burst, operating, float(found["cost"]))

    async def calls_today(self, portal: str) -> int:
        """Requests to the portal since midnight (UTC), of all roles."""
        day = await self._store.now_ms(tags.portal(portal)) // 86_400_000
        async with connection.translated():
            count = await self._store.redis.get(f"{tags.portal(portal)}day:{day}")
        return int(count or 0)

    async def _ask(self, portal: str, *, priority: IntEnum, method: str, commands: int, peek: bool) -> Turn:
        limits = self._limits
        payload: dict[str, Any] = {
            "priority": int(priority),
            "method": method,
            "commands": commands,
            "rate": limits.requests_per_second,
            "caps": self._caps(),
            "verification_share": limits.verification_share,
            "operating_limit": limits.operating_limit_seconds,
            "operating_window": limits.operating_window_seconds,
            "slow": limits.operating_slow_share,
            "stop": limits.operating_stop_share,
            "cost": limits.operating_cost_seconds,
            "flight": round(limits.flight_seconds * 1000),
        }
        if peek:
            payload["peek"] = True
        answer = await self._store.run("limiter_acquire", tags.portal(portal), scripts.encode(payload))
        if answer.get("ok"):
            return Turn()
        stopped = answer.get("stopped", "")
        return Turn(max(0.001, answer["wait_ms"] / 1000), stopped or answer["why"], bool(stopped))

    def _caps(self) -> list[int]:
        """How full the bucket may be for each of the five priorities."""
        return [max(1, self._limits.burst - self._limits.priority_step * n) for n in range(5)]
