"""Writes changes of a verification to the portal: those of several pages together, in full requests.

An update may be repeated, so whatever gets no answer is written again. Each command's own result decides.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from smsbridge.bitrix24 import batch, forms, limiter
from smsbridge.bitrix24 import crm as portal_crm
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.hlr.updates import Change, Updates
from smsbridge.hlr.verification.patience import Patience
from smsbridge.runtime import tasks

# What a command may meet that is no word about its entity.
_OF_ALL = (portal_errors.InsufficientScope, *portal_errors.OF_INSTALLATION)
WRITTEN, GONE, REFUSED = "written", "gone", "refused"


@dataclass(slots=True)
class _Write:
    entity_id: int
    changes: Mapping[str, forms.Param] = field(repr=False)
    since: float
    done: "asyncio.Future[str]"


class Writer:
    """`alone`: whether nothing more will come before what is here is written."""

    def __init__(
        self,
        crm: ProviderCrm,
        kind: EntityType,
        *,
        updates: Updates,
        at_once: int,
        linger_seconds: float,
        patience: Patience,
        alone: Callable[[], bool],
    ) -> None:
        self._crm = crm
        self._kind = kind
        self._updates = updates
        self._slots = asyncio.Semaphore(at_once)
        self._linger_seconds = linger_seconds
        self._patience = patience
        self._alone = alone
        self._waiting: deque[_Write] = deque()
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, changes: Sequence[tuple[int, Mapping[str, forms.Param]]]) -> Counter[str]:
        """What became of how many. Raises a PortalRefused of the request as a whole."""
        loop = asyncio.get_running_loop()
        writes = [_Write(number, one, loop.time(), loop.create_future()) for number, one in changes]
        self._waiting.extend(writes)
        self.wake()
        return Counter(await asyncio.gather(*(one.done for one in writes)))

    def wake(self) -> None:
        """Something has changed that `alone` depends on."""
        self._woken.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                await self._slots.acquire()
                try:
                    some = await self._next()
                except BaseException:
                    self._slots.release()
                    raise
                task = asyncio.create_task(self._send(some))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        finally:
            await tasks.end(*self._tasks)

    async def _next(self) -> list[_Write]:
        """A full request, or what there is where waiting is of no use."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            left = self._linger_seconds
            if self._waiting:
                left = self._waiting[0].since + self._linger_seconds - loop.time()
                if len(self._waiting) >= batch.MAX_COMMANDS or left <= 0 or self._alone():
                    count = min(len(self._waiting), batch.MAX_COMMANDS)
                    return [self._waiting.popleft() for _ in range(count)]
            try:
                async with asyncio.timeout(max(left, 0.01)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _send(self, writes: Sequence[_Write]) -> None:
        try:
            await self._settle(writes)
        except errors.SmsbridgeError as error:
            for one in writes:
                if not one.done.done():
                    one.done.set_exception(error)
        finally:
            self._slots.release()

    async def _settle(self, writes: Sequence[_Write]) -> None:
        left = list(writes)
        pause = self._patience.first_seconds
        while left:
            changes = [Change(self._kind, one.entity_id, one.changes) for one in left]
            write = partial(self._updates.request, self._crm, changes, priority=limiter.Priority.VERIFICATION)
            results = await self._patience(write)
            left = [one for one, result in zip(left, results, strict=True) if not _settled(one, result)]
            if left:
                await asyncio.sleep(pause)
                pause = min(self._patience.most_seconds, pause * 2)


def _settled(write: _Write, result: batch.CommandResult) -> bool:
    """Raises what concerns the whole portal."""
    if isinstance(result.error, _OF_ALL):
        raise result.error
    if isinstance(result.error, errors.Away):
        return False
    word = WRITTEN
    if result.error is not None:
        word = GONE if portal_crm.is_gone(result.error) else REFUSED
    if not write.done.done():
        write.done.set_result(word)
    return True
