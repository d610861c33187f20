"""Rules and dashboards come out of the chart as they lie in it."""

import json

import yaml

from tests.chart import helm

FILES = helm.CHART / "files"
ON = {
    "monitoring": {
        "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
    }
}


def rules() -> list[dict[str, object]]:
    return list(yaml.safe_load((FILES / "rules.yaml").read_text(encoding="utf-8"))["groups"])


def test_the_rules_are_those_of_the_file() -> None:
    (found,) = helm.of_kind(helm.render(ON), "PrometheusRule")

    assert found["metadata"]["labels"]["release"] == "prometheus"
    assert found["spec"]["groups"] == rules()


def test_alerts_lead_to_a_runbook_of_one_s_own() -> None:
    own = "https://wiki.example.com/runbook"
    values = {"monitoring": {"rules": {"enabled": True, "runbook": own}}}
    (found,) = helm.of_kind(helm.render(values), "PrometheusRule")
    alerts = [rule for group in found["spec"]["groups"] for rule in group["rules"] if "alert" in rule]

    assert {alert["annotations"]["runbook_url"] for alert in alerts} == {
        f"{own}#{alert['alert'].lower()}" for alert in alerts
    }


def test_each_dashboard_is_a_config_map_that_the_sidecar_finds() -> None:
    found = [
        one
        for one in helm.of_kind(helm.render(ON), "ConfigMap")
        if one["metadata"]["labels"].get("grafana_dashboard") == "1"
    ]
    texts = {name: text for one in found for name, text in one["data"].items()}
    kept = {path.name: path.read_text(encoding="utf-8") for path in (FILES / "dashboards").glob("*.json")}

    assert len(found) == len(kept) == 6
    assert {name: json.loads(text) for name, text in texts.items()} == {
        name: json.loads(text) for name, text in kept.items()
    }
