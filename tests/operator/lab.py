"""The operator as its Deployment runs it: a process of its own, with its own ServiceAccount's token and the
rights that the chart gives it, between a real API server, a real store and the sandbox.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightkube
import psutil
from lightkube import codecs
from lightkube.resources.core_v1 import Event, Secret
from lightkube.types import PatchType

from smsbridge.runtime import addresses
from smsbridge.sandbox.server import Sandbox
from smsbridge.store.connection import Store
from tests.chart import helm
from tests.flow.harness import get, until
from tests.operator import resources
from tests.operator.apiserver import ApiServer
from tests.operator.resources import Provider
from tests.wire import provisioning_lab
from tests.wire.provisioning_lab import CLIENT_ID, DOMAIN

ACCOUNT = "smsbridge-operator"
MASTER_KEY = base64.b64encode(b"k" * 32).decode()  # the same as that of provisioning_lab
WAIT_SECONDS = 60.0  # these machines are shared; what must be quick is measured in bench/


@dataclass
class Operator:
    """One process; `environ` are its settings."""

    environ: Mapping[str, str]
    log: Path
    internal: str
    process: asyncio.subprocess.Process | None = None

    async def start(self, *, ready: bool = True) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "smsbridge.runtime.launch", str(os.getpid()),
                sys.executable, "-m", "smsbridge_operator",
                env={**os.environ, **self.environ},
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        if ready:
            await until(self.lives, seconds=WAIT_SECONDS, what=self.tail)

    async def lives(self) -> bool:
        return (await get(f"http://{self.internal}/livez"))[0] == 200

    async def readiness(self) -> tuple[int, str]:
        return await get(f"http://{self.internal}/readyz")

    async def metric(self, line_begins: str) -> float:
        """The value of one sample."""
        _, text = await get(f"http://{self.internal}/metrics")
        (found,) = [line for line in text.splitlines() if line.startswith(line_begins)]
        return float(found.rpartition(" ")[2])

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        return await self._end(signal.SIGTERM)

    def memory_mib(self) -> float:
        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)

    def lines(self) -> list[dict[str, Any]]:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def problems(self) -> list[dict[str, Any]]:
        """Warnings and errors of a run that should have none; nobody plays the sender here."""
        bad = [line for line in self.lines() if line.get("level") not in ("info", "debug")]
        return [line for line in bad if line.get("loop") != "queues"]

    def tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])

    async def _end(self, how: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.process.returncode is None:
            self.process.send_signal(how)
            async with asyncio.timeout(40):
                await self.process.wait()
        code = self.process.returncode
        self.process = None
        return code or 0


@dataclass
class Lab:
    """One namespace of the API server, and all that an operator in it needs."""

    server: ApiServer
    client: lightkube.Client
    namespace: str
    directory: Path
    sandbox: Sandbox
    store_environ: Mapping[str, str]
    portal: provisioning_lab.Lab | None = None
    operators: list[Operator] = field(default_factory=list)

    def operator(self, **settings: str) -> Operator:
        """Another process; `settings` are variables without their prefix."""
        port = addresses.free_port("127.0.0.1")
        number = len(self.operators)
        log = self.directory / f"operator-{number}.log"
        log.touch()
        environ = {
            "KUBECONFIG": str(self._kubeconfig()),
            "SMSBRIDGE_PROCESS__INTERNAL": f"127.0.0.1:{port}",
            "SMSBRIDGE_OPERATOR__NAMESPACES": f"[{self.namespace}]",
            "SMSBRIDGE_OPERATOR__LEASE_SECONDS": "3",
            **self.store_environ,
            **{f"SMSBRIDGE_{name}": value for name, value in settings.items()},
        }
        made = Operator(environ, log, f"127.0.0.1:{port}")
        self.operators.append(made)
        return made

    def _kubeconfig(self) -> Path:
        token = self.server.token_of(ACCOUNT, self.namespace)
        return self.server.kubeconfig_for(token, self.directory / "operator.kubeconfig")

    def secret(self, name: str, **values: str) -> None:
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace}}
        self.client.apply(Secret.from_dict({**body, "stringData": values}), force=True)

    def forget_secret(self, name: str) -> None:
        self.client.delete(Secret, name, namespace=self.namespace)

    def secrets(self) -> None:
        self.secret("application", clientId=CLIENT_ID, clientSecret="sandbox-client-secret")
        self.secret("account", login="guide", password="secret-guide")

    def apply(self, name: str, **changes: Any) -> None:
        """A provider on the sandbox; its code is its name unless `changes` say another."""
        wanted = {
            "code": name,
            "name": f"SMSC {name}",
            "publicUrl": "http://127.0.0.1:8080",
            "sandbox": True,
            "portal__domain": DOMAIN,
            "portal__endpoint": self.sandbox.portal_url(DOMAIN),
            "portal__oauthEndpoint": self.sandbox.oauth_url,
            "smsc__baseUrl": self.sandbox.smsc_url,
            **changes,
        }
        made = Provider.from_dict(resources.body(name, self.namespace, **wanted))
        self.client.apply(made, field_manager="tests", force=True)

    def change(self, name: str, **spec: Any) -> None:
        merge = PatchType.MERGE
        self.client.patch(Provider, name, {"spec": spec}, namespace=self.namespace, patch_type=merge)

    def delete(self, name: str) -> None:
        self.client.delete(Provider, name, namespace=self.namespace)

    def find(self, name: str) -> dict[str, Any] | None:
        try:
            found = self.client.get(Provider, name, namespace=self.namespace)
        except lightkube.ApiError as error:
            if error.status.code != 404:
                raise
            return None
        return dict(found.to_dict())

    def names(self) -> set[str]:
        return {item.metadata.name for item in self.client.list(Provider, namespace=self.namespace)}

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        status = (self.find(name) or {}).get("status") or {}
        return next((item for item in status.get("conditions", []) if item["type"] == kind), {})

    async def comes(self, name: str, kind: str, reason: str) -> dict[str, Any]:
        """The condition, once it has that reason."""

        async def there() -> bool:
            return self.condition(name, kind).get("reason") == reason

        await until(there, seconds=WAIT_SECONDS, what=self.what, pause=0.2)
        return self.condition(name, kind)

    async def goes(self, name: str) -> None:
        async def gone() -> bool:
            return self.find(name) is None

        await until(gone, seconds=WAIT_SECONDS, what=self.what, pause=0.2)

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """Type, reason and message of what was told of a resource."""
        found = self.client.list(Event, namespace=self.namespace)
        return [(e.type, e.reason, e.message) for e in found if e.involvedObject.name == name]

    async def told(self, name: str, reason: str) -> tuple[str, str, str]:
        async def there() -> bool:
            return any(event[1] == reason for event in self.events(name))

        await until(there, seconds=WAIT_SECONDS, what=self.what, pause=0.2)
        return next(event for event in self.events(name) if event[1] == reason)

    def what(self) -> str:
        shown = [json.dumps(item.to_dict().get("status")) for item in self._all()]
        return "\n".join([*shown, *(operator.tail() for operator in self.operators)])

    def _all(self) -> list[Any]:
        if not resources.is_defined(self.client):
            return []
        return list(self.client.list(Provider, namespace=self.namespace))

    def check_logs(self) -> None:
        """Neither secrets nor keys of URLs are in what operators wrote, here and to the API server."""
        told = [json.dumps(item.to_dict()) for item in self._all()]
        told += [json.dumps(e.to_dict()) for e in self.client.list(Event, namespace=self.namespace)]
        text = "\n".join([*told, *(operator.log.read_text(encoding="utf-8") for operator in self.operators)])
        leaks = [word for word in ("sandbox-client-secret", "secret-guide", MASTER_KEY) if word in text]
        leaks += re.findall(r"/(?:bitrix24|smsc)/[^/]+/[^/]+/(?!\*\*\*)[a-z2-7]{32}/", text)
        assert leaks == []

    def requests(self) -> set[tuple[tuple[str, str, str], str]]:
        """What the operator has asked of the API server: (group, resource, verb), and the decision."""
        lines = [json.loads(line) for line in self.server.audit.read_text(encoding="utf-8").splitlines()]
        user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"
        return {
            (
                (
                    line["objectRef"].get("apiGroup", ""),
                    "/".join(
                        filter(None, (line["objectRef"]["resource"], line["objectRef"].get("subresource")))
                    ),
                    line["verb"],
                ),
                line["annotations"]["authorization.k8s.io/decision"],
            )
            for line in lines
            if line["user"]["username"] == user
        }

    async def close(self) -> None:
        for operator in self.operators:
            await operator.kill()
        merge = PatchType.MERGE
        for item in self._all():  # no operator is left to let go of them
            let_go = {"metadata": {"finalizers": None}}
            self.client.patch(
                Provider, item.metadata.name, let_go, namespace=self.namespace, patch_type=merge
            )


def grant(client: lightkube.Client, namespace: str) -> None:
    """The operator's ServiceAccount and its rights, as the chart renders them for one namespace."""
    objects = helm.render({"operator": {"namespaces": [namespace]}}, namespace=namespace)
    for item in helm.of_kind(objects, "ServiceAccount", "Role", "RoleBinding"):
        if item["metadata"]["name"] == ACCOUNT:
            item["metadata"].setdefault("namespace", namespace)
            client.apply(codecs.from_dict(item), force=True)


def store_environ(store: Store, directory: Path) -> dict[str, str]:
    key = directory / "master.key"
    key.write_text(MASTER_KEY + "\n", encoding="ascii")
    return {
        "SMSBRIDGE_STORE__URL": store.settings.url,
        "SMSBRIDGE_STORE__PASSWORD": store.settings.password.get_secret_value(),
        "SMSBRIDGE_PROCESS__MASTER_KEY_FILE": str(key),
    }


@contextlib.asynccontextmanager
async def running(
    server: ApiServer, store: Store, directory: Path, *, definition: bool = True
) -> AsyncIterator[Lab]:
    """No operator yet: a test starts those that it needs."""
    client = server.client()
    if definition:
        resources.install_definition(client)
    namespace = resources.make_namespace(client, "operator")
    grant(client, namespace)
    async with provisioning_lab.running(store) as portal:
        lab = Lab(
            server, client, namespace, directory, portal.sandbox, store_environ(store, directory), portal
        )
        lab.secrets()
        try:
            yield lab
            lab.check_logs()
        finally:
            await lab.close()
