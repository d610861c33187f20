"""`smsbridge run TARGET` and `smsbridge sandbox`: the processes that stay."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.core import msisdn
from smsbridge.runtime import addresses, logging, process
from smsbridge.sandbox import server as sandbox_server
from smsbridge.sandbox import settings as sandbox_settings
from smsbridge.targets import everything, one
from smsbridge.targets import settings as target_settings
from smsbridge.targets.roles import Target
from smsbridge.targets.settings import Settings

_DEFAULT_DATA = Path("data")


def run(
    target: Annotated[Target, typer.Argument(help="A role, or `all` of them with a store of their own.")],
    providers: Annotated[
        Path | None,
        typer.Option("--providers", metavar="FILE", exists=True, dir_okay=False, help="Manifests to follow."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="`all`: where everything is kept. A role: the `all` it joins."
        ),
    ] = None,
    public: Annotated[
        str, typer.Option("--public", metavar="HOST:PORT", help="Where the gateway's doors listen.")
    ] = "",
    internal: Annotated[
        str, typer.Option("--internal", metavar="HOST:PORT", help="Where /metrics, /livez, /readyz listen.")
    ] = "",
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings; see `smsbridge config show`.")
    ] = None,
) -> None:
    """Run one role, or all of them, until SIGTERM or Ctrl-C."""
    asyncio.run(_run(target, providers=providers, data=data, public=public, internal=internal, config=config))


async def _run(
    target: Target,
    *,
    providers: Path | None,
    data: Path | None,
    public: str,
    internal: str,
    config: Path | None,
) -> None:
    settings = _with_options(target_settings.load(config, os.environ), public=public, internal=internal)
    if target is not Target.ALL:
        await one.run(target, settings, data=data, providers=providers)
        return
    logging.configure(settings.logging, mask=msisdn.mask, process="supervisor")
    await everything.run(settings, data=data or _DEFAULT_DATA, config=config, providers=providers)


def _with_options(settings: Settings, *, public: str, internal: str) -> Settings:
    for name, value in (("--public", public), ("--internal", internal)):
        _check_address(name, value)
    changes: dict[str, object] = {}
    if public:
        changes["gateway"] = settings.gateway.model_copy(update={"listen": public})
    if internal:
        changes["process"] = settings.process.model_copy(update={"internal": internal})
    return settings.model_copy(update=changes)


def _check_address(name: str, value: str) -> None:
    try:
        if value:
            addresses.split(value)
    except ValueError as error:
        raise typer.BadParameter(f"{name}: {error}") from None


def sandbox(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the stand-ins listen; port 0: any.")
    ] = "127.0.0.1:8090",
    public_url: Annotated[
        str, typer.Option("--public-url", metavar="URL", help="How others reach them, where not by --listen.")
    ] = "",
) -> None:
    """Run stand-ins for SMSC.ru, Bitrix24 portals and their OAuth host, to try things out."""
    _check_address("--listen", listen)
    asyncio.run(_sandbox(listen, public_url=public_url))


async def _sandbox(listen: str, *, public_url: str) -> None:
    host, port = addresses.split(listen)
    settings = sandbox_settings.SandboxSettings(host=host, port=port, public_url=public_url)
    stop = process.stop_on_signals()
    with contextlib.suppress(asyncio.CancelledError):
        await sandbox_server.serve(settings, stop=stop)
