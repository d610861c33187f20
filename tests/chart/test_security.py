"""What a security reviewer asks of the rendered objects, for every file of values in the chart's ci/."""

import base64
import re

import pytest

from tests.chart import helm

pytestmark = pytest.mark.parametrize("ci", helm.CI)
SERVICE_COMPONENTS = {"gateway", "sender", "status", "hlr", "all", "valkey", "sandbox", "tryout"}
WITH_TOKEN = {"operator", "master-key"}


def test_no_pod_runs_as_root(ci: str) -> None:
    for owner, pod in helm.pods(helm.render_ci(ci)):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, owner
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001,) * 3, owner
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        for name in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
            assert not pod["spec"].get(name), owner


def test_every_container_is_locked_down(ci: str) -> None:
    for owner, container in helm.containers(helm.render_ci(ci)):
        assert container["securityContext"] == {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, owner


def test_every_container_has_requests_and_limits(ci: str) -> None:
    for owner, container in helm.containers(helm.render_ci(ci)):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), owner
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), owner


def test_no_volume_is_the_nodes_own(ci: str) -> None:
    for owner, pod in helm.pods(helm.render_ci(ci)):
        kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "configMap"}, owner


def test_only_the_operator_and_the_keys_job_talk_to_the_api_server(ci: str) -> None:
    objects = helm.render_ci(ci)
    accounts = {one["metadata"]["name"]: one for one in helm.of_kind(objects, "ServiceAccount")}
    bound = {
        subject["name"]
        for binding in helm.of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        for subject in binding["subjects"]
    }
    for owner, pod in helm.pods(objects):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        assert component in SERVICE_COMPONENTS | WITH_TOKEN, owner
        assert pod["spec"]["automountServiceAccountToken"] is (component in WITH_TOKEN), owner
        account = pod["spec"]["serviceAccountName"]
        assert accounts[account]["automountServiceAccountToken"] is False, owner
        assert (account in bound) is (component in WITH_TOKEN), owner


def test_no_right_is_a_wildcard_and_each_is_needed(ci: str) -> None:
    rules = [
        (rule["apiGroups"], resource, sorted(rule["verbs"]))
        for role in helm.of_kind(helm.render_ci(ci), "Role", "ClusterRole")
        for rule in role["rules"]
        for resource in rule["resources"]
    ]
    assert rules
    allowed = [
        (["smsbridge.dev"], "smscproviders", ["list", "patch", "watch"]),
        (["smsbridge.dev"], "smscproviders/status", ["patch"]),
        ([""], "secrets", ["list", "watch"]),
        ([""], "events", ["create"]),
        ([""], "secrets", ["create"]),
    ]
    assert [rule for rule in rules if rule not in allowed] == []


def test_secrets_are_read_only_where_the_resources_live(ci: str) -> None:
    values = helm.ci_values(ci).get("operator", {})
    wide = helm.of_kind(helm.render_ci(ci), "ClusterRole", "ClusterRoleBinding")
    if values.get("clusterWide"):
        assert len(wide) == 2
        return
    assert wide == []
    readers = {
        role["metadata"]["namespace"]
        for role in helm.of_kind(helm.render_ci(ci), "Role")
        if any("secrets" in rule["resources"] and "list" in rule["verbs"] for rule in role["rules"])
    }
    assert readers == set(values.get("namespaces") or [helm.NAMESPACE])


def test_a_binding_leads_to_a_role_and_an_account_that_exist(ci: str) -> None:
    objects = helm.render_ci(ci)
    for binding in helm.of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        role = helm.named(
            [
                one
                for one in objects
                if one["metadata"].get("namespace") == binding["metadata"].get("namespace")
            ],
            binding["roleRef"]["kind"],
            binding["roleRef"]["name"],
        )
        assert binding["kind"] == f"{role['kind']}Binding"
        for subject in binding["subjects"]:
            account = helm.named(objects, "ServiceAccount", subject["name"])
            assert account["metadata"]["namespace"] == subject["namespace"]


def test_the_ingress_leads_to_the_public_doors_alone(ci: str) -> None:
    objects = helm.render_ci(ci)
    ingresses = helm.of_kind(objects, "Ingress")
    assert bool(ingresses) is bool(helm.ci_values(ci).get("ingress", {}).get("enabled"))
    for ingress in ingresses:
        assert "defaultBackend" not in ingress["spec"]
        hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
        assert hosts == {host for one in ingress["spec"]["tls"] for host in one["hosts"]}
        for rule in ingress["spec"]["rules"]:
            paths = [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
            assert paths == [("/bitrix24/", "Prefix"), ("/smsc/", "Prefix")]
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                (port,) = helm.named(objects, "Service", backend["name"])["spec"]["ports"]
                assert (backend["port"], port["targetPort"]) == ({"name": port["name"]}, 8080)


def test_no_service_but_the_doors_leaves_the_cluster(ci: str) -> None:
    for service in helm.of_kind(helm.render_ci(ci), "Service"):
        if not service["metadata"]["name"].endswith("-gateway"):
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_no_object_holds_the_master_key(ci: str) -> None:
    """Neither by its name nor as 32 bytes in base64, which the store's password (40 letters) is not."""
    objects = helm.render_ci(ci)
    for secret in helm.of_kind(objects, "Secret"):
        assert "master" not in helm.label(secret)
        held = {**(secret.get("stringData") or {}), **(secret.get("data") or {})}
        assert "master.key" not in held
        for text in held.values():
            assert not re.fullmatch(
                r"[A-Za-z0-9+/]{43}=", base64.b64decode(text + "==").decode(errors="replace")
            )
    for map_ in helm.of_kind(objects, "ConfigMap"):
        assert "requirepass" not in str(map_["data"])


def test_no_password_stands_in_a_pod(ci: str) -> None:
    for owner, container in helm.containers(helm.render_ci(ci)):
        for name, value in helm.environ(container).items():
            if "PASSWORD" in name or "SECRET" in name:
                assert value == "from Secret", owner
        line = " ".join([*container.get("command", []), *container.get("args", [])])
        assert not re.search("requirepass|password|secret-", line), owner
