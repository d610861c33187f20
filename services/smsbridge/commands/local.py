"""Opens the store for commands that read or mend it without a role between."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from smsbridge.targets import one
from smsbridge.targets import settings as target_settings
from smsbridge.targets.settings import Settings

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings that tell where the store is, without --data."),
]


@dataclass(frozen=True, slots=True)
class Opened:
    settings: Settings
    store: Store
    keyring: Keyring


@asynccontextmanager
async def opened(*, data: Path | None, config: Path | None) -> AsyncIterator[Opened]:
    """The store of the `run all` in `data`, else the one that the settings name. Raises ConfigError."""
    settings = target_settings.load(config, os.environ)
    if data is not None:
        settings = one.located(settings, data)
    keyring = Keyring.load(settings.process.master_key_file)
    store = Store.connect(settings.store)
    try:
        yield Opened(settings, store, keyring)
    finally:
        await store.close()
