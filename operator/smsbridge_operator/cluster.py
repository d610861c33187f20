"""What the API server has told: the resources and Secrets of the namespaces we look after, as manifests.

A `service.Source`. It reads the indexes that the framework keeps, and says nothing before they are whole: a
resource that has not been listed yet must not look like one that was removed.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import convert, manifests
from smsbridge.provisioning.manifests import Manifests, ResourceError
from smsbridge_operator import api, crd

Key = tuple[str, str]  # namespace, name
SECRETS_SELECTOR = "type=Opaque"  # what `kubectl create secret generic` and a plain manifest make


@dataclass(frozen=True, slots=True)
class Resource:
    """An `SmscProvider` as far as it declares something. `leaving`: it is being deleted."""

    namespace: str
    name: str
    uid: str
    generation: int
    leaving: bool
    spec: Mapping[str, Any] = field(hash=False)

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


Resources = Mapping[Key, Collection[Resource]]
Secrets = Mapping[Key, Collection[convert.Secret]]


def key(body: Mapping[str, Any]) -> Key:
    return str(body["metadata"]["namespace"]), str(body["metadata"]["name"])


def resource(body: Mapping[str, Any]) -> Resource:
    metadata = body["metadata"]
    namespace, name = key(body)
    return Resource(
        namespace=namespace,
        name=name,
        uid=str(metadata["uid"]),
        generation=int(metadata.get("generation") or 0),
        leaving=bool(metadata.get("deletionTimestamp")),
        spec=dict(body.get("spec") or {}),
    )


def secret(body: Mapping[str, Any]) -> convert.Secret:
    """Values that are no texts are left out: none that we look for is one."""
    found: dict[str, str] = {}
    for key, value in (body.get("data") or {}).items():
        try:
            found |= manifests.decode_secret({"data": {key: value}})
        except errors.InputError:
            continue
    return found


class Cluster:
    name = "the cluster"

    def __init__(self, server: api.Api) -> None:
        self._server = server
        self._namespaces: frozenset[str] | None = frozenset()
        self._resources: Resources | None = None
        self._secrets: Secrets = {}
        self._touched = True
        self._known: Manifests | None = None

    def look_into(self, namespaces: frozenset[str] | None) -> None:
        """Which are followed from now on; None for all of the cluster."""
        self._namespaces = namespaces
        self._resources, self._secrets = None, {}

    def follow(self, resources: Resources, secrets: Secrets) -> None:
        """Handed over with the first event, which the framework holds back until both are whole."""
        self._resources, self._secrets = resources, secrets

    def find(self, label: str) -> Resource | None:
        namespace, _, name = label.partition("/")
        return next(iter((self._resources or {}).get((namespace, name), ())), None)

    async def is_gone(self, provider: Provider) -> bool:
        """Asked of the API server itself: an index that misses one must not cost it its registration.

        Raises ServiceAway where that cannot be told now.
        """
        path = f"/apis/{crd.GROUP}/{crd.VERSION}/namespaces/{provider.namespace}/{crd.PLURAL}"
        answer = await self._server.ask("GET", f"{path}?fieldSelector=metadata.name%3D{provider.name}")
        if answer.status != api.OK:
            raise errors.ServiceAway(f"the API server answers {answer.status} to a list")
        found = [resource(body) for body in answer.body.get("items", ())]
        return not any(one.uid == provider.uid and not one.leaving for one in found)

    def touch(self) -> None:
        """Something was created, changed or deleted."""
        self._touched = True

    async def changed(self) -> Manifests | None:
        if self._resources is None or not self._touched:
            return None
        self._touched = False
        found = self._read(self._resources, _by_namespace(self._secrets))
        if found == self._known:
            return None
        self._known = found
        return found

    def _read(self, resources: Resources, secrets: Mapping[str, Mapping[str, convert.Secret]]) -> Manifests:
        declared: list[convert.Declared] = []
        wrong: list[ResourceError] = []
        for one in sorted((item for many in resources.values() for item in many), key=lambda r: r.label):
            if one.leaving:
                continue
            source = convert.Source(one.namespace, one.name, one.uid, one.generation)
            result = manifests.declare(one.spec, source=source, secrets=secrets.get(one.namespace, {}))
            if isinstance(result, convert.Declared):
                declared.append(result)
            else:
                wrong += _errors(one, result)
        return Manifests(tuple(declared), tuple(wrong), self._namespaces)


def _by_namespace(secrets: Secrets) -> Mapping[str, Mapping[str, convert.Secret]]:
    found: defaultdict[str, dict[str, convert.Secret]] = defaultdict(dict)
    for (namespace, name), contents in secrets.items():
        for content in contents:
            found[namespace][name] = content
    return found


def _errors(one: Resource, found: list[errors.InputError]) -> Iterator[ResourceError]:
    for error in found:
        yield ResourceError(one.label, "resource", error.field, manifests.bare(error), one.generation)
