"""`smsbridge top`: what goes on now, looked at once a second."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.live import Live

from smsbridge.commands import common, figures
from smsbridge.commands.top_view import Sample, picture
from smsbridge.core import errors
from smsbridge.rpc import clients
from smsbridge.runtime import process, rpc, rundir

_SECONDS = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Where:
    sender: str
    status: str
    internal: tuple[str, ...]  # none: no figures from /metrics


def top(
    data: common.Data = None,
    sender: Annotated[
        str,
        typer.Option("--sender", metavar="HOST:PORT", help="The sender's gRPC server, instead of --data."),
    ] = "",
    status: Annotated[
        str,
        typer.Option(
            "--status", metavar="HOST:PORT", help="The status role's gRPC server, instead of --data."
        ),
    ] = "",
    internal: Annotated[
        list[str] | None,
        typer.Option(
            "--internal",
            metavar="HOST:PORT",
            help="Where a /metrics is; once for each process. Without it there are no rates.",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One picture and an end; so it is where this is no terminal.")
    ] = False,
) -> None:
    """Lanes, batches, limits and errors of every provider, until Ctrl-C."""
    where = Where(
        common.address_of("sender", data=data, address=sender, option="--sender"),
        common.address_of("status", data=data, address=status, option="--status"),
        tuple(internal or _internal(data)),
    )
    console = common.wide_console()
    if once or not console.is_terminal:
        asyncio.run(_once(where, console))
        return
    asyncio.run(_live(where, console))


def _internal(data: Path | None) -> list[str]:
    found = rundir.read(data) if data is not None else None
    return [found.internal] if found is not None else []


async def _once(where: Where, console: Console) -> None:
    """Two looks, for the rates; what was away is an error of the command too."""
    async with asking(where) as look:
        before = await look()
        if before.figures is not None:
            await asyncio.sleep(_SECONDS)
        now = await look() if before.figures is not None else before
        console.print(picture(before, now))
    if now.away:
        common.fail("; ".join(now.away))


async def _live(where: Where, console: Console) -> None:
    """A look that is under way is ended first: a call that is cut off may swallow what cuts it."""
    stop = process.stop_on_signals()
    async with asking(where) as look:
        before, now = None, await look()
        with Live(picture(before, now), console=console, auto_refresh=False) as live:
            while not await _stops(stop):
                before, now = now, await look()
                live.update(picture(before, now), refresh=True)


async def _stops(stop: asyncio.Event) -> bool:
    """Whether it is over, after a second at the latest."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _SECONDS)
    return stop.is_set()


@contextlib.asynccontextmanager
async def asking(where: Where) -> AsyncIterator[Callable[[], Awaitable[Sample]]]:
    """A look at everything, as often as wanted."""
    async with rpc.channel(where.sender) as to_sender, rpc.channel(where.status) as to_status:
        sender, status = clients.SenderClient(to_sender), clients.StatusClient(to_status)

        async def look() -> Sample:
            away: list[str] = []
            queues, ledgers, found = await asyncio.gather(
                _asked(sender.describe_queue(), away),
                _asked(status.get_ledger(), away),
                asyncio.gather(*map(figures.fetch, where.internal)),
            )
            for address, page in zip(where.internal, found, strict=True):
                if page is None:
                    away.append(f"nobody answers at http://{address}/metrics")
            pages = [page for page in found if page is not None]
            together = figures.together(pages) if pages else None
            return Sample(time.time(), queues or (), ledgers, together, tuple(sorted(away)))

        yield look


async def _asked(call: Awaitable[Answer], away: list[str]) -> Answer | None:
    try:
        return await call
    except errors.SmsbridgeError as error:
        away.append(error.sentence)
        return None
