"""`smsbridge verify`: a contact base, or the numbers of a file, with a quote first."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from smsbridge.commands import common, csv_numbers, verify_report
from smsbridge.commands.csv_numbers import FileNumbers
from smsbridge.commands.verify_report import Format
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.number import Facts
from smsbridge.core.verification import Source, State, Verification
from smsbridge.rpc import clients
from smsbridge.rpc import verification as rpc_verification
from smsbridge.runtime import rpc

Result = TypeVar("Result")

_KINDS = {"contacts": EntityType.CONTACT, "leads": EntityType.LEAD, "companies": EntityType.COMPANY}
_DESCRIBED = 1000  # numbers of one question to the role
_AWAY_SECONDS = 300.0  # the role may be started again meanwhile, more than once
_AGAIN_SECONDS = 1.0
_BAD_LINES_NAMED = 20


@dataclass(frozen=True, slots=True)
class _Job:
    """`id`: of one that is there already; empty: a new one from `source`."""

    address: str
    provider: str
    id: str
    source: Source
    file: FileNumbers | None
    yes: bool


def verify(
    source: Annotated[
        str, typer.Option("--source", metavar="SOURCE", help="contacts, leads, companies, or a FILE.csv.")
    ] = "",
    where: Annotated[
        str, typer.Option("--filter", metavar="JSON", help="Which of them, in the CRM's own words.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Take the quote, whatever it is.")] = False,
    resume: Annotated[
        str, typer.Option("--resume", metavar="ID", help="Go on with one, or watch it again.")
    ] = "",
    cancel: Annotated[str, typer.Option("--cancel", metavar="ID", help="End one.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="Show all, the newest first.")] = False,
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
    output: Annotated[
        Format, typer.Option("--output", help="The report's shape; `json` and `csv` are for programs.")
    ] = Format.TABLE,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write it to a file, too: .json, .csv, else a table."),
    ] = None,
) -> None:
    """Look up a contact base, and write what is known to the CRM. `--address` is the hlr role's."""
    if sum(map(bool, (cancel, list_, resume or source))) != 1:
        raise typer.BadParameter("give one of --source, --resume, --cancel and --list")
    hlr_address = common.address_of("hlr", data=data, address=address)
    if list_:
        asyncio.run(_list(hlr_address, provider, output))
        return
    if cancel:
        asyncio.run(_cancel(hlr_address, cancel))
        return
    kind = _KINDS.get(source)
    file = _file(source) if source and kind is None else None
    job = _Job(hlr_address, provider, resume, Source(kind, rpc_verification.filter_of(where)), file, yes)
    found, facts = asyncio.run(_run(job))
    if file is not None and found.state is State.DONE:
        beside = Path(source).with_suffix(".verified.csv")
        common.write(beside, verify_report.numbers_csv(facts, separator=file.separator))
    print(verify_report.text_of(found, output), end="")
    if report is not None:
        common.write(report, verify_report.text_of(found, verify_report.shape_of(report)))
    if why := verify_report.sentence(found):
        common.fail(why)


def _file(source: str) -> FileNumbers:
    """Raises InputError."""
    path = Path(source)
    if not path.exists():
        known = ", ".join(_KINDS)
        raise errors.InputError(f"is neither one of {known} nor a file that is there", field="--source")
    found = csv_numbers.read(path, default_region=common.default_region())
    if found.bad_lines:
        bad = len(found.bad_lines)
        named = ", ".join(map(str, found.bad_lines[:_BAD_LINES_NAMED]))
        more = f" and {bad - _BAD_LINES_NAMED} more" if bad > _BAD_LINES_NAMED else ""
        _say(f"{bad} of {found.rows} lines hold no phone number: {named}{more}")
    return found


def _say(line: str) -> None:
    print(line, file=sys.stderr)


async def _list(address: str, provider: str, output: Format) -> None:
    async with rpc.channel(address) as channel:
        client = clients.HlrClient(channel)
        uid = (await _uid(client, provider)) if provider else ""
        found = await client.list_verifications(uid)
    if output is Format.JSON:
        common.print_json([verify_report.as_map(one) for one in found])
    else:
        common.console().print(verify_report.listed(found))


async def _cancel(address: str, id: str) -> None:
    async with rpc.channel(address) as channel:
        found = await clients.HlrClient(channel).cancel_verification(id)
    print(found.state.value)


async def _uid(client: clients.HlrClient, provider: str) -> str:
    known = [common.Named(one.provider_uid, one.namespace, one.name) for one in await client.budgets()]
    return common.choose(known, provider).uid


async def _run(job: _Job) -> tuple[Verification, list[Facts]]:
    """How it ends, or where it stands; of a file, what is known of its numbers."""
    async with rpc.channel(job.address) as channel:
        client = clients.HlrClient(channel)
        if job.id:
            found = await _resumed(client, job.id)
        else:
            uid = await _uid(client, job.provider)
            found = await client.start_verification(uid, job.source, job.file.msisdns if job.file else ())
        try:
            found = await _to_its_end(client, found, yes=job.yes)
        except asyncio.CancelledError:  # Ctrl-C
            _say(f"\nit goes on without you; `smsbridge verify --resume {found.id}` shows it again")
            raise
        facts: list[Facts] = []
        if job.file is not None and found.state is State.DONE:
            facts = await _describe(client, found.provider_uid, job.file)
        return found, facts


async def _resumed(client: clients.HlrClient, id: str) -> Verification:
    """One that ended is shown as it is."""
    found = await client.get_verification(id)
    return await client.resume_verification(id) if found.state is State.PAUSED else found


async def _to_its_end(client: clients.HlrClient, found: Verification, *, yes: bool) -> Verification:
    found = await _followed(client, found)
    if found.state is State.QUOTED and found.quote is not None:
        for line in verify_report.quote_lines(found, found.quote):
            _say(line)
        if not yes and not sys.stdin.isatty():
            common.fail(f"nobody said yes; `smsbridge verify --resume {found.id} --yes` takes this quote")
        if not yes and not typer.confirm("Go on?", err=True):
            return await _answered(partial(client.cancel_verification, found.id))
        await _answered(partial(client.confirm_verification, found.id, roubles=found.quote.roubles))
        found = await _followed(client, found)
    return found


async def _followed(client: clients.HlrClient, found: Verification) -> Verification:
    """Until it stands, with a bar on a terminal."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rest]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None, rest="")
        async for now in _watched(client, found.id):
            found = now
            if now.state is State.RUNNING and now.quote is not None:
                done = now.progress.entities
                bar.update(
                    task,
                    description="verifying",
                    total=max(now.quote.entities, done),
                    completed=done,
                    rest=verify_report.progress_line(now.progress),
                )
    return found


async def _watched(client: clients.HlrClient, id: str) -> AsyncIterator[Verification]:
    """Also over a restart of the role, and longer than one call may last."""
    while True:
        try:
            async for found in client.watch_verification(id):
                yield found
        except errors.Away:
            await _answered(partial(client.get_verification, id))
        else:
            return


async def _answered(call: Callable[[], Awaitable[Result]]) -> Result:
    """For what may be repeated: the role may be started again meanwhile. Raises what it raises after five
    minutes without an answer.
    """
    until = time.monotonic() + _AWAY_SECONDS
    while True:
        try:
            return await call()
        except errors.Away:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)


async def _describe(client: clients.HlrClient, uid: str, file: FileNumbers) -> list[Facts]:
    found: list[Facts] = []
    for start in range(0, len(file.msisdns), _DESCRIBED):
        some = file.msisdns[start : start + _DESCRIBED]
        found += await _answered(partial(client.describe, uid, some))
    return found
