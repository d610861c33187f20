"""`smsbridge config show | check`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.commands import common
from smsbridge.runtime import settings as runtime_settings
from smsbridge.targets import settings as target_settings
from smsbridge.targets.settings import Settings

app = typer.Typer(help="Settings: what there is, and whether yours are right.", no_args_is_help=True)

ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="YAML file of settings.")]


@app.command()
def show(output: common.OutputOption = common.Output.TABLE, config: ConfigFile = None) -> None:
    """Every setting with its value here, its default and what it is for."""
    settings = target_settings.load(config, os.environ)
    rows = [
        {
            "path": doc.path,
            "variable": runtime_settings.variable(doc.path),
            "type": doc.type,
            "value": _value(settings, doc.path),
            "default": doc.default,
            "description": doc.description,
        }
        for doc in runtime_settings.describe(Settings)
    ]
    if output is common.Output.JSON:
        common.print_json(rows)
        return
    table = common.table("Setting", "Value", "What for")
    for row in rows:
        mark = "" if row["value"] == row["default"] else " (changed)"
        table.add_row(row["path"], f"{row['value']}{mark}", row["description"])
    common.console().print(table)
    common.console().print(
        "A setting `a.b` is `a: {b: ...}` in the file of --config, or SMSBRIDGE_A__B in the environment."
    )


@app.command()
def check(config: ConfigFile = None) -> None:
    """Say whether the settings of the file and the environment are right."""
    target_settings.load(config, os.environ)
    print("good")


def _value(settings: Settings, path: str) -> str:
    value: object = settings
    for part in path.split("."):
        value = getattr(value, part)
    if value is None:
        return ""
    return "(secret)" if "Secret" in type(value).__name__ and str(value) else str(value)
