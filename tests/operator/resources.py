"""Resources as a person writes them, and the API server's `SmscProvider` for the tests' client."""

import copy
import time
import uuid
from pathlib import Path
from typing import Any

import lightkube
import yaml
from lightkube import codecs
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.core_v1 import Namespace

from smsbridge_operator import crd

CHART_FILES = Path(__file__).parents[2] / "charts/smsbridge/files"
_SERVED_SECONDS = 30.0
Provider = create_namespaced_resource(crd.GROUP, crd.VERSION, "SmscProvider", crd.PLURAL)


def install_definition(client: lightkube.Client) -> None:
    """The definition and the policy, as the chart has them; a repeat changes nothing.

    Returns when the server serves it: for a moment after the definition it answers 429.
    """
    for name in ("crd-smscproviders.yaml", "policy-smscproviders.yaml"):
        text = (CHART_FILES / name).read_text(encoding="utf-8")
        for item in codecs.load_all_yaml(text):
            client.apply(item, force=True)
    deadline = time.monotonic() + _SERVED_SECONDS
    while not _is_served(client):
        assert time.monotonic() < deadline, "the server does not serve what was defined"
        time.sleep(0.1)


def _is_served(client: lightkube.Client) -> bool:
    try:
        list(client.list(Provider, namespace="default"))
    except lightkube.ApiError as error:
        if error.status.code not in (404, 429):
            raise
        return False
    return True


def is_defined(client: lightkube.Client) -> bool:
    try:
        client.get(CustomResourceDefinition, crd.NAME)
    except lightkube.ApiError as error:
        if error.status.code != 404:
            raise
        return False
    return True


def make_namespace(client: lightkube.Client, prefix: str) -> str:
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    client.create(Namespace(metadata=ObjectMeta(name=name)))
    return name


def ensure_namespace(client: lightkube.Client, name: str) -> None:
    client.apply(Namespace(metadata=ObjectMeta(name=name)), field_manager="tests", force=True)


def body(name: str, namespace: str, /, **changes: Any) -> dict[str, Any]:
    """A provider that is right as it is. `changes`: dotted paths with `__`, None takes a field away."""
    spec: dict[str, Any] = {
        "code": "smsc",
        "name": "SMSC.ru",
        "publicUrl": "https://sms.example.com",
        "portal": {"domain": "example.bitrix24.ru", "appSecretRef": {"name": "application"}},
        "smsc": {"accountSecretRef": {"name": "account"}},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = spec
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = copy.deepcopy(value)
    return {
        "apiVersion": f"{crd.GROUP}/{crd.VERSION}",
        "kind": "SmscProvider",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def examples(file: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(file.read_text(encoding="utf-8")) if item]
