"""`run all`: the store and every role as processes of their own under one supervisor, in one data directory.

Ports are chosen once and kept, so that a role that is started again is found where it was.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
import structlog
from prometheus_client import CollectorRegistry

from smsbridge.core import errors
from smsbridge.runtime import addresses, metrics, process, rundir, supervisor
from smsbridge.runtime.internal import InternalListener
from smsbridge.store import embedded
from smsbridge.store.keyring import Keyring
from smsbridge.targets.roles import Target
from smsbridge.targets.settings import Settings

log = structlog.get_logger()

MASTER_KEY_NAME = "master.key"
_HOST = "127.0.0.1"
_STORE = "store"
_SCRAPE_SECONDS = 3.0


async def run(settings: Settings, *, data: Path, config: Path | None, providers: Path | None) -> None:
    """Until a signal. Raises ConfigError where an address is taken, DirectoryInUse where the directory is."""
    await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True, mode=0o700)
    stop = process.stop_on_signals()
    wait_seconds = settings.supervisor.lock_wait_seconds
    async with supervisor.hold_directory(data, wait_seconds=wait_seconds) as lock:
        Keyring.create(data / MASTER_KEY_NAME)
        names = [target for target in _ROLES if target is not Target.PROVISIONER or providers is not None]
        valkey, run_file = _prepare(settings, data=data, names=names)
        registry = process.new_registry()
        children = [
            _store_child(valkey, data),
            *_role_children(names, data, config=config, providers=providers),
        ]
        keeper = supervisor.Supervisor(children, settings=settings.supervisor, lock=lock, registry=registry)
        front = _Front(run_file.processes, registry=registry)
        listener = InternalListener(listen=run_file.internal, page=front.page, ready=front.ready)
        try:
            await listener.start()
        except OSError:
            raise errors.ConfigError(f"{run_file.internal} is taken; choose another --internal") from None
        try:
            log.info("stack_starting", public=run_file.public, internal=run_file.internal)
            await keeper.run(stop)
        finally:
            await listener.stop()
            await front.close()


_ROLES = (Target.GATEWAY, Target.SENDER, Target.STATUS, Target.HLR, Target.PROVISIONER)
_WITH_RPC = (Target.SENDER, Target.STATUS, Target.HLR)


def _prepare(
    settings: Settings, *, data: Path, names: Sequence[Target]
) -> tuple[embedded.EmbeddedValkey, rundir.RunFile]:
    """Chooses the ports, the same as last time where they are free, and writes what finds them again."""
    host, port = addresses.split(settings.gateway.listen)
    if port and not addresses.is_free(host, port):
        raise errors.ConfigError(f"{settings.gateway.listen} is taken; choose another --public")
    ports = _Ports(rundir.read(data))
    store_port = ports.choose(ports.last_store)
    if not port:
        port = ports.choose(0, host=host)
    processes = {
        name.value: rundir.Addresses(
            rpc=ports.address(name, "rpc") if name in _WITH_RPC else "",
            internal=ports.address(name, "internal"),
        )
        for name in names
    }
    valkey = embedded.prepare(data, port=store_port, settings=settings.embedded)
    run_file = rundir.RunFile(
        pid=os.getpid(),
        public=addresses.join(host, port),
        internal=settings.process.internal or addresses.join(_HOST, ports.choose(0)),
        store_url=valkey.url,
        processes=processes,
    )
    run_file.write(data)
    return valkey, run_file


class _Ports:
    """Ports that are free now and not given to two."""

    def __init__(self, last: rundir.RunFile | None) -> None:
        self._last = last.processes if last is not None else {}
        self.last_store = int(last.store_url.rpartition(":")[2].partition("/")[0]) if last is not None else 0
        self._given: set[int] = set()

    def choose(self, wanted: int, *, host: str = _HOST) -> int:
        port = addresses.free_port(host, wanted=wanted, taken=frozenset(self._given))
        self._given.add(port)
        return port

    def address(self, name: Target, kind: str) -> str:
        last = getattr(self._last.get(name.value), kind, "")
        return addresses.join(_HOST, self.choose(addresses.split(last)[1] if last else 0))


def _store_child(valkey: embedded.EmbeddedValkey, data: Path) -> supervisor.Child:
    return supervisor.Child(_STORE, valkey.command, ready=valkey.ready, output=data / "valkey.log")


def _role_children(
    names: Sequence[Target], data: Path, *, config: Path | None, providers: Path | None
) -> list[supervisor.Child]:
    children = []
    for name in names:
        command = [sys.executable, "-m", "smsbridge", "run", name.value, "--data", str(data.resolve())]
        if config is not None:
            command += ["--config", str(config.resolve())]
        if name is Target.PROVISIONER and providers is not None:
            command += ["--providers", str(providers.resolve())]
        children.append(supervisor.Child(name.value, tuple(command)))
    return children


class _Front:
    """One page of metrics and one word of readiness for all processes."""

    def __init__(self, processes: Mapping[str, rundir.Addresses], *, registry: CollectorRegistry) -> None:
        self._processes = dict(processes)
        self._registry = registry
        self._session: aiohttp.ClientSession | None = None

    async def page(self) -> bytes:
        answers = await asyncio.gather(*(self._fetch(name, "/metrics") for name in self._processes))
        pages = {
            name: body for name, (status, body) in zip(self._processes, answers, strict=True) if status == 200
        }
        return metrics.merge({**pages, "supervisor": metrics.render(self._registry)})

    async def ready(self) -> str:
        answers = await asyncio.gather(*(self._fetch(name, "/readyz") for name in self._processes))
        bad = [
            f"{name}: {body.decode(errors='replace').strip() or 'does not answer'}"
            for name, (status, body) in zip(self._processes, answers, strict=True)
            if status != 200
        ]
        return "; ".join(bad)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, name: str, path: str) -> tuple[int, bytes]:
        """Status 0 where nobody answers."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SCRAPE_SECONDS))
        try:
            async with self._session.get(f"http://{self._processes[name].internal}{path}") as answer:
                return answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return 0, b""
