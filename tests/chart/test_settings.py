"""What containers are told exists: settings by environment, commands by arguments."""

from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from smsbridge import cli
from smsbridge.runtime import addresses
from smsbridge.targets import settings as target_settings
from smsbridge_operator import main as operator_main
from smsbridge_operator import settings as operator_settings
from tests.chart import helm


def load(container: helm.Object) -> BaseModel:
    """The settings that a container would start with. Raises ConfigError for one that is unknown or wrong."""
    if container["name"] == "operator":
        return operator_settings.load(None, helm.environ(container))
    return target_settings.load(None, helm.environ(container))


@pytest.mark.parametrize("ci", helm.CI)
def test_every_variable_is_a_setting(ci: str) -> None:
    checked = []
    for owner, container in helm.containers(helm.render_ci(ci)):
        assert all(name.startswith("SMSBRIDGE_") and "__" in name for name in helm.environ(container)), owner
        load(container)
        checked.append(container["name"])
    in_pods = {"gateway", "sender", "status", "hlr", "operator"}
    assert in_pods <= set(checked)


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
        "account.login_probes_seconds": [30, 120],
        "egress.blocked_seconds": [60],
        "store.times.record_kept_ms": 2592000000,
        "account.sends": 6,
    }
    objects = helm.render({"settings": given, "operator": {"settings": {"account.sends": 7}}})
    environ = {
        one["name"]: helm.environ(one) for _, one in helm.containers(objects) if one["name"] != "valkey"
    }

    loaded = target_settings.load(None, environ["sender"])
    assert loaded.sender.default_region == "KZ"
    assert loaded.account.login_probes_seconds == (30, 120)
    assert loaded.egress.blocked_seconds == (60,)
    assert loaded.store.times.record_kept_ms == 2592000000
    assert loaded.account.sends == 6
    assert environ["operator"]["SMSBRIDGE_ACCOUNT__SENDS"] == "7"
    assert environ["operator"]["SMSBRIDGE_EGRESS__BLOCKED_SECONDS"] == "[60]"
    assert environ["operator"]["SMSBRIDGE_STORE__TIMES__RECORD_KEPT_MS"] == "2592000000"
    assert [name for name in environ["operator"] if "SENDER" in name] == ["SMSBRIDGE_ENDPOINTS__SENDER"]


@pytest.mark.parametrize(
    ("values", "namespaces", "cluster_wide"),
    [
        ({}, ["crm"], False),
        ({"namespaces": ["a", "b"]}, ["a", "b"], False),
        ({"namespaces": ["a"], "clusterWide": True}, [], True),
    ],
    ids=["its own", "a list", "all"],
)
def test_the_operator_is_told_what_it_may_see(
    values: dict[str, Any], namespaces: list[str], cluster_wide: bool
) -> None:
    operator = helm.named(helm.render({"operator": values}), "Deployment", "smsbridge-operator")
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    loaded = operator_settings.load(None, helm.environ(container)).operator

    assert (loaded.namespaces, loaded.cluster_wide) == (namespaces, cluster_wide)


@pytest.mark.parametrize("ci", helm.CI)
def test_every_command_line_is_one_that_exists(ci: str) -> None:
    programs = {"smsbridge": cli.app, "smsbridge-operator": operator_main.app}
    seen = set()
    for _, container in helm.containers(helm.render_ci(ci)):
        program = container.get("command", ["smsbridge"])[0]
        if program not in programs or not container.get("args"):
            continue
        name, *arguments = container["args"]
        found = typer.main.get_command(programs[program]).commands[name]  # type: ignore[attr-defined]
        found.make_context(name, list(arguments)).close()  # a usage error for an unknown option or target
        seen.add(name)
    own_key = "masterKey" in helm.ci_values(ci)
    assert ("run" in seen, "make-key" in seen) == (True, not own_key)
