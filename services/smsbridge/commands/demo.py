"""`smsbridge demo`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.commands import common
from smsbridge.demo import scenario

_REPORT = Path("demo-report.json")


def demo(
    messages: Annotated[
        int, typer.Option("--messages", min=1, help="Numbers of the marketing letter.")
    ] = 10_000,
    seconds: Annotated[
        float, typer.Option("--seconds", min=10, help="Report what there is after so long.")
    ] = 270.0,
) -> None:
    """Everything on this machine against the sandbox; ends with a table and demo-report.json."""
    console = common.console()
    report = asyncio.run(scenario.run(broadcast=messages, seconds=seconds, console=console))
    _REPORT.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    console.print(report.table())
    console.print(f"Report: {_REPORT}")
    if not report.good:
        common.fail(f"{report.unaccounted} messages are unaccounted for, {report.sent_twice} were sent twice")
