"""The product in the cluster: the chart with its sandbox, and the providers of examples/ on it."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from smsbridge.rpc import clients
from smsbridge.runtime import rpc
from smsbridge.sandbox.client import SandboxClient
from tests.e2e.cluster import Cluster, samples
from tests.e2e.delivery import Image
from tests.e2e.helm import Helm, Values
from tests.flow.harness import good_phones, until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "smsbridge"
SAMPLE = ROOT / "examples" / "kubernetes" / "sandbox.yaml"
NAME = "smsbridge"
DOMAIN = "example.bitrix24.ru"
ROLES = ("gateway", "sender", "status", "hlr")
COMPONENTS = (*ROLES, "operator", "valkey", "sandbox")
INTERNAL = 7100
_INSTALL_SECONDS = 420
_ROLLOUT_SECONDS = 300


class Release:
    def __init__(self, cluster: Cluster, image: Image, *, values: Values | None = None) -> None:
        """`values`: what the chart is told besides in this cluster."""
        self.helm = Helm(cluster.namespace, NAME)
        self.cluster = cluster
        self.values = values or {}
        self.image = image
        self.providers = [
            document
            for document in yaml.safe_load_all(SAMPLE.read_text(encoding="utf-8"))
            if document["kind"] == "SmscProvider"
        ]
        self._numbers = 0

    @property
    def code(self) -> str:
        """Of the provider that everything is sent through."""
        return str(self.providers[0]["spec"]["code"])

    def phones(self, count: int) -> list[str]:
        """Numbers that everything is delivered to, none of them given before."""
        self._numbers += count
        return good_phones(count, start=self._numbers - count)

    def install(self, **more: Any) -> None:
        """Or upgrades it, with more values; comes when everything is ready."""
        values = {
            "image": {
                "repository": self.image.repository,
                "tag": self.image.tag,
                "pullPolicy": self.image.pull_policy,
            },
            # A node for tests is small, and an upgrade starts new pods beside the old ones: they share.
            **{component: {"resources": {"requests": {"cpu": "10m"}}} for component in COMPONENTS},
            "jobs": {"resources": {"requests": {"cpu": "10m"}}},
            **self.values,
            **more,
        }
        values["sandbox"]["enabled"] = True
        self.helm.install(CHART, values, seconds=_INSTALL_SECONDS)

    def apply_sample(self) -> None:
        """It is written for the namespace `crm`."""
        text = SAMPLE.read_text(encoding="utf-8").replace("gateway.crm", f"gateway.{self.cluster.namespace}")
        self.cluster.kubectl("apply", "--filename", "-", stdin=text)

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """Those that live; of one role, or of all."""
        selector = f"app.kubernetes.io/instance={NAME}"
        if component:
            selector += f",app.kubernetes.io/component={component}"
        found = self.cluster.objects("pods", selector=selector)
        ended = {"Succeeded", "Failed"}
        return [
            pod
            for pod in found
            if pod["status"]["phase"] not in ended and "deletionTimestamp" not in pod["metadata"]
        ]

    def names(self, component: str) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.pods(component))

    def workload(self, component: str) -> str:
        """`deployment/NAME` or `statefulset/NAME`."""
        selector = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        for kind in ("deployment", "statefulset"):
            for found in self.cluster.objects(kind, selector=selector):
                return f"{kind}/{found['metadata']['name']}"
        raise AssertionError(f"the chart has no workload {component}")

    def rolled_out(self, component: str) -> None:
        self.cluster.kubectl(
            "rollout", "status", self.workload(component), "--timeout", f"{_ROLLOUT_SECONDS}s",
            seconds=_ROLLOUT_SECONDS + 30,
        )  # fmt: skip

    async def replaced(self, component: str, old: set[str]) -> None:
        """Until as many pods as the workload wants are ready, none of them with a uid of `old`."""
        kind, _, name = self.workload(component).partition("/")

        async def done() -> bool:
            wanted = json.loads(self.cluster.kubectl("get", kind, name, "--output", "json"))["spec"][
                "replicas"
            ]
            ready = {pod["metadata"]["uid"] for pod in self.pods(component) if _is_ready(pod)}
            return len(ready) == wanted and not ready & old

        await until(done, seconds=_ROLLOUT_SECONDS, what=lambda: f"no new {component}", pause=1)

    def restart(self, component: str) -> None:
        """One pod after another, as an upgrade does; comes when all are new."""
        self.cluster.kubectl("rollout", "restart", self.workload(component))
        self.rolled_out(component)

    def scale(self, component: str, replicas: int) -> None:
        self.cluster.kubectl("scale", self.workload(component), "--replicas", str(replicas))

    @contextlib.asynccontextmanager
    async def sandbox(self) -> AsyncIterator[SandboxClient]:
        """Its control API, from outside the cluster."""
        (pod,) = self.names("sandbox")
        with self.cluster.forwarded(f"pod/{pod}", 8090) as local:
            async with SandboxClient(f"http://{local}/sandbox") as client:
                yield client

    def shown(self, name: str) -> dict[str, Any]:
        """The URLs with their keys, as the command prints them in any pod of the services; {} if not yet."""
        pod = self.names("status")[0]
        command = ("smsbridge", "provider", "show", f"{self.cluster.namespace}/{name}", "--output", "json")
        with contextlib.suppress(AssertionError):
            return dict(json.loads(self.cluster.inside(pod, *command)))
        return {}

    def story(self, message_id: str) -> str:
        """Of one message, or why there is none."""
        try:
            command = ("smsbridge", "message", message_id, "--address", "127.0.0.1:7103")
            return self.cluster.inside(self.names("status")[0], *command)
        except AssertionError as error:
            return f"{message_id}: {error}"

    async def connect(self, sandbox: SandboxClient) -> None:
        """What a person does in the portal and at SMSC: presses "install", enters the callback URL."""
        install_url = ""
        for provider in self.providers:
            shown: dict[str, Any] = {}

            async def published(name: str = provider["metadata"]["name"]) -> bool:
                nonlocal shown
                shown = self.shown(name)
                return bool(shown.get("callbackUrl"))

            await until(published, seconds=60, what=lambda: "no URL of the provider yet", pause=1)
            login = provider["spec"]["smsc"].get("api", "guide")
            await sandbox.change_account(login, callback={"url": shown["callbackUrl"]})
            install_url = install_url or shown["installUrl"]

        async def taken() -> bool:
            report = await sandbox.install(DOMAIN, url=install_url)
            return all(post.status == 200 for post in report.posts)

        await until(taken, seconds=30, what=lambda: "the gateway does not take the installation", pause=1)

    def ready(self, *, seconds: int = 60) -> None:
        """Until every provider's resource says so."""
        self.cluster.kubectl(
            "wait", "smscproviders", "--all", "--for=condition=Ready", "--timeout", f"{seconds}s",
            seconds=seconds + 30,
        )  # fmt: skip

    async def books(self) -> dict[str, int]:
        """Our own ledger, over all providers."""
        with self.cluster.forwarded(f"pod/{self.names('status')[0]}", 7103) as local:
            channel = rpc.channel(local)
            try:
                ledger = await clients.StatusClient(channel).get_ledger()
            finally:
                await channel.close(None)
        return {
            "accepted": sum(one.accepted for one in ledger.ledgers),
            "delivered": sum(one.final.get("delivered", 0) for one in ledger.ledgers),
            "unaccounted": ledger.unaccounted,
        }

    def metric(self, component: str, name: str, *, label: str = "") -> dict[str, float]:
        """Summed over its labels that contain `label`, for each pod of a role."""
        found = {}
        for pod in self.names(component):
            page = self.cluster.page(pod, INTERNAL, "/metrics")
            found[pod] = sum(value for labels, value in samples(page, name).items() if label in labels)
        return found


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
