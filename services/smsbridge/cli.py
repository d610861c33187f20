"""The command line: which commands there are. What they do stands in `commands/`."""

import sys
from collections.abc import Sequence

import typer

from smsbridge.commands import (
    config,
    demo,
    journal,
    messages,
    numbers,
    providers,
    report,
    run,
    top,
    tryout,
    verify,
)
from smsbridge.core import errors
from smsbridge.runtime import supervisor

app = typer.Typer(
    name="smsbridge",
    help="Bridge between Bitrix24 and SMSC.ru: batches, Viber with SMS fallback, statuses back in the CRM.",
    no_args_is_help=True,
    # A traceback with local variables would show tokens and texts.
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.command("run")(run.run)
app.command("sandbox")(run.sandbox)
app.command("demo")(demo.demo)
app.command("tryout")(tryout.tryout)
app.command("message")(messages.show)
app.command("cancel")(messages.cancel)
app.command("send")(messages.send)
app.command("hlr")(numbers.hlr)
app.command("verify")(verify.verify)
app.command("top")(top.top)
app.command("report")(report.report)
app.add_typer(providers.app, name="provider")
app.add_typer(config.app, name="config")
app.add_typer(journal.app, name="journal")


def main(arguments: Sequence[str] | None = None) -> None:
    """What cannot be done ends in one plain sentence and exit code 1; usage errors are Typer's, with 2."""
    try:
        app(args=arguments)
    except (errors.SmsbridgeError, supervisor.DirectoryInUse) as error:
        print(f"smsbridge: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
