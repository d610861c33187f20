"""The handlers with the framework itself, against an API that is played in this process.

What a real API server makes of the same is in test_operator_on_a_server; here is what is asked of it.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf
import pytest
from kmock import KubernetesEmulator, ResourceInfo, resource

from smsbridge.provisioning.service import Change
from smsbridge.provisioning.state import State
from smsbridge_operator import api, handlers
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster
from tests.flow.harness import until
from tests.operator import resources
from tests.operator.test_parts import GOOD, PROVIDER, SECRETS

PROVIDERS = "smsbridge.dev/v1alpha1/smscproviders"
NAMESPACE = "crm"
PATH = f"/apis/smsbridge.dev/v1alpha1/namespaces/{NAMESPACE}/smscproviders/smsc"
_VERBS = {"list", "watch", "get", "create", "patch", "delete"}
# The last two are only looked up: every server has them, and the framework waits for their names.
_KINDS = {
    PROVIDERS: "SmscProvider",
    "v1/secrets": "Secret",
    "v1/events": "Event",
    "v1/namespaces": "Namespace",
    "apiextensions.k8s.io/v1/customresourcedefinitions": "CustomResourceDefinition",
}


@dataclass
class Playing:
    """The API, and the operator's two sides: what it hears, and what it is told to show."""

    api: KubernetesEmulator
    source: Cluster = field(default_factory=lambda: Cluster(api.Api()))
    board: Board = field(default_factory=Board)
    said_farewell: list[str] = field(default_factory=list)
    may_go: bool = True

    async def farewell(self, uid: str) -> bool:
        self.said_farewell.append(uid)
        return self.may_go

    def create(self, name: str = "smsc", **metadata: Any) -> None:
        body = resources.body(name, NAMESPACE)
        body["metadata"] |= {"uid": f"uid-{name}", "generation": 1, "resourceVersion": "1", **metadata}
        self.api.objects[resource(PROVIDERS), NAMESPACE, name] = body

    def found(self, name: str = "smsc") -> dict[str, Any]:
        return dict(self.api.objects[resource(PROVIDERS), NAMESPACE, name].raw)

    def is_gone(self) -> bool:
        return bool(self.api.objects[resource(PROVIDERS), NAMESPACE, "smsc"].deleted)

    def asked(self, method: str, path: str) -> list[Any]:
        """Bodies of the requests to a path."""
        return [r.data for r in self.api if r.method.value.upper() == method and r.url.path == path]

    async def delete(self) -> None:
        async with aiohttp.ClientSession() as person, person.delete(f"{self.url}{PATH}") as answer:
            assert answer.status == 200

    @property
    def url(self) -> str:
        return str(self.api.url).rstrip("/")

    async def comes(self, said: Callable[[], bool]) -> None:
        async def there() -> bool:
            return said()

        await until(there, seconds=20, what=lambda: str([(r.method, r.url.path) for r in self.api]))


@pytest.fixture
async def playing(kmock: KubernetesEmulator) -> AsyncIterator[Playing]:
    for name, kind in _KINDS.items():
        kmock.resources[resource(name)] = ResourceInfo(
            kind=kind, namespaced=True, verbs=_VERBS, subresources={"status"}
        )
    for secret in SECRETS:
        key = resource("v1/secrets"), NAMESPACE, secret["metadata"]["name"]
        kmock.objects[key] = {**secret, "type": "Opaque"}
    made = Playing(kmock)
    made.source.look_into(frozenset({NAMESPACE}))
    made.create()
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    settings.queueing.idle_timeout = 0.2  # an ending test need not wait for what rests
    stop = asyncio.Event()
    watching = asyncio.create_task(
        kopf.operator(
            registry=handlers.registry(
                made.source,
                made.board,
                farewell=made.farewell,
                login=lambda **_: kopf.ConnectionInfo(server=made.url),
            ),
            settings=settings,
            standalone=True,
            namespaces=[NAMESPACE],
            stop_flag=stop,
        )
    )
    try:
        yield made
    finally:
        made.board.close()
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(watching, 20)


async def test_what_is_declared_reaches_the_provisioner(playing: Playing) -> None:
    heard: list[Any] = []

    async def there() -> bool:
        heard.append(await playing.source.changed())
        return heard[-1] is not None

    await until(there, seconds=20)

    manifests = heard[-1]
    assert manifests is not None
    assert [item.label for item in manifests.declared] == ["crm/smsc"]
    assert manifests.errors == ()


async def test_a_resource_gets_our_finalizer(playing: Playing) -> None:
    await playing.comes(lambda: playing.found()["metadata"].get("finalizers") == [handlers.FINALIZER])


async def test_a_deletion_waits_for_the_registry_then_lets_go(playing: Playing) -> None:
    playing.may_go = False
    await playing.comes(lambda: bool(playing.found()["metadata"].get("finalizers")))
    await playing.delete()
    await playing.comes(lambda: bool(playing.said_farewell))
    assert playing.found()["metadata"]["finalizers"] == [handlers.FINALIZER]

    playing.may_go = True

    await playing.comes(playing.is_gone)
    assert set(playing.said_farewell) == {"uid-smsc"}


async def test_nothing_else_is_asked_of_the_api(playing: Playing) -> None:
    await playing.comes(lambda: bool(playing.found()["metadata"].get("finalizers")))

    asked = {r.resource.plural for r in playing.api if r.resource is not None and r.resource.plural}
    assert asked == {"smscproviders", "secrets"}
    listed = [r for r in playing.api if r.url.path.endswith("/secrets")]
    assert listed
    assert {r.url.query.get("fieldSelector") for r in listed} == {"type=Opaque"}


async def test_what_somebody_else_wrote_into_a_status_is_seen(playing: Playing) -> None:
    playing.board.show(Change("crm/smsc", State(), GOOD, PROVIDER))
    page = playing.board.read("crm/smsc", "uid-smsc")
    assert page is None  # the provider that is known has another uid
    playing.board.show(Change("crm/smsc", State(), GOOD, dataclasses.replace(PROVIDER, uid="uid-smsc")))
    page = playing.board.read("crm/smsc", "uid-smsc")
    assert page is not None
    playing.board.written("crm/smsc", page.version)

    async with aiohttp.ClientSession() as person:
        merge = {"Content-Type": "application/merge-patch+json"}
        await person.patch(f"{playing.url}{PATH}/status", json={"status": {"balance": "1"}}, headers=merge)

    await playing.comes(lambda: playing.board.unwritten() == ["crm/smsc"])
