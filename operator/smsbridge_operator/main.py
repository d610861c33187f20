"""`smsbridge-operator`: the operator's own console script."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.core import errors, msisdn
from smsbridge.runtime import logging, process
from smsbridge_operator import master_key, role
from smsbridge_operator import settings as operator_settings

app = typer.Typer(
    name="smsbridge-operator",
    help="The Kubernetes operator of smsbridge: SmscProvider resources become registered providers.",
    invoke_without_command=True,
    # A traceback with local variables would show tokens and keys.
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def run(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings; the environment wins over it.")
    ] = None,
) -> None:
    """Look after SmscProviders until SIGTERM or Ctrl-C; or run one of the commands."""
    if context.invoked_subcommand is None:
        asyncio.run(_run(config))


@app.command("make-key")
def make_key(
    namespace: Annotated[str, typer.Option("--namespace", help="Where the Secret belongs.")],
    secret: Annotated[str, typer.Option("--secret", help="Name of the Secret.")],
) -> None:
    """Make the Secret with the master key, where there is none."""
    made = asyncio.run(master_key.make(namespace=namespace, secret=secret))
    print(f"the master key {'was made' if made else 'is there already'}: Secret {namespace}/{secret}")


async def _run(config: Path | None) -> None:
    settings = operator_settings.load(config, os.environ)
    logging.configure(settings.logging, mask=msisdn.mask, process=role.Role.name)
    metrics = process.new_registry()
    stop = process.stop_on_signals()
    operator = role.Role(settings, metrics=metrics, stop=stop)
    await process.run(operator, registry=metrics, internal=settings.process.internal, stop=stop)
    if operator.failed:
        raise errors.SmsbridgeError(f"{operator.failed}; it is to be started anew")


def main(arguments: Sequence[str] | None = None) -> None:
    """What cannot be done ends in one plain sentence and exit code 1."""
    try:
        app(args=arguments)
    except errors.SmsbridgeError as error:
        print(f"smsbridge-operator: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
