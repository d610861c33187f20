"""The product in its other shape: every role a process of its own on a store that it does not start.

Two senders and two status roles share the work; the gateway and the provisioner are one each. As `ON_MANY`
there are two of every role, and a balancer stands in front of the gateways.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from smsbridge.provisioning import urls
from smsbridge.runtime import addresses
from smsbridge.sandbox import server
from smsbridge.sandbox.settings import SandboxSettings
from smsbridge.store import connection, embedded, registry
from smsbridge.store.keyring import Keyring
from tests.flow import balancer, harness, leaks, stores

REPLICAS = ("gateway", "sender", "sender-2", "status", "status-2", "hlr", "provisioner")
ON_MANY = (*REPLICAS, "gateway-2", "hlr-2")

AnyStore = embedded.EmbeddedValkey | stores.Many


class SplitStack(harness.Stack):
    """Only what differs from `run all`: how processes are started, and where they are found."""

    def __init__(
        self,
        directory: Path,
        sandbox: server.Sandbox,
        plans: tuple[harness.Plan, ...],
        config: dict[str, Any],
        valkey: AnyStore,
        replicas: tuple[str, ...] = REPLICAS,
    ) -> None:
        super().__init__(directory, sandbox, plans, config)
        taken: set[int] = set()
        for _ in range(2 * len(replicas)):
            taken.add(addresses.free_port(harness.HOST, taken=frozenset(taken)))
        ports = iter(taken)
        self.replicas = replicas
        self.rpc = {name: f"{harness.HOST}:{next(ports)}" for name in replicas}
        self.internals = {name: f"{harness.HOST}:{next(ports)}" for name in replicas}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.store = section(valkey)
        self._balancer = balancer.Balancer(self.public, [self.rpc[name] for name in self._all("gateway")])

    def _all(self, role: str) -> list[str]:
        return [name for name in self.replicas if name.partition("-")[0] == role]

    def _endpoint(self, role: str) -> str:
        """gRPC's own name for several addresses: the next one is called where the first does not answer."""
        return "ipv4:" + ",".join(self.rpc[name] for name in self._all(role))

    async def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        Keyring.create(self.data / "master.key")
        self.write_providers()
        await self._balancer.start()
        for name in self.replicas:
            await self.start_one(name)

    async def start_one(self, name: str) -> None:
        role = name.partition("-")[0]
        file = self.directory / f"{name}.yaml"
        file.write_text(yaml.safe_dump(self._settings(name, role)), encoding="utf-8")
        arguments = ["run", role, "--config", str(file)]
        if role == "provisioner":
            arguments += ["--providers", str(self.directory / "providers.yaml")]
        self.processes[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "smsbridge", *arguments,
            cwd=self.directory, stdout=self._log, stderr=self._log, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    def _settings(self, name: str, role: str) -> dict[str, Any]:
        config = {section: dict(values) for section, values in self.config.items()}
        config["process"] = {
            "internal": self.internals[name],
            "master_key_file": str(self.data / "master.key"),
        }
        config.setdefault("store", {}).update(self.store)
        config["endpoints"] = {role: self._endpoint(role) for role in ("sender", "status", "hlr")}
        if role == "gateway":
            config.setdefault(role, {}).update(listen=self.rpc[name], journal_dir=str(self.data / name))
        elif role != "provisioner":
            config.setdefault(role, {}).update(listen=self.rpc[name])
        return config

    async def ready(self) -> None:
        async def good() -> bool:
            answers = [await harness.get(f"http://{address}/readyz") for address in self.internals.values()]
            return all(status == 200 for status, _ in answers)

        await harness.until(good, seconds=60, what=self.log_tail)

    async def shown(self, name: str) -> dict[str, Any]:
        """The URLs, by the library: client commands find a `run all` by its directory, which is not here."""
        store = connection.Store.connect(connection.StoreSettings.model_validate(self.store))
        try:
            keyring = Keyring.load(self.data / "master.key")
            contents = await registry.Registry(store, keyring).load()
        finally:
            await store.close()
        for provider in contents.providers.values():
            if provider.name == name:
                found = urls.of(provider, keyring)
                return {"installUrl": found.install, "callbackUrl": found.callback}
        return {}

    def rpc_address(self, role: str) -> str:
        return self._endpoint(role)

    async def metrics(self) -> str:
        """Of all replicas."""
        pages = [await harness.get(f"http://{address}/metrics") for address in self.internals.values()]
        return "".join(page for _, page in pages)

    def passed(self) -> leaks.Passed:
        found = super().passed()
        names = ("password", "sentinel_password")
        found.add("store password", [self.store[name] for name in names if name in self.store])
        return found

    async def replace(self, name: str) -> None:
        """Killed with -9, and started again as a cluster would."""
        self.processes[name].kill()
        await self.processes[name].wait()
        await self.start_one(name)

    async def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                async with asyncio.timeout(40):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await self._balancer.stop()
        await super().stop()


def section(valkey: AnyStore) -> dict[str, Any]:
    """The settings `store` that lead to it."""
    if isinstance(valkey, stores.Many):
        return valkey.settings
    return {"url": valkey.url, "password": valkey.password}


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    valkey: AnyStore,
    *plans: harness.Plan,
    config: dict[str, Any] | None = None,
    settings: SandboxSettings | None = None,
    replicas: tuple[str, ...] = REPLICAS,
) -> AsyncIterator[SplitStack]:
    async with server.Sandbox.running(settings or harness.sandbox_settings()) as sandbox:
        used = config if config is not None else harness.SHORT
        stack = SplitStack(directory, sandbox, plans or (harness.Plan(),), used, valkey, replicas)
        try:
            await stack.start()
            await stack.ready()
            await stack.connect()
            yield stack
            metrics = await stack.metrics()
        finally:
            await stack.stop()
        stack.check_leaks(metrics)
