"""The product in its other shape: every role a process of its own on a store that it does not start.

Two senders and two status roles share the work; the gateway and the provisioner are one each.
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
from tests.conftest import store_settings
from tests.flow import harness

REPLICAS = ("gateway", "sender", "sender-2", "status", "status-2", "hlr", "provisioner")


class SplitStack(harness.Stack):
    """Only what differs from `run all`: how processes are started, and where they are found."""

    def __init__(
        self,
        directory: Path,
        sandbox: server.Sandbox,
        plans: tuple[harness.Plan, ...],
        config: dict[str, Any],
        valkey: embedded.EmbeddedValkey,
    ) -> None:
        super().__init__(directory, sandbox, plans, config)
        taken: set[int] = set()
        for _ in range(2 * len(REPLICAS)):
            taken.add(addresses.free_port(harness.HOST, taken=frozenset(taken)))
        ports = iter(taken)
        self.rpc = {name: f"{harness.HOST}:{next(ports)}" for name in REPLICAS}
        self.internals = {name: f"{harness.HOST}:{next(ports)}" for name in REPLICAS}
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self._valkey = valkey

    async def start(self) -> None:
        self.data.mkdir(exist_ok=True)
        Keyring.create(self.data / "master.key")
        self.write_providers()
        for name in REPLICAS:
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
        config.setdefault("store", {}).update(url=self._valkey.url, password=self._valkey.password)
        config["endpoints"] = {role: self.rpc[role] for role in ("sender", "status", "hlr")}
        if role == "gateway":
            config.setdefault(role, {}).update(listen=self.public, journal_dir=str(self.data / "gateway"))
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
        store = connection.Store.connect(store_settings(self._valkey))
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
        return self.rpc[role]

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
        await super().stop()


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    valkey: embedded.EmbeddedValkey,
    *plans: harness.Plan,
    config: dict[str, Any] | None = None,
    settings: SandboxSettings | None = None,
) -> AsyncIterator[SplitStack]:
    async with server.Sandbox.running(settings or harness.sandbox_settings()) as sandbox:
        used = config if config is not None else harness.SHORT
        stack = SplitStack(directory, sandbox, plans or (harness.Plan(),), used, valkey)
        try:
            await stack.start()
            await stack.ready()
            await stack.connect()
            yield stack
        finally:
            await stack.stop()
        stack.check_log()
