"""What all commands share: options, how they end, and how they find the stack and the provider.

Exit codes: 0 good, 1 what was asked about is bad or cannot be done, 2 wrong usage (Typer's own).
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from smsbridge.core import errors
from smsbridge.runtime import rundir
from smsbridge.sender.settings import SenderSettings

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Data directory of a `run all`.")]
Address = Annotated[
    str, typer.Option("--address", metavar="HOST:PORT", help="The role's gRPC server, instead of --data.")
]
ProviderName = Annotated[
    str, typer.Option("--provider", metavar="NAMESPACE/NAME", help="Which provider, where there are several.")
]


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", help="`json` is for programs.")]


@dataclass(frozen=True, slots=True)
class Named:
    """A provider as the roles name it."""

    uid: str
    namespace: str
    name: str

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


class Failed(errors.SmsbridgeError):
    """A command's own word for a bad end."""

    code = "Failed"


def console() -> Console:
    return Console(highlight=False)


def wide_console() -> Console:
    """For tables of many columns: a pipe has no width, and need not fold them."""
    made = console()
    return made if made.is_terminal else Console(highlight=False, width=160)


def fail(sentence: str) -> NoReturn:
    """Ends the command: what was asked about is bad, or cannot be done."""
    raise Failed(sentence)


def table(*columns: str) -> Table:
    """Long words are folded, never cut: an id that is cut cannot be copied."""
    made = Table()
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def write(path: Path, text: str) -> None:
    """A .csv with a mark, so that spreadsheets read it as UTF-8. Raises InputError."""
    try:
        with path.open("w", encoding="utf-8-sig" if path.suffix == ".csv" else "utf-8", newline="") as out:
            out.write(text)
    except OSError as error:
        raise errors.InputError(f"{path.name} cannot be written ({type(error).__name__})") from None
    print(f"written: {path}", file=sys.stderr)


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def utc_time(unix_ms: float) -> str:
    """For people; who shows it says beside it that it is UTC."""
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def iso_time(unix_ms: float) -> str:
    """Also for programs; empty where there is none."""
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" if unix_ms else ""


def default_region() -> str:
    """Where phones without a country code are taken to be: a command knows no role's own settings."""
    region: str = SenderSettings.model_fields["default_region"].default
    return region


def address_of(role: str, *, data: Path | None, address: str, option: str = "--address") -> str:
    """HOST:PORT of a role's gRPC server, from the one option or the other."""
    if address:
        return address
    if data is None:
        raise typer.BadParameter(f"give --data DIR of a `smsbridge run all`, or {option} HOST:PORT")
    run_file = rundir.read(data)
    if run_file is None or role not in run_file.processes:
        raise errors.ConfigError(f"no stack was started in {data}; give the --data of a `smsbridge run all`")
    return run_file.processes[role].rpc


def choose(known: Sequence[Named], wanted: str) -> Named:
    """The provider meant. Raises InputError where it is not clear which."""
    labels = ", ".join(sorted(one.label for one in known)) or "none"
    if wanted:
        found = [one for one in known if one.label == wanted]
        if not found:
            raise errors.InputError(f"no provider {wanted} is known; known: {labels}", field="--provider")
        return found[-1]
    if len(known) != 1:
        raise errors.InputError(f"say which provider; known: {labels}", field="--provider")
    return known[0]
