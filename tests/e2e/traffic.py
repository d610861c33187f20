"""Messages that keep coming while something is done to the product, until it is done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from smsbridge.sandbox import orders
from smsbridge.sandbox.client import SandboxClient
from tests.e2e.release import DOMAIN, Release
from tests.flow.harness import until

PER_SECOND = 20.0
_LETTER = 100  # messages of one broadcast; one more is begun while the block lasts
_MOST_SECONDS = 120.0


async def letter(release: Release, sandbox: SandboxClient, count: int, *, text: str) -> None:
    """A broadcast to numbers that were not used yet; comes when the portal has posted all of it."""
    order = orders.BroadcastOrder(
        phones=release.phones(count), text=text, code=release.code, per_second=PER_SECOND
    )
    begun = await sandbox.broadcast(DOMAIN, order)

    async def done() -> bool:
        return (await sandbox.broadcast_progress(begun.broadcast_id)).done

    await until(done, seconds=_MOST_SECONDS, what=lambda: "the portal is still posting", pause=0.5)


@contextlib.asynccontextmanager
async def flowing(release: Release, sandbox: SandboxClient, *, text: str) -> AsyncIterator[None]:
    """Broadcast after broadcast; the last one is posted to its end."""
    stop = asyncio.Event()

    async def run() -> None:
        while not stop.is_set():
            await letter(release, sandbox, _LETTER, text=text)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        stop.set()
        await task
