"""Manifests for a cluster: examples/kubernetes, and what `helm test` applies."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from smsbridge.provisioning import manifests
from smsbridge.sandbox.settings import default_accounts, default_portals
from tests.chart import helm

SAMPLES = Path(__file__).parents[2] / "examples" / "kubernetes"


def read(objects: list[dict[str, Any]]) -> manifests.Manifests:
    kept = [one for one in objects if one["kind"] in ("Secret", "SmscProvider")]
    return manifests.read(yaml.safe_dump_all(kept, allow_unicode=True).encode())


def hosts(spec: dict[str, Any]) -> set[tuple[str, int]]:
    portal, smsc = spec["portal"], spec["smsc"]
    urls = [spec["publicUrl"], portal["endpoint"], portal["oauthEndpoint"], smsc["baseUrl"]]
    parts = [urlsplit(url) for url in urls]
    return {(part.hostname or "", part.port or 80) for part in parts}


@pytest.mark.parametrize(
    ("file", "name"), [("sms.yaml", "smsc"), ("cascade.yaml", "smsc-cascade"), ("sandbox.yaml", "sandbox")]
)
def test_a_sample_is_valid_and_names_no_namespace(file: str, name: str) -> None:
    text = (SAMPLES / file).read_bytes()
    found = manifests.read(text)

    assert found.errors == ()
    assert [item.label for item in found.declared] == [f"default/{name}"]
    assert all("namespace" not in one["metadata"] for one in yaml.safe_load_all(text))


def test_every_sample_is_tested() -> None:
    assert {path.name for path in SAMPLES.glob("*.yaml")} == {"sms.yaml", "cascade.yaml", "sandbox.yaml"}


def addresses_of(services: list[helm.Object]) -> set[tuple[str, int]]:
    """Names of Services in short and with their namespace."""
    return {
        (host, port["port"])
        for one in services
        for host in (one["metadata"]["name"], f"{one['metadata']['name']}.{helm.NAMESPACE}")
        for port in one["spec"]["ports"]
    }


def test_the_sandbox_sample_points_to_a_release_called_smsbridge() -> None:
    documents = yaml.safe_load_all((SAMPLES / "sandbox.yaml").read_bytes())
    (provider,) = (one for one in documents if one["kind"] == "SmscProvider")
    services = helm.of_kind(helm.render_ci("sandbox.yaml"), "Service")

    assert hosts(provider["spec"]) <= addresses_of(services)
    assert "." in (urlsplit(provider["spec"]["publicUrl"]).hostname or "")  # or the portal refuses it


@pytest.mark.parametrize("ci", ["sandbox.yaml", "all-in-one.yaml", "all-options.yaml", "namespaces.yaml"])
def test_helm_test_tries_a_provider_that_works_on_the_sandbox(ci: str) -> None:
    objects = list(helm.render_ci(ci))
    hooks = [one for one in objects if helm.annotation(one, "helm.sh/hook") == "test"]
    assert sorted(one["kind"] for one in hooks) == ["Pod", "Secret", "Secret", "SmscProvider"]
    weights = {one["kind"]: int(helm.annotation(one, "helm.sh/hook-weight") or 0) for one in hooks}
    assert weights["Secret"] < weights["SmscProvider"] < weights["Pod"]
    for one in hooks:
        assert helm.annotation(one, "helm.sh/hook-delete-policy") == "before-hook-creation,hook-succeeded"

    found = read(hooks)
    assert found.errors == ()
    (declared,) = found.declared
    (pod,) = helm.of_kind(hooks, "Pod")
    assert f"--provider {declared.label}" in " ".join(pod["spec"]["containers"][0]["args"])
    (provider,) = helm.of_kind(hooks, "SmscProvider")
    watched = helm.ci_values(ci).get("operator", {}).get("namespaces") or [helm.NAMESPACE]
    assert provider["metadata"]["namespace"] in watched
    assert hosts(provider["spec"]) <= addresses_of(helm.of_kind(objects, "Service"))
    assert all(helm.NAMESPACE in host for host, _ in hosts(provider["spec"]))

    held = {one["metadata"]["name"]: one["stringData"] for one in helm.of_kind(hooks, "Secret")}
    account = held[provider["spec"]["smsc"]["accountSecretRef"]["name"]]
    profiles = {(one.login, one.password): one.profile.value for one in default_accounts()}
    assert profiles[account["login"], account["password"]] == provider["spec"]["smsc"]["api"]
    (portal,) = default_portals()
    (application,) = portal.applications
    assert portal.domain == provider["spec"]["portal"]["domain"]
    assert held[provider["spec"]["portal"]["appSecretRef"]["name"]] == {
        "clientId": application.client_id,
        "clientSecret": application.client_secret,
    }


@pytest.mark.parametrize("ci", ["default.yaml", "cluster-wide.yaml"])
def test_without_the_sandbox_nothing_is_tried(ci: str) -> None:
    assert [one for one in helm.render_ci(ci) if helm.annotation(one, "helm.sh/hook") == "test"] == []
