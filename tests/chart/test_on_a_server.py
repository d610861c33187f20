"""The chart on a real API server: every object is accepted, and a release's life leaves what must stay.

There are no controllers on this server, so nothing runs: the hook Job's command is run here, by hand.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import lightkube
import pytest
import yaml
from lightkube import codecs
from lightkube.generic_resource import create_global_resource, load_in_cluster_generic_resources
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apiextensions_v1 import CustomResourceDefinition
from lightkube.resources.apps_v1 import Deployment, StatefulSet
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import Secret
from lightkube.resources.scheduling_v1 import PriorityClass
from lightkube.types import PatchType

from smsbridge_operator import crd
from tests.chart import helm
from tests.operator import apiserver, resources
from tests.operator.apiserver import ApiServer

RELEASE = "smsbridge"
# Of other products; their definitions are played here, and accept anything.
FOREIGN = {
    "ServiceMonitor": ("monitoring.coreos.com", "v1", "servicemonitors"),
    "PrometheusRule": ("monitoring.coreos.com", "v1", "prometheusrules"),
    "ScaledObject": ("keda.sh", "v1alpha1", "scaledobjects"),
}
KEY_NAME = "own-key"
OWN_KEY = {"masterKey": {"existingSecret": KEY_NAME}}
# For a release beside the one to which the definition belongs.
BESIDE = {**OWN_KEY, "crds": {"install": False}}
Policy = create_global_resource(
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies"
)


@pytest.fixture(scope="module")
def api_server(control_plane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One of its own: the definition must belong to Helm here."""
    with apiserver.running(control_plane, tmp_path_factory.mktemp("kubernetes")) as server:
        yield server


@pytest.fixture(scope="module")
def client(api_server: ApiServer) -> lightkube.Client:
    made = api_server.client()
    made.create(PriorityClass(metadata=ObjectMeta(name="high"), value=1000))
    for kind, (group, version, plural) in FOREIGN.items():
        made.apply(CustomResourceDefinition.from_dict(_played(kind, group, version, plural)), force=True)
        made.wait(CustomResourceDefinition, f"{plural}.{group}", for_conditions=["Established"])
    load_in_cluster_generic_resources(made)
    return made


def _played(kind: str, group: str, version: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
            ],
        },
    }


class Release:
    """One release with Helm's own engine, on the server."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.config = helm_python.Config(kubeconfig_path=server.kubeconfig, namespace=namespace)
        self.namespace = namespace

    def install(self, values: dict[str, Any], *, chart: Path = helm.CHART) -> None:
        self.config.install(chart, RELEASE, values, namespace=self.namespace, timeout=60)

    def upgrade(self, values: dict[str, Any]) -> None:
        self.config.upgrade(helm.CHART, RELEASE, values, namespace=self.namespace, timeout=60)

    def rollback(self) -> None:
        self.config.rollback(RELEASE, timeout=60)

    def uninstall(self) -> None:
        self.config.uninstall(RELEASE, timeout=60)

    def revisions(self) -> list[str]:
        return [entry["status"] for entry in self.config.history(RELEASE)]


@pytest.fixture(scope="module")
def release(api_server: ApiServer, client: lightkube.Client) -> Release:
    """Not installed; always the same one, since the definition stays with it."""
    namespace = resources.make_namespace(client, "release")
    client.create(Secret.from_dict({"metadata": {"name": KEY_NAME, "namespace": namespace}}))
    return Release(api_server, namespace)


@pytest.fixture
def beside(api_server: ApiServer, client: lightkube.Client) -> Release:
    """Of this test alone, not installed; needs BESIDE."""
    return Release(api_server, resources.make_namespace(client, "beside"))


@pytest.fixture(scope="module")
def definition(release: Release) -> None:
    """What an uninstalled release leaves."""
    release.install(OWN_KEY)
    release.uninstall()


@pytest.mark.usefixtures("definition")
@pytest.mark.parametrize("ci", helm.CI)
def test_every_object_is_accepted(client: lightkube.Client, ci: str) -> None:
    namespace = resources.make_namespace(client, "chart")
    values = helm.ci_values(ci)
    for other in values.get("operator", {}).get("namespaces", []):
        resources.ensure_namespace(client, other)
    objects = helm.render(values, namespace=namespace)

    refused = {}
    for one in objects:
        one["metadata"].setdefault("namespace", namespace)
        try:
            client.apply(codecs.from_dict(one), field_manager="helm", force=True, dry_run=True)
        except lightkube.ApiError as error:
            refused[helm.label(one)] = error.status.message

    assert refused == {}
    assert len(objects) > 20


def names(client: lightkube.Client, kind: Any, namespace: str) -> set[str]:
    return {item.metadata.name for item in client.list(kind, namespace=namespace)}


def replicas(client: lightkube.Client, namespace: str) -> int:
    found = client.get(Deployment, f"{RELEASE}-sender", namespace=namespace).spec.replicas
    assert found is not None
    return found


@pytest.mark.usefixtures("definition")
def test_a_release_lives_and_leaves_what_must_stay(release: Release, client: lightkube.Client) -> None:
    namespace = release.namespace
    release.install({**OWN_KEY, "sandbox": {"enabled": True}})
    password = client.get(Secret, f"{RELEASE}-valkey", namespace=namespace).data
    definition = client.get(CustomResourceDefinition, crd.NAME)
    assert names(client, StatefulSet, namespace) == {f"{RELEASE}-gateway", f"{RELEASE}-valkey"}
    assert {f"{RELEASE}-{role}" for role in ("sender", "status", "hlr", "operator")} <= names(
        client, Deployment, namespace
    )

    release.upgrade({**OWN_KEY, "sender": {"replicas": 4}})
    assert replicas(client, namespace) == 4
    assert client.get(Secret, f"{RELEASE}-valkey", namespace=namespace).data == password
    release.rollback()
    assert replicas(client, namespace) == 2
    assert client.get(Secret, f"{RELEASE}-valkey", namespace=namespace).data == password
    assert release.revisions()[-1] == "deployed"

    release.uninstall()
    assert names(client, StatefulSet, namespace) == names(client, Deployment, namespace) == set()
    kept = client.get(CustomResourceDefinition, crd.NAME)
    assert kept.metadata.uid == definition.metadata.uid
    assert client.get(Policy, crd.NAME).metadata.name == crd.NAME
    assert KEY_NAME in names(client, Secret, namespace)


def test_the_definition_is_upgraded_with_the_chart(
    release: Release, client: lightkube.Client, tmp_path: Path
) -> None:
    older = tmp_path / "smsbridge"
    shutil.copytree(helm.CHART, older)
    file = older / "files" / "crd-smscproviders.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(f"- {crd.SHORT}\n", "- old\n"), encoding="utf-8")

    def short_names() -> Any:
        return client.get(CustomResourceDefinition, crd.NAME).spec.names.shortNames

    release.install(OWN_KEY, chart=older)
    assert short_names() == ["old"]

    release.upgrade(OWN_KEY)

    assert short_names() == [crd.SHORT]
    release.uninstall()


async def make_key(kubeconfig: Path, namespace: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "smsbridge_operator", "make-key", "--namespace", namespace, "--secret", "made",
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_the_master_key_is_made_once_and_by_whoever_may_do_no_more(
    api_server: ApiServer, client: lightkube.Client, tmp_path: Path
) -> None:
    namespace = resources.make_namespace(client, "key")
    account = f"{RELEASE}-master-key"
    for one in helm.of_kind(helm.render(namespace=namespace), "ServiceAccount", "Role", "RoleBinding"):
        if one["metadata"]["name"] == account:
            one["metadata"]["namespace"] = namespace
            client.apply(codecs.from_dict(one), field_manager="helm", force=True)
    token = api_server.token_of(account, namespace)
    kubeconfig = api_server.kubeconfig_for(token, tmp_path / "kubeconfig")

    assert await make_key(kubeconfig, namespace) == (0, f"the master key was made: Secret {namespace}/made\n")
    key = client.get(Secret, "made", namespace=namespace).data
    there = f"the master key is there already: Secret {namespace}/made\n"
    assert await make_key(kubeconfig, namespace) == (0, there)

    assert client.get(Secret, "made", namespace=namespace).data == key
    assert set(key) == {"master.key"}
    own = api_server.client(kubeconfig)
    with pytest.raises(lightkube.ApiError) as caught:
        own.get(Secret, "made", namespace=namespace)
    assert caught.value.status.code == 403
    code, output = await make_key(kubeconfig, "default")
    assert (code, "the API server answered 403" in output) == (1, True)


@pytest.mark.usefixtures("definition")
def test_the_samples_are_accepted(client: lightkube.Client) -> None:
    namespace = resources.make_namespace(client, "samples")
    files = sorted((helm.CHART.parents[1] / "examples" / "kubernetes").glob("*.yaml"))
    assert len(files) >= 3
    for file in files:
        for one in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            one["metadata"]["namespace"] = namespace
            client.apply(codecs.from_dict(one), field_manager="kubectl", force=True, dry_run=True)


KINDS = {"gateway": StatefulSet, "sender": Deployment, "status": Deployment, "hlr": Deployment}


def numbers(client: lightkube.Client, namespace: str) -> dict[str, int]:
    found = {}
    for role, kind in KINDS.items():
        workload: Any = client.get(kind, f"{RELEASE}-{role}", namespace=namespace)
        found[role] = workload.spec.replicas
    return found


def scale(client: lightkube.Client, namespace: str, role: str, replicas: int) -> None:
    """As the HorizontalPodAutoscaler's controller does."""
    kind: Any = KINDS[role]
    body = {"spec": {"replicas": replicas}}
    name = f"{RELEASE}-{role}"
    client.patch(kind.Scale, name, body, namespace=namespace, field_manager="kube-controller-manager")


@pytest.mark.parametrize("sender", ["autoscaling", "keda"])
def test_an_autoscaler_takes_over_what_runs(beside: Release, client: lightkube.Client, sender: str) -> None:
    fixed = {"gateway": 4, "sender": 5, "status": 3, "hlr": 6}
    beside.install({**BESIDE, **{role: {"replicas": number} for role, number in fixed.items()}})
    assert numbers(client, beside.namespace) == fixed

    scaled = {role: {"autoscaling": {"enabled": True}} for role in KINDS} | {
        "sender": {sender: {"enabled": True}}
    }
    beside.upgrade({**BESIDE, **scaled})
    assert numbers(client, beside.namespace) == fixed

    scale(client, beside.namespace, "gateway", 6)
    scale(client, beside.namespace, "sender", 3)
    beside.upgrade({**BESIDE, **scaled, "pods": {"labels": {"example.com/turn": "2"}}})
    running = fixed | {"gateway": 6, "sender": 3}
    assert numbers(client, beside.namespace) == running

    beside.upgrade({**BESIDE, **{role: {"replicas": number} for role, number in running.items()}})
    assert numbers(client, beside.namespace) == running


def test_an_autoscaler_takes_no_gateway_away_by_its_maximum(
    beside: Release, client: lightkube.Client
) -> None:
    beside.install({**BESIDE, "gateway": {"replicas": 4}})

    with pytest.raises(helm_python.HelmError, match="maxReplicas is 3 and 4 gateways run"):
        beside.upgrade({**BESIDE, "gateway": {"autoscaling": {"enabled": True, "maxReplicas": 3}}})

    assert names(client, HorizontalPodAutoscaler, beside.namespace) == set()
    beside.upgrade({**BESIDE, "gateway": {"autoscaling": {"enabled": True, "maxReplicas": 4}}})
    assert numbers(client, beside.namespace)["gateway"] == 4


def test_gateways_are_taken_away_by_hand(beside: Release, client: lightkube.Client) -> None:
    beside.install({**BESIDE, "gateway": {"replicas": 4}})
    beside.upgrade({**BESIDE, "gateway": {"replicas": 3}})
    assert numbers(client, beside.namespace)["gateway"] == 3


CHANGED_VOLUMES: dict[str, tuple[str, dict[str, Any]]] = {
    "valkey.size was 4Gi and is 16Gi": ("valkey", {"valkey": {"size": "16Gi"}}),
    'valkey.storageClass was "" and is "fast"': ("valkey", {"valkey": {"storageClass": "fast"}}),
    "gateway.journal.size was 1Gi and is 2Gi": ("gateway", {"gateway": {"journal": {"size": "2Gi"}}}),
    'gateway.journal.storageClass was "" and is "fast"': (
        "gateway",
        {"gateway": {"journal": {"storageClass": "fast"}}},
    ),
    "gateway.journal.enabled was true and is false": (
        "gateway",
        {"gateway": {"journal": {"enabled": False}}},
    ),
}


@pytest.mark.parametrize(
    ("sentence", "component", "values"),
    [(sentence, component, values) for sentence, (component, values) in CHANGED_VOLUMES.items()],
    ids=CHANGED_VOLUMES,
)
def test_a_changed_volume_is_refused_before_anything_is_changed(
    beside: Release, client: lightkube.Client, sentence: str, component: str, values: dict[str, Any]
) -> None:
    beside.install(BESIDE)
    before = numbers(client, beside.namespace)
    changed = {**BESIDE, "status": {"replicas": 7}, **values}

    with pytest.raises(helm_python.HelmError) as caught:
        beside.upgrade(changed)

    said = str(caught.value)
    assert sentence in said
    command = f"kubectl --namespace {beside.namespace} delete statefulset {RELEASE}-{component}"
    assert f"{command} --cascade=orphan" in said
    assert numbers(client, beside.namespace) == before
    # What the sentence says; without a garbage collector here, nothing would take its pods.
    client.delete(StatefulSet, f"{RELEASE}-{component}", namespace=beside.namespace)
    beside.upgrade(changed)
    assert numbers(client, beside.namespace)["status"] == 7


def test_a_journal_gets_a_volume_only_by_hand(beside: Release) -> None:
    beside.install({**BESIDE, "gateway": {"journal": {"enabled": False}}})
    with pytest.raises(helm_python.HelmError, match=r"gateway\.journal\.enabled was false and is true"):
        beside.upgrade(BESIDE)


@pytest.mark.parametrize("mode", ["split", "all"])
def test_the_same_size_in_other_words_is_no_change(
    beside: Release, client: lightkube.Client, mode: str
) -> None:
    beside.install({**BESIDE, "mode": mode, "gateway": {"journal": {"size": "1.5Gi"}}})
    beside.upgrade({**BESIDE, "mode": mode, "gateway": {"journal": {"size": "1536Mi"}}})
    beside.upgrade({**BESIDE, "mode": mode, "gateway": {"journal": {"size": 1610612736}}})
    component = "gateway" if mode == "split" else "all"
    assert f"{RELEASE}-{component}" in names(client, StatefulSet, beside.namespace)
    with pytest.raises(helm_python.HelmError, match=r"gateway\.journal\.size was"):
        beside.upgrade({**BESIDE, "mode": mode, "gateway": {"journal": {"size": "1537Mi"}}})


@pytest.mark.usefixtures("definition")
def test_the_notes_let_go_of_a_provider_that_nobody_unregisters(client: lightkube.Client) -> None:
    """As in a namespace that goes: the operator's rights are away, and its finalizer is there."""
    namespace = resources.make_namespace(client, "leaving")
    body = resources.body("smsc", namespace)
    body["metadata"]["finalizers"] = ["smsbridge.dev/provider"]
    client.create(codecs.from_dict(body))
    client.delete(resources.Provider, "smsc", namespace=namespace)
    assert names(client, resources.Provider, namespace) == {"smsc"}

    notes = helm.render_texts()["smsbridge/templates/NOTES.txt"]
    page = (helm.CHART.parents[1] / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    in_notes, on_page = (
        [
            line.partition("--patch '")[2].rstrip("'")
            for line in text.splitlines()
            if "patch smscprovider " in line
        ]
        for text in (notes, page)
    )
    assert in_notes == on_page
    (patch,) = in_notes
    client.patch(
        resources.Provider, "smsc", json.loads(patch), namespace=namespace, patch_type=PatchType.MERGE
    )

    assert names(client, resources.Provider, namespace) == set()
