"""`smsbridge journal`: what to do with the journal of a gateway that does not run."""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.commands import common, local
from smsbridge.gateway import orphan, standing
from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.store.connection import translated

app = typer.Typer(help="The gateway's journal.", no_args_is_help=True)


Folder = Annotated[
    Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="The journal's directory.")
]


@app.callback()
def group() -> None:
    """The gateway's journal."""


@app.command()
def drain(
    folder: Folder,
    data: common.Data = None,
    config: local.ConfigFile = None,
) -> None:
    """Hand what an orphaned journal holds to the roles of a running stack."""
    report = asyncio.run(_drain(folder, data=data, config=config))
    for kind, count in report.found.items():
        left, aside = report.left.get(kind, 0), report.set_aside.get(kind, 0)
        print(f"{kind.value}: {count} found, {left} left, {aside} set aside")
    if not report.empty:
        common.fail("the journal is not empty; are all roles ready? then try again")


@app.command("set-aside")
def set_aside(
    folder: Folder,
    again: Annotated[
        bool, typer.Option("--again", help="Let them wait as before, for the gateway's next start.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete them for good.")] = False,
    data: common.Data = None,
    config: local.ConfigFile = None,
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """Show what a stopped gateway keeps apart because its owner refused it."""
    if again and forget:
        raise typer.BadParameter("give --again or --forget, not both")
    settle = orphan.Settle.AGAIN if again else orphan.Settle.FORGET if forget else orphan.Settle.NOTHING
    found = asyncio.run(_set_aside(folder, settle, data=data, config=config))
    if output is common.Output.JSON:
        common.print_json([asdict(one) for one in found])
        return
    table = common.table("kind", "message", "provider uid", "at the door", "set aside", "reason")
    for one in found:
        at = (common.utc_time(one.door_at_ms), common.utc_time(one.at_ms))
        table.add_row(one.kind.value, one.message_id, one.provider_uid, *at, one.reason)
    common.wide_console().print(table)


async def _set_aside(
    folder: Path, settle: orphan.Settle, *, data: Path | None, config: Path | None
) -> list[orphan.SetAside]:
    async with local.opened(data=data, config=config) as at:
        return await orphan.set_aside(folder, at.keyring, settle=settle, now_ms=_now_ms)


async def _drain(folder: Path, *, data: Path | None, config: Path | None) -> orphan.DrainReport:
    async with AsyncExitStack() as open_until_done:
        at = await open_until_done.enter_async_context(local.opened(data=data, config=config))
        endpoints = at.settings.endpoints.endpoints()
        sender, status, hlr = [
            await open_until_done.enter_async_context(rpc.channel(address))
            for address in (endpoints.sender, endpoints.status, endpoints.hlr)
        ]
        roles = orphan.Clients(
            sender=clients.SenderClient(sender),
            status=clients.StatusClient(status),
            hlr=clients.HlrClient(hlr),
        )
        report = await orphan.drain_directory(
            folder, at.keyring, roles, now_ms=_now_ms, settings=at.settings.gateway
        )
        if report.empty:
            # The ledger counts what journals hold by their last word; this one has none to say any more.
            async with translated():
                await at.store.redis.hdel(standing.DEPTHS_KEY, report.journal_id)
    return report


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
