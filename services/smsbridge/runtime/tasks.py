"""Named background loops that outlive their errors.

A loop repeats a step. An error in a step is logged once (until a step succeeds again), counted, and followed
by a pause; the loop goes on. What a step does, and what it means, is its owner's business.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

# Returns seconds until the next step, or None for the loop's own pause.
Step = Callable[[], Awaitable[float | None]]


async def end(*given: asyncio.Task[Any] | None) -> None:
    """Cancels tasks and waits for their end.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, which the store's driver uses, may swallow a
    cancellation that comes in the moment its work is done.
    """
    left = {task for task in given if task is not None}
    ended_ourselves = False
    while left:
        for task in left:
            task.cancel()
        try:
            _, left = await asyncio.wait(left, timeout=0.5)
        except asyncio.CancelledError:  # by somebody who ends us in the same way: theirs must not outlive us
            ended_ourselves = True
    for one in given:
        if one is not None and not one.cancelled():
            one.exception()  # looked at: nobody else will
    if ended_ourselves:
        raise asyncio.CancelledError


class Loop:
    """`wake()` ends the pause at once; a wake during a step makes the next one follow without a pause."""

    def __init__(self, name: str, step: Step, *, pause_seconds: float, error_pause_seconds: float) -> None:
        self.name = name
        self._step = step
        self._pause_seconds = pause_seconds
        self._error_pause_seconds = error_pause_seconds
        self._woken = asyncio.Event()
        self._stopping = False
        self._failing = ""

    def wake(self) -> None:
        self._woken.set()

    def finish(self) -> None:
        """No step begins after this; the one in hand goes on to its end."""
        self._stopping = True
        self._woken.set()

    async def run(self, *, quiet: tuple[type[Exception], ...], errors: Counter | None) -> None:
        while not self._stopping:
            self._woken.clear()
            pause = await self._once(quiet=quiet, errors=errors)
            if not self._stopping and pause > 0:
                await self._pause(pause)

    async def _once(self, *, quiet: tuple[type[Exception], ...], errors: Counter | None) -> float:
        try:
            pause = await self._step()
        except Exception as error:  # the loop's outermost edge: one bad step must not end the loop
            self._report(error, known=isinstance(error, quiet))
            if errors is not None:
                errors.labels(loop=self.name).inc()
            # A wake that came meanwhile must not turn a failing step into a busy loop.
            self._woken.clear()
            return self._error_pause_seconds
        if self._failing:
            self._failing = ""
            log.info("loop_recovered", loop=self.name)
        return self._pause_seconds if pause is None else pause

    def _report(self, error: Exception, *, known: bool) -> None:
        kind = type(error).__name__
        if kind == self._failing:
            return
        self._failing = kind
        log.warning("loop_failed", loop=self.name, error=kind, detail=str(error), exc_info=not known)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return


class Loops:
    """The loops of one role. `quiet`: errors that happen in good order (the store is away), no traceback."""

    def __init__(self, *, quiet: tuple[type[Exception], ...] = (), errors: Counter | None = None) -> None:
        self._quiet = quiet
        self._errors = errors
        self._running: dict[Loop, asyncio.Task[None]] = {}

    def start(self, name: str, step: Step, *, pause_seconds: float, error_pause_seconds: float = 1.0) -> Loop:
        """The first step begins at once."""
        if self._errors is not None:
            self._errors.labels(loop=name)  # at 0 from the start: a rate sees nothing of a first value
        loop = Loop(name, step, pause_seconds=pause_seconds, error_pause_seconds=error_pause_seconds)
        task = asyncio.create_task(loop.run(quiet=self._quiet, errors=self._errors), name=name)
        self._running[loop] = task
        task.add_done_callback(lambda _: self._running.pop(loop, None))
        return loop

    async def stop(self, *, grace_seconds: float = 30.0) -> None:
        """Steps in hand are finished; what is not done within the grace time is cancelled."""
        tasks = list(self._running.values())
        for loop in self._running:
            loop.finish()
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace_seconds)
        for task in late:
            log.warning("loop_cancelled", loop=task.get_name())
        await end(*late)
