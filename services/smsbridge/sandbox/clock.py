"""The sandbox's time: unix seconds that a test may move forward, and what is due later.

One heap and one timer serve every delivery, insert and overwrite, so ten thousand messages cost ten thousand
small tuples and no task. Nothing here knows what is done at the due time.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

MOSCOW = timezone(timedelta(hours=3))  # both services print Moscow's wall time


class Clock:
    def __init__(self) -> None:
        self._base = time.time() - time.monotonic()  # a step of the machine's clock must not fire anything
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def now(self) -> float:
        return time.monotonic() + self._base

    def later(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        """Calls `action` after `seconds`; forgotten when the clock is closed first."""
        if self._closed:
            return
        entry = (self.now() + seconds, next(self._order), action, arguments)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._arm()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        done = asyncio.get_running_loop().create_future()
        self.later(seconds, _wake, done)
        await done

    def advance(self, seconds: float) -> None:
        """Moves time forward through everything that falls due, in order, and what that makes due in turn."""
        target = self.now() + seconds
        while self._due and self._due[0][0] <= target:
            self._base += max(0.0, self._due[0][0] - self.now())
            self._run_first()
        self._base += max(0.0, target - self.now())
        self._arm()

    def close(self) -> None:
        self._closed = True
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            wait = max(0.0, self._due[0][0] - self.now())
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        horizon = self.now()
        while self._due and self._due[0][0] <= horizon:
            self._run_first()
        self._arm()

    def _run_first(self) -> None:
        _, _, action, arguments = heapq.heappop(self._due)
        try:
            action(*arguments)
        except Exception as error:  # the timer's outermost edge: one action must not stop the others
            context = {"message": "an action of the sandbox's clock failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


def _wake(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def moscow(unix_seconds: float) -> str:
    """`28.12.2019 19:20:22`, as SMSC prints it."""
    return datetime.fromtimestamp(unix_seconds, MOSCOW).strftime("%d.%m.%Y %H:%M:%S")


def iso(unix_seconds: float) -> str:
    """`2025-03-25T10:00:00+03:00`, as a portal prints it."""
    return datetime.fromtimestamp(int(unix_seconds), MOSCOW).isoformat()
