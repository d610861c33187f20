"""Runs one role as this process: finds its neighbours, opens the store, builds it, and ends it well."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from smsbridge.core import errors, msisdn
from smsbridge.runtime import logging, process, rundir, tracing
from smsbridge.store import embedded
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.registry import Registry, RegistryView
from smsbridge.targets import everything, roles
from smsbridge.targets.roles import Target
from smsbridge.targets.settings import Settings


async def run(target: Target, settings: Settings, *, data: Path | None, providers: Path | None) -> None:
    """Until a signal or the supervisor's death. `data`: the directory of the `run all` it belongs to."""
    process.follow_supervisor()
    settings = settings if data is None else located(settings, data, target=target)
    logging.configure(settings.logging, mask=msisdn.mask, process=target.value)
    registry = process.new_registry()
    role = build(target, settings, providers=providers, metrics=registry)
    stop = process.stop_on_signals()
    tracing.configure(settings.tracing, process=target.value)
    try:
        await process.run(role, registry=registry, internal=settings.process.internal, stop=stop)
    finally:
        await asyncio.to_thread(tracing.close)


def build(
    target: Target, settings: Settings, *, providers: Path | None, metrics: CollectorRegistry
) -> "StandingRole":
    """A role on its store. Raises KeyringError without a master key."""
    keyring = Keyring.load(settings.process.master_key_file)
    store = Store.connect(settings.store)
    view = RegistryView(store, keyring)
    parts = roles.Parts(
        settings=settings,
        store=store,
        keyring=keyring,
        registry=view,
        installations=Installations(store, keyring),
        endpoints=settings.endpoints.endpoints(),
        metrics=metrics,
        providers=providers,
    )
    return StandingRole(roles.build(target, parts), store=store, keyring=keyring, view=view)


def located(settings: Settings, data: Path, *, target: Target | None = None) -> Settings:
    """The settings with the addresses that a `run all` in `data` has given its processes."""
    run_file = rundir.read(data)
    if run_file is None:
        raise errors.ConfigError(f"no stack was started in {data}; give the --data of a `smsbridge run all`")
    processes = run_file.processes
    password = embedded.read_password(data)
    changes: dict[str, dict[str, object]] = {
        "process": {"master_key_file": data / everything.MASTER_KEY_NAME},
        "store": {"url": run_file.store_url, "password": password},
        "gateway": {"listen": run_file.public, "journal_dir": data / "gateway"},
        "endpoints": {name: processes[name].rpc for name in ("sender", "status", "hlr") if name in processes},
    }
    if target is not None:
        own = processes.get(target.value, rundir.Addresses())
        changes["process"]["internal"] = own.internal
        if own.rpc:
            changes[target.value] = {"listen": own.rpc}
    dumped = {
        section: {**_plain(getattr(settings, section)), **fields} for section, fields in changes.items()
    }
    return settings.model_copy(
        update={name: type(getattr(settings, name)).model_validate(fields) for name, fields in dumped.items()}
    )


def _plain(section: object) -> dict[str, object]:
    """A section's fields as they are: secrets stay wrapped."""
    return dict(section)  # type: ignore[call-overload, no-any-return]


class StandingRole:
    """A role with what stands under it: the store's connection and the view of the registry."""

    def __init__(self, role: process.Role, *, store: Store, keyring: Keyring, view: RegistryView) -> None:
        self.name = role.name
        self._role = role
        self._store = store
        self._view = view
        self._keys = Registry(store, keyring)
        self._key_checked = False

    async def start(self) -> None:
        await self._view.start()
        await self._role.start()

    async def stop(self) -> None:
        await self._role.stop()
        await self._view.stop()
        await self._store.close()

    async def ready(self) -> str:
        """The right master key, then the role's own word. Without the store the role decides alone."""
        if not self._key_checked:
            try:
                wrong = await self._keys.check_key()
            except errors.StoreAway:
                wrong = ""
            else:
                self._key_checked = not wrong
            if wrong:
                return wrong
        return await self._role.ready()
