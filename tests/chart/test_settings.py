"""What containers are told exists: settings by environment, commands by arguments."""

import json
from typing import Any

import pytest
import typer.main

from smsbridge import cli
from smsbridge.runtime import addresses
from smsbridge.targets import settings as target_settings
from tests.chart import helm

OPERATOR_SECTIONS = {
    "process", "logging", "store", "endpoints", "provisioning", "account", "portal", "smsc", "operator"
}  # fmt: skip


def split_operator(environ: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What the operator shares with the roles, and what is its own."""
    own = {name: value for name, value in environ.items() if name.startswith("SMSBRIDGE_OPERATOR__")}
    return {name: value for name, value in environ.items() if name not in own}, own


def load_operator_settings(own: dict[str, str]) -> None:
    """The operator's own section: to be loaded with its model as soon as there is one. Until then by name."""
    known = {"namespaces", "cluster_wide", "lease_seconds", "status_seconds", "queue_poll_seconds"}
    assert {name.removeprefix("SMSBRIDGE_OPERATOR__").lower() for name in own} <= known


@pytest.mark.parametrize("ci", helm.CI)
def test_every_variable_is_a_setting(ci: str) -> None:
    checked = []
    for owner, container in helm.containers(helm.render_ci(ci)):
        environ = helm.environ(container)
        if container["name"] == "operator":
            environ, own = split_operator(environ)
            load_operator_settings(own)
            sections = {name.removeprefix("SMSBRIDGE_").partition("__")[0].lower() for name in environ}
            assert sections <= OPERATOR_SECTIONS
        assert all(name.startswith("SMSBRIDGE_") and "__" in name for name in environ), owner
        target_settings.load(None, environ)  # ConfigError for one that is unknown or of a wrong type
        checked.append(container["name"])
    assert {"gateway", "sender", "status", "hlr", "operator"} <= set(checked)


@pytest.mark.parametrize("ci", helm.CI)
def test_a_role_listens_where_its_probes_and_services_look(ci: str) -> None:
    objects = helm.render_ci(ci)
    in_pods: dict[str, list[int]] = {}
    for owner, container in helm.containers(objects):
        if container["name"] not in {"gateway", "sender", "status", "hlr"}:
            continue
        loaded = target_settings.load(None, helm.environ(container))
        internal = addresses.split(loaded.process.internal)
        server = addresses.split(getattr(loaded, container["name"]).listen)
        assert internal[0] == server[0] == "0.0.0.0"  # noqa: S104 - in a pod
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] == internal[1], owner
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
        listening = [one["containerPort"] for one in container["ports"]]
        assert listening == [server[1], internal[1]]
        in_pods.setdefault(owner.rpartition("/")[0], []).extend(listening)
    for owner, ports in in_pods.items():
        assert len(ports) == len(set(ports)), f"{owner}: two containers of a pod listen on one port"
    offered = {port for ports in in_pods.values() for port in ports}
    for service in helm.of_kind(objects, "Service"):
        if service["metadata"]["labels"]["app.kubernetes.io/component"] in {
            "gateway",
            "sender",
            "status",
            "hlr",
        }:
            assert {one.get("targetPort", one["port"]) for one in service["spec"]["ports"]} <= offered


def test_settings_reach_the_roles_and_those_that_it_knows_the_operator() -> None:
    given = {
        "sender.default_region": "KZ",
        "sender.login_probes_seconds": [30, 120],
        "store.times.record_kept_ms": 2592000000,
        "account.sends": 6,
    }
    objects = helm.render({"settings": given, "operator": {"settings": {"account.sends": 7}}})
    environ = {
        one["name"]: helm.environ(one) for _, one in helm.containers(objects) if one["name"] != "valkey"
    }

    loaded = target_settings.load(None, environ["sender"])
    assert loaded.sender.default_region == "KZ"
    assert loaded.sender.login_probes_seconds == (30, 120)
    assert loaded.store.times.record_kept_ms == 2592000000
    assert loaded.account.sends == 6
    assert environ["operator"]["SMSBRIDGE_ACCOUNT__SENDS"] == "7"
    assert environ["operator"]["SMSBRIDGE_STORE__TIMES__RECORD_KEPT_MS"] == "2592000000"
    assert [name for name in environ["operator"] if "SENDER" in name] == ["SMSBRIDGE_ENDPOINTS__SENDER"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, {"SMSBRIDGE_OPERATOR__NAMESPACES": ["crm"]}),
        ({"namespaces": ["a", "b"]}, {"SMSBRIDGE_OPERATOR__NAMESPACES": ["a", "b"]}),
        ({"namespaces": ["a"], "clusterWide": True}, {"SMSBRIDGE_OPERATOR__CLUSTER_WIDE": True}),
    ],
    ids=["its own", "a list", "all"],
)
def test_the_operator_is_told_what_it_may_see(values: dict[str, Any], told: dict[str, Any]) -> None:
    operator = helm.named(helm.render({"operator": values}), "Deployment", "smsbridge-operator")
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    _, own = split_operator(helm.environ(container))

    assert {name: json.loads(value) for name, value in own.items()} == told


@pytest.mark.parametrize("ci", helm.CI)
def test_every_command_line_is_one_that_exists(ci: str) -> None:
    command = typer.main.get_command(cli.app)
    seen = set()
    for _, container in helm.containers(helm.render_ci(ci)):
        if "command" in container or "args" not in container:
            continue
        name, *arguments = container["args"]
        found = command.commands[name]  # type: ignore[attr-defined]
        found.make_context(name, list(arguments)).close()  # a usage error for an unknown option or target
        seen.add(name)
    assert "run" in seen
