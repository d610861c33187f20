"""Group commit for callers that wait: many single items become few calls.

While a call is under way the next items gather; they leave together when it ends. A second call starts
beside the first only when enough items wait to be worth one. There is no timer: an item that comes alone
leaves in the same turn of the loop.

It knows nothing of what it carries, and it never repeats a call: that is the caller's business.
"""

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from smsbridge.core import errors

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_weight` is in the unit that callers give with `submit` (bytes, where items travel by gRPC).

    `second_from`: so many waiting items start a call although another one is under way.
    `timeout_seconds` counts from when the oldest item of a call was submitted, waiting included.
    """

    max_items: int = 500
    max_weight: int = 1 << 20
    max_in_flight: int = 2
    second_from: int = 64
    timeout_seconds: float = 0.5


class Coalescer(Generic[Item, Answer]):
    """`call` gets the items and the seconds that are left; it answers one for each item, in their order.

    An error of `call` is every item's error. An `Away` also ends the wait of those that have not left yet:
    they would only find the same, later.
    """

    def __init__(
        self,
        call: Callable[[list[Item], float], Awaitable[Sequence[Answer]]],
        *,
        limits: Limits | None = None,
        on_call: Callable[[int], None] | None = None,
    ) -> None:
        self._call = call
        self._limits = limits or Limits()
        self._on_call = on_call
        self._waiting: deque[tuple[Item, int, float, asyncio.Future[Answer]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._woken = False
        self._loop = asyncio.get_running_loop()

    def submit(self, item: Item, *, weight: int = 0) -> asyncio.Future[Answer]:
        """The future of this item's answer."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((item, weight, time.monotonic(), future))
        if not self._woken and len(self._under_way) < self._limits.max_in_flight:
            # Not at once: what else this turn of the loop brings goes along.
            self._woken = True
            self._loop.call_soon(self._wake)
        return future

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def close(self) -> None:
        """Waits for all calls under way and all items that still wait."""
        while self._under_way or self._waiting:
            if self._under_way:
                await asyncio.wait(self._under_way)
            else:
                await asyncio.sleep(0)

    def _wake(self) -> None:
        self._woken = False
        while self._waiting and self._may_start():
            # Not in the context of whichever caller came first: the call is made for all of them.
            task = self._loop.create_task(self._flush(*self._take()), context=contextvars.Context())
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _may_start(self) -> bool:
        under_way = len(self._under_way)
        if under_way == 0:
            return True
        return under_way < self._limits.max_in_flight and len(self._waiting) >= self._limits.second_from

    def _take(self) -> tuple[list[Item], list[asyncio.Future[Answer]], float]:
        """The next call's items, their futures, and when the oldest of them came."""
        items: list[Item] = []
        futures: list[asyncio.Future[Answer]] = []
        oldest, total = self._waiting[0][2], 0
        while self._waiting and len(items) < self._limits.max_items:
            item, weight, _, future = self._waiting[0]
            if items and total + weight > self._limits.max_weight:
                break
            self._waiting.popleft()
            if future.done():  # its caller went away
                continue
            items.append(item)
            futures.append(future)
            total += weight
        return items, futures, oldest

    async def _flush(self, items: list[Item], futures: list[asyncio.Future[Answer]], oldest: float) -> None:
        if not items:
            return
        left = self._limits.timeout_seconds - (time.monotonic() - oldest)
        try:
            if left <= 0:
                raise errors.ServiceAway("waited too long for its turn")
            if self._on_call is not None:
                self._on_call(len(items))
            answers = await self._call(items, left)
            if len(answers) != len(items):
                raise errors.Uncertain("the answer has another number of items than the request")
        except asyncio.CancelledError:
            self._fail(futures, errors.ServiceAway("stopped while waiting"))
            raise
        except Exception as error:  # the loop's edge: whatever went wrong belongs to those who wait
            self._fail(futures, error)
            if isinstance(error, errors.Away):
                self._fail_waiting(error)
            return
        for future, answer in zip(futures, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _fail_waiting(self, error: Exception) -> None:
        futures = [entry[3] for entry in self._waiting]
        self._waiting.clear()
        self._fail(futures, error)

    @staticmethod
    def _fail(futures: Sequence[asyncio.Future[Answer]], error: Exception) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._wake()
