"""A portal's limits: who may call now, and what the answers told about it.

`Limiter` is what the client needs; the one that all processes share lives in the store and is tied in from
outside. `LocalLimiter` serves a single process: a command, a probe, a test. It must not be used where several
processes call one portal: Bitrix24 counts per portal and source address.
"""

import asyncio
import itertools
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Protocol

from smsbridge.bitrix24 import errors


class Priority(IntEnum):
    """Lower goes first."""

    TOKENS = 0  # and registration
    ROBOTS = 1
    STATUSES = 2
    LEADS = 3
    VERIFICATION = 4


class Seen(Enum):
    OPERATING = auto()  # an answer told a method's operating time
    RATE_LIMITED = auto()  # 503 QUERY_LIMIT_EXCEEDED
    OVERLOADED = auto()  # 503 OVERLOAD_LIMIT
    OPERATING_TIME_OVER = auto()  # 429 OPERATION_TIME_LIMIT


@dataclass(frozen=True, slots=True)
class Observation:
    """`method` is empty for what concerns the whole portal; `reset_at` is in unix seconds."""

    seen: Seen
    method: str = ""
    operating_seconds: float = 0.0
    reset_at: int | None = None


class Limiter(Protocol):
    async def acquire(self, portal: str, *, priority: Priority, method: str = "", commands: int = 1) -> None:
        """Returns when one HTTP request may go. `method` is empty for a batch of several methods.

        May raise an Away where waiting makes no sense: a stopped method or portal, a store that does not
        answer.
        """

    async def observed(self, portal: str, observation: Observation) -> None: ...


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """The figures of every plan but Enterprise; the burst keeps a distance to Bitrix24's 50."""

    requests_per_second: float = 2.0
    burst: int = 40
    back_off_seconds: float = 5.0  # after 503 QUERY_LIMIT_EXCEEDED
    overload_seconds: float = 600.0
    operating_stop_seconds: float = 600.0  # where the answer does not say until when


@dataclass(slots=True)
class _Portal:
    level: float = 0.0
    level_at: float = 0.0
    not_before: float = 0.0
    overloaded_until: float = 0.0
    stopped_until: dict[str, float] = field(default_factory=dict)
    waiting: set[tuple[int, int]] = field(default_factory=set)


class LocalLimiter:
    """A leaky bucket per portal. `clock` is monotonic seconds, `wall` unix seconds."""

    def __init__(
        self,
        limits: LocalLimits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits or LocalLimits()
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._portals: dict[str, _Portal] = {}
        self._numbers = itertools.count()

    async def acquire(self, portal: str, *, priority: Priority, method: str = "", commands: int = 1) -> None:
        """Raises Overloaded or OperatingTimeOver at once: nobody should wait ten minutes for a turn."""
        state = self._portals.setdefault(portal, _Portal(level_at=self._clock()))
        ticket = (int(priority), next(self._numbers))
        state.waiting.add(ticket)
        try:
            while True:
                self._check_stops(state, method)
                wait_seconds = self._wait_seconds(state, ticket)
                if wait_seconds <= 0:
                    break
                await self._sleep(wait_seconds)
        finally:
            state.waiting.discard(ticket)
        state.level += 1

    async def observed(self, portal: str, observation: Observation) -> None:
        now = self._clock()
        state = self._portals.setdefault(portal, _Portal(level_at=now))
        if observation.seen is Seen.RATE_LIMITED:
            state.not_before = now + self._limits.back_off_seconds
        elif observation.seen is Seen.OVERLOADED:
            state.overloaded_until = now + self._limits.overload_seconds
        elif observation.seen is Seen.OPERATING_TIME_OVER:
            stop_seconds = self._limits.operating_stop_seconds
            if observation.reset_at is not None:
                stop_seconds = max(1.0, observation.reset_at - self._wall())
            state.stopped_until[observation.method] = now + stop_seconds

    def _check_stops(self, state: _Portal, method: str) -> None:
        now = self._clock()
        if now < state.overloaded_until:
            raise errors.Overloaded(
                "requests to this portal are stopped: Bitrix24 blocked them", method=method
            )
        stopped_seconds = state.stopped_until.get(method, now) - now
        if stopped_seconds > 0:
            raise errors.OperatingTimeOver(
                f"{method} is stopped: it has used up its operating time",
                method=method,
                reset_at=math.ceil(self._wall() + stopped_seconds),
            )

    def _wait_seconds(self, state: _Portal, ticket: tuple[int, int]) -> float:
        now = self._clock()
        rate = self._limits.requests_per_second
        state.level = max(0.0, state.level - (now - state.level_at) * rate)
        state.level_at = now
        if now < state.not_before:
            return state.not_before - now
        over = state.level + 1 - self._limits.burst
        if over > 1e-9:  # rounding must not cost a turn
            return over / rate
        return 0.0 if ticket == min(state.waiting) else 1 / rate
