"""NetworkPolicies: each selects pods that exist, and every way that a pod needs is open at both its ends."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart import helm

# Of the addresses that all are told, those that each one uses; `url` is the store's.
USED = {
    "gateway": {"url", "sender", "status", "hlr"},
    "sender": {"url", "status", "hlr"},
    "status": {"url", "sender", "hlr"},
    "hlr": {"url"},
    "operator": {"url", "sender", "status"},
    "tryout": {"url"},
}

pytestmark = pytest.mark.parametrize("ci", helm.CI)


def policies(ci: str) -> list[helm.Object]:
    return helm.of_kind(helm.render_ci(ci), "NetworkPolicy")


def labels_of_pods(ci: str) -> list[dict[str, str]]:
    return [pod["metadata"]["labels"] for _, pod in helm.pods(helm.render_ci(ci))]


def peers(policy: helm.Object) -> Iterator[dict[str, Any]]:
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in policy["spec"].get(direction) or []:
            yield from rule.get(side) or []


def policy_of(ci: str, labels: dict[str, str]) -> helm.Object:
    (found,) = (
        one for one in policies(ci) if helm.selects(one["spec"]["podSelector"]["matchLabels"], labels)
    )
    return found


def is_open(policy: helm.Object, direction: str, labels: dict[str, str], port: int) -> bool:
    side = "from" if direction == "ingress" else "to"
    for rule in policy["spec"].get(direction) or []:
        if port in [one["port"] for one in rule["ports"]]:
            selectors = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule.get(side) or []]
            if not selectors or any(helm.selects(one, labels) for one in selectors):
                return True
    return False


def test_every_pod_has_one_policy_and_every_policy_a_pod(ci: str) -> None:
    known = labels_of_pods(ci)
    for labels in known:
        policy_of(ci, labels)
    for policy in policies(ci):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert any(helm.selects(policy["spec"]["podSelector"]["matchLabels"], one) for one in known)


def test_every_peer_in_the_release_exists(ci: str) -> None:
    known = labels_of_pods(ci)
    for policy in policies(ci):
        for peer in peers(policy):
            if "podSelector" in peer:
                selector = peer["podSelector"]["matchLabels"]
                assert any(helm.selects(selector, one) for one in known), helm.label(policy)


def test_what_the_roles_are_told_to_call_is_open_at_both_ends(ci: str) -> None:
    """The store and the roles' gRPC, as the environment names them."""
    objects = helm.render_ci(ci)
    services = {one["metadata"]["name"]: one["spec"] for one in helm.of_kind(objects, "Service")}
    seen = 0
    for owner, pod in helm.pods(objects):
        caller = pod["metadata"]["labels"]
        for container in pod["spec"]["containers"]:
            for name, value in helm.environ(container).items():
                host, _, port = value.removeprefix("dns:///").removeprefix("redis://").partition(":")
                if host not in services or name.rpartition("__")[2].lower() not in USED[container["name"]]:
                    continue
                number = int(port.partition("/")[0])
                callee = next(
                    one for one in labels_of_pods(ci) if helm.selects(services[host]["selector"], one)
                )
                assert is_open(policy_of(ci, caller), "egress", callee, number), f"{owner}: {name}"
                assert is_open(policy_of(ci, callee), "ingress", caller, number), f"{owner}: {name}"
                seen += 1
    assert seen >= 2


def test_services_do_not_reach_the_api_server(ci: str) -> None:
    """It has private addresses: what may go to the internet may not go to these, and to no other 443."""
    for _, pod in helm.pods(helm.render_ci(ci)):
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        policy = policy_of(ci, pod["metadata"]["labels"])
        for rule in policy["spec"].get("egress") or []:
            ports = [one["port"] for one in rule["ports"]]
            if 443 not in ports:
                assert 6443 not in ports
                continue
            if not rule.get("to"):
                assert component in ("operator", "master-key")
                continue
            excepted = {net for peer in rule["to"] for net in peer["ipBlock"]["except"]}
            assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= excepted


def test_the_cluster_may_have_other_ports(ci: str) -> None:
    """The policy is asked about the port of the pod behind the Service, which differs between clusters."""
    values = helm.ci_values(ci)
    values["networkPolicy"] = {"apiServerPorts": [443, 16443], "dnsPorts": [53, 5353]}
    seen = set()
    for policy in helm.of_kind(helm.render(values), "NetworkPolicy"):
        component = policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        open_ports = {
            (port["protocol"], port["port"])
            for rule in policy["spec"].get("egress") or []
            if not rule.get("to")
            for port in rule["ports"]
        }
        dns = {(protocol, port) for protocol in ("UDP", "TCP") for port in (53, 5353)}
        api = {("TCP", 443), ("TCP", 16443)}
        assert ("TCP", 6443) not in open_ports
        assert (open_ports & dns) == (set() if component == "valkey" else dns)
        assert (open_ports & api) == (api if component in ("operator", "master-key") else set())
        seen.add(component)
    assert "operator" in seen
    assert ("master-key" in seen) is ("masterKey" not in values)


def test_the_store_is_reached_by_the_release_alone(ci: str) -> None:
    for policy in policies(ci):
        if policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "valkey":
            assert not policy["spec"].get("egress")
            for rule in policy["spec"]["ingress"]:
                assert [one["port"] for one in rule["ports"]] == [6379]
                assert all(peer.keys() == {"podSelector"} for peer in rule["from"])
