"""What keeps the promise in a cluster: journals that stay, drains that have time, a key that nobody loses."""

import inspect
from typing import Any

import pytest
import yaml

from smsbridge.gateway.settings import GatewaySettings
from smsbridge.hlr.settings import HlrSettings
from smsbridge.runtime import rpc, tasks
from smsbridge.sender.settings import SenderSettings
from smsbridge.status.settings import StatusSettings
from tests.chart import helm

ROLES = {"gateway", "sender", "status", "hlr"}
LONGER_SECONDS = 30


def default_of(function: Any, name: str) -> float:
    return float(inspect.signature(function).parameters[name].default)


def drain_seconds() -> dict[str, float]:
    """How long each role's `stop` may take, from the code's own limits."""
    gateway, sender, status, hlr = GatewaySettings(), SenderSettings(), StatusSettings(), HlrSettings()
    calls = default_of(rpc.RpcServer.stop, "grace_seconds")
    loops = default_of(tasks.Loops.stop, "grace_seconds")
    return {
        "gateway": gateway.stop_seconds * 2,  # posts, then loops
        "sender": calls + loops + sender.post_total_ms / 1000,  # calls, loops, batches in hand
        "status": status.stop_grace_seconds * 3,  # calls, loops, flights to portals
        "hlr": hlr.stop_grace_seconds,
    }


def seconds_to_stop(values: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """(preStop, grace) of each container that has a preStop."""
    return {
        container["name"]: (
            container["lifecycle"]["preStop"]["sleep"]["seconds"],
            pod["spec"]["terminationGracePeriodSeconds"],
        )
        for _, pod in helm.pods(helm.render(values))
        for container in pod["spec"]["containers"]
        if "lifecycle" in container
    }


@pytest.mark.parametrize("mode", ["split", "all"])
@pytest.mark.parametrize("pre_stop", [None, LONGER_SECONDS], ids=["by default", "with a longer preStop"])
def test_a_pod_has_time_to_drain(mode: str, pre_stop: int | None) -> None:
    seconds = helm.default_values()["pods"]["preStopSeconds"] if pre_stop is None else pre_stop
    found = seconds_to_stop({"mode": mode, "pods": {"preStopSeconds": seconds}})
    assert found.keys() == ROLES | {"operator"}
    assert {before for before, _ in found.values()} == {seconds}
    for role, needed in drain_seconds().items():
        assert found[role][1] > needed + seconds, role


def test_a_longer_pre_stop_takes_nothing_from_the_time_to_stop() -> None:
    usual, longer = seconds_to_stop({}), seconds_to_stop({"pods": {"preStopSeconds": LONGER_SECONDS}})
    assert {name: grace - seconds for name, (seconds, grace) in longer.items()} == {
        name: grace - seconds for name, (seconds, grace) in usual.items()
    }


@pytest.mark.parametrize("role", sorted(ROLES))
def test_in_one_pod_the_slowest_role_decides(role: str) -> None:
    found = seconds_to_stop({"mode": "all", role: {"terminationGracePeriodSeconds": 200}})
    for name in ROLES:
        seconds, grace = found[name]
        assert grace - seconds == 200


@pytest.mark.parametrize("ci", helm.CI)
def test_journals_and_data_stay(ci: str) -> None:
    for one in helm.of_kind(helm.render_ci(ci), "StatefulSet"):
        retention = one["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert retention == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        claims = [claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])]
        own = {volume["name"] for volume in one["spec"]["template"]["spec"]["volumes"]}
        journal_off = helm.ci_values(ci).get("gateway", {}).get("journal", {}).get("enabled") is False
        if "valkey" in helm.label(one):
            assert claims == ["data"]
        else:
            assert claims == ([] if journal_off else ["journal"])
            assert ("journal" in own) is journal_off
        mounted = {
            mount["name"]
            for c in one["spec"]["template"]["spec"]["containers"]
            for mount in c["volumeMounts"]
        }
        assert mounted <= own | set(claims)


def test_no_autoscaler_takes_a_gateway_away() -> None:
    on = {"enabled": True}
    values = {role: {"autoscaling": on} for role in sorted(ROLES)}
    objects = helm.render(values)
    scalers = {
        one["spec"]["scaleTargetRef"]["name"]: one for one in helm.of_kind(objects, "HorizontalPodAutoscaler")
    }
    assert set(scalers) == {f"smsbridge-{role}" for role in ROLES}
    assert scalers["smsbridge-gateway"]["spec"]["behavior"] == {"scaleDown": {"selectPolicy": "Disabled"}}


def test_what_is_scaled_begins_with_its_least_number() -> None:
    """Never without a number: the server would take 1 for it."""
    for role in ROLES:
        kind = "StatefulSet" if role == "gateway" else "Deployment"
        scaling = {"enabled": True, "minReplicas": 3}
        objects = helm.render({role: {"replicas": 5, "autoscaling": scaling}})
        assert helm.named(objects, kind, f"smsbridge-{role}")["spec"]["replicas"] == 3
    objects = helm.render({"sender": {"replicas": 5, "keda": {"enabled": True, "minReplicas": 0}}})
    assert helm.named(objects, "Deployment", "smsbridge-sender")["spec"]["replicas"] == 0


@pytest.mark.parametrize("ci", helm.CI)
def test_every_scaler_and_budget_has_its_target(ci: str) -> None:
    objects = helm.render_ci(ci)
    for one in helm.of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject"):
        target = one["spec"]["scaleTargetRef"]
        kind = target.get("kind", "Deployment")
        least = one["spec"].get("minReplicas", one["spec"].get("minReplicaCount"))
        assert helm.named(objects, kind, target["name"])["spec"]["replicas"] == least
        gateway = target["name"].endswith("-gateway")
        assert gateway is (kind == "StatefulSet")
        if gateway:
            assert one["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled"
    for one in helm.of_kind(objects, "PodDisruptionBudget", "Service"):
        selector = one["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        assert any(helm.selects(selector, pod["metadata"]["labels"]) for _, pod in helm.pods(objects))


def test_the_queue_is_asked_for_by_the_name_that_it_has() -> None:
    (scaled,) = helm.of_kind(helm.render_ci("all-options.yaml"), "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    page = (helm.CHART.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert "| `smsbridge_queue_depth_messages` | gauge | `namespace`, `provider`, `lane` |" in page
    assert trigger["metadata"]["query"].startswith(
        "sum(max by (namespace, provider, lane) (smsbridge_queue_depth_messages{"
    )
    service = trigger["metadata"]["query"].partition('service="')[2].partition('"')[0]
    helm.named(helm.render_ci("all-options.yaml"), "Service", service)


def test_the_master_key_is_made_by_a_hook_that_can_do_nothing_else() -> None:
    objects = helm.render()
    made = [one for one in objects if one["metadata"]["name"] == "smsbridge-master-key"]
    assert {one["kind"] for one in made} == {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "Job"}
    weights = {}
    for one in made:
        assert helm.annotation(one, "helm.sh/hook") == "pre-install,pre-upgrade"
        assert helm.annotation(one, "helm.sh/hook-delete-policy") == "before-hook-creation,hook-succeeded"
        weights[one["kind"]] = int(helm.annotation(one, "helm.sh/hook-weight"))
    assert weights.pop("Job") > max(weights.values())
    role = helm.named(objects, "Role", "smsbridge-master-key")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    (container,) = helm.named(objects, "Job", "smsbridge-master-key")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["command"] == ["smsbridge-operator"]
    assert container["args"] == ["make-key", "--namespace", "crm", "--secret", "smsbridge-master-key"]


@pytest.mark.parametrize("wide", [False, True], ids=["its own namespace", "all"])
def test_the_operator_has_the_rights_that_it_uses_and_no_others(wide: bool) -> None:
    objects = helm.render({"operator": {"clusterWide": wide}})
    (role,) = (
        one for one in helm.of_kind(objects, "Role", "ClusterRole") if "-operator" in one["metadata"]["name"]
    )
    rights = {
        resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]
    }  # one rule for each
    assert rights == {
        "smscproviders": {"list", "watch", "patch"},
        "smscproviders/status": {"patch"},
        "secrets": {"list", "watch"},
        "events": {"create"},
    }


@pytest.mark.parametrize(
    ("values", "secret"),
    [({}, "smsbridge-master-key"), ({"masterKey": {"existingSecret": "mine"}}, "mine")],
    ids=["made", "given"],
)
def test_every_role_and_the_operator_read_the_one_key(values: dict[str, Any], secret: str) -> None:
    objects = helm.render(values)
    readers = set()
    for _, pod in helm.pods(objects):
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "keys":
                assert volume["secret"]["secretName"] == secret
                readers.add(pod["metadata"]["labels"]["app.kubernetes.io/component"])
    assert readers == ROLES | {"operator"}
    assert bool(helm.of_kind(objects, "Job")) is (secret != "mine")


def test_the_definition_stays_and_is_upgraded_with_the_chart() -> None:
    kinds = (
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    )
    found = helm.of_kind(helm.render(), *kinds)
    assert sorted(one["kind"] for one in found) == sorted(kinds)
    for one in found:
        assert one["metadata"]["name"] == "smscproviders.smsbridge.dev"
        assert helm.annotation(one, "helm.sh/resource-policy") == "keep"
        assert helm.annotation(one, "helm.sh/hook") == ""
    assert helm.of_kind(helm.render({"crds": {"install": False}}), *kinds) == []


def test_the_definition_is_the_file_word_for_word() -> None:
    (crd,) = helm.of_kind(helm.render(), "CustomResourceDefinition")
    file = helm.CHART / "files" / "crd-smscproviders.yaml"
    made = yaml.safe_load(file.read_text(encoding="utf-8"))

    assert crd["spec"] == made["spec"]


def test_calls_between_roles_are_spread_by_their_clients() -> None:
    objects = helm.render()
    for role in ("sender", "status", "hlr"):
        spec = helm.named(objects, "Service", f"smsbridge-{role}")["spec"]
        assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", False)
    (container,) = helm.named(objects, "StatefulSet", "smsbridge-gateway")["spec"]["template"]["spec"][
        "containers"
    ]
    assert helm.environ(container)["SMSBRIDGE_ENDPOINTS__SENDER"] == "dns:///smsbridge-sender:7102"


@pytest.mark.parametrize("ci", helm.CI)
def test_names_and_labels_are_the_usual_ones(ci: str) -> None:
    for one in helm.render_ci(ci):
        labels = one["metadata"]["labels"]
        if one["kind"] != "Pod":
            assert {"name", "instance", "component", "part-of", "version", "managed-by"} <= {
                name.removeprefix("app.kubernetes.io/") for name in labels
            }, helm.label(one)
        assert len(one["metadata"]["name"]) <= 63
        if not one["kind"].startswith(("Cluster", "CustomResource", "Validating")):
            assert one["metadata"]["namespace"]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("smsbridge", "smsbridge-gateway"),
        ("prod", "prod-smsbridge-gateway"),
        ("a" * 53, "a" * 43 + "-gateway"),
    ],
    ids=["holds the chart's name", "another", "long"],
)
def test_names_of_objects(release: str, name: str) -> None:
    helm.named(helm.render(release=release), "StatefulSet", name)


def test_pods_of_a_workload_are_found_by_its_selector_alone() -> None:
    objects = helm.render_ci("sandbox.yaml")
    labels = {owner: pod["metadata"]["labels"] for owner, pod in helm.pods(objects)}
    for one in helm.of_kind(objects, "Deployment", "StatefulSet"):
        selector = one["spec"]["selector"]["matchLabels"]
        assert [owner for owner, own in labels.items() if helm.selects(selector, own)] == [helm.label(one)]


def test_monitoring_is_off_until_asked_for() -> None:
    kinds = {"ServiceMonitor", "PrometheusRule"}
    assert helm.of_kind(helm.render(), *kinds) == []
    objects = helm.render_ci("all-options.yaml")
    assert {one["kind"] for one in helm.of_kind(objects, *kinds)} == kinds
    (monitor,) = helm.of_kind(objects, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    watched = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in helm.of_kind(objects, "Service")
        if helm.selects(wanted, one["metadata"]["labels"])
    }
    assert watched == ROLES | {"operator"}


def test_the_notes_name_the_next_steps() -> None:
    notes = helm.render_texts(helm.ci_values("sandbox.yaml"))["smsbridge/templates/NOTES.txt"]
    assert "kubectl --namespace crm get smscproviders" in notes
    assert "One operator acts at a time" in notes
    assert "helm test smsbridge" in notes
    assert "Delete the providers before their namespace" in notes
