"""`smsbridge provider list | show | check`: prints what `provisioning` reports."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from smsbridge.bitrix24 import transport as bitrix24_transport
from smsbridge.commands import common, local
from smsbridge.provisioning import check as checks
from smsbridge.provisioning import report, sections
from smsbridge.provisioning.portal import Portals
from smsbridge.smsc import transport as smsc_transport
from smsbridge.smsc.client import SmscClient
from smsbridge.store.installations import Installations
from smsbridge.store.portal_limiter import PortalLimiter
from smsbridge.store.registry import Registry

app = typer.Typer(help="Providers: what is registered, and what is wrong.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAMESPACE/NAME")]


@app.command("list")
def list_(
    data: common.Data = None,
    config: local.ConfigFile = None,
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """All providers, and whether each is well."""
    rows = asyncio.run(_list(data=data, config=config))
    if output is common.Output.JSON:
        common.print_json(rows)
        return
    table = common.table("Provider", "Code", "Portal", "Channel", "Ready", "Balance")
    wrong: list[str] = []
    for row in rows:
        label = f"{row['namespace']}/{row['name']}"
        ready = "removed" if row["removed"] else "yes" if row["ready"] else "no"
        table.add_row(label, row["code"], row["portal"], row["channel"], ready, row["balance"] or "")
        if not row["ready"] and row["message"]:
            wrong.append(f"{label}: {row['message']}")
    console = common.console()
    console.print(table)
    for sentence in wrong:  # beneath: a column of it would be a few letters wide in a usual terminal
        console.print(sentence)


async def _list(*, data: Path | None, config: Path | None) -> list[dict[str, Any]]:
    async with local.opened(data=data, config=config) as at:
        return await report.list_providers(Registry(at.store, at.keyring))


@app.command()
def show(
    name: Name,
    data: common.Data = None,
    config: local.ConfigFile = None,
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """One provider with its conditions and its URLs, whole: their keys are secrets."""
    shown = asyncio.run(_show(name, data=data, config=config))
    if output is common.Output.JSON:
        common.print_json(shown)
        return
    console = common.console()
    console.print(f"{name}: {'ready' if shown['ready'] else 'not ready'}", style="bold")
    for sentence in shown["errors"]:
        console.print(f"manifest: {sentence}", soft_wrap=True)
    if shown["conditions"]:
        table = common.table("Condition", "Status", "Reason", "Message")
        for item in shown["conditions"]:
            table.add_row(item["type"], item["status"], item["reason"], item["message"])
        console.print(table)
    for title, key in (
        ("install URL, for Bitrix24", "installUrl"),
        ("callback URL, for SMSC.ru", "callbackUrl"),
        ("handler URL, registered by us", "handlerUrl"),
        ("look-up URL, for a Webhook step of a workflow", "hlrUrl"),
    ):
        if key in shown:  # not in a table: a URL that is broken over lines cannot be copied
            console.print(f"{title}: {shown[key]}", soft_wrap=True)


async def _show(name: str, *, data: Path | None, config: Path | None) -> dict[str, Any]:
    namespace, _, own = name.partition("/")
    async with local.opened(data=data, config=config) as at:
        registry = Registry(at.store, at.keyring)
        return await report.show_provider(registry, at.keyring, namespace=namespace, name=own)


@app.command()
def check(
    name: Name,
    data: common.Data = None,
    config: local.ConfigFile = None,
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """Ask account and portal what they can do, without sending and without changing anything."""
    result = asyncio.run(_check(name, data=data, config=config))
    lines = [{"what": one.what, "verdict": one.verdict, "sentence": one.sentence} for one in result.lines]
    if output is common.Output.JSON:
        common.print_json({"good": result.good, "profile": result.profile, "lines": lines})
    else:
        table = common.table("What", "Verdict", "Why")
        for line in lines:
            table.add_row(line["what"], line["verdict"], line["sentence"])
        common.console().print(table)
    if not result.good:
        common.fail(f"{name} has something bad")


async def _check(name: str, *, data: Path | None, config: Path | None) -> checks.Report:
    async with AsyncExitStack() as ending:
        at = await ending.enter_async_context(local.opened(data=data, config=config))
        contents = await Registry(at.store, at.keyring).load()
        living = [one for one in contents.providers.values() if not one.removed]
        named = [common.Named(one.uid, one.namespace, one.name) for one in living]
        provider = contents.providers[common.choose(named, name).uid]
        installations = Installations(at.store, at.keyring)
        http = await ending.enter_async_context(bitrix24_transport.Transport())
        client_settings = at.settings.smsc.client()
        smsc = SmscClient(client_settings)
        ending.push_async_callback(smsc.close)
        probe = smsc_transport.Transport(
            connect_timeout_seconds=client_settings.connect_timeout_seconds,
            keep_alive_seconds=client_settings.keep_alive_seconds,
            max_answer_bytes=client_settings.max_answer_bytes,
        )
        ending.push_async_callback(probe.close)
        return await checks.check(
            provider,
            await installations.for_provider(provider),
            smsc=smsc,
            probe=probe,
            portals=Portals(http, PortalLimiter(at.store, at.settings.portal), installations),
            crm=sections.crm(contents.entries[provider.uid].sections),
        )
