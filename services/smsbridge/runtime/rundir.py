"""What `run all` leaves in its data directory so that its own processes and client commands find each other.

Addresses and the supervisor's pid; no secrets. Written once per start, before anything is started.
"""

import os
from pathlib import Path

import pydantic

_NAME = "run.json"


class Addresses(pydantic.BaseModel):
    """HOST:PORT each; `rpc` is empty where a process serves no gRPC."""

    model_config = pydantic.ConfigDict(hide_input_in_errors=True)

    rpc: str = ""
    internal: str = ""


class RunFile(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(hide_input_in_errors=True)

    pid: int
    public: str
    internal: str
    store_url: str
    processes: dict[str, Addresses] = {}

    def write(self, directory: Path) -> None:
        """Whole or not at all."""
        draft = directory / f"{_NAME}.{os.getpid()}.new"
        draft.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(directory / _NAME)


def read(directory: Path) -> RunFile | None:
    """None where no `run all` was ever started there, or the file is damaged: then new ports are taken."""
    try:
        return RunFile.model_validate_json((directory / _NAME).read_bytes())
    except (FileNotFoundError, pydantic.ValidationError):
        return None
