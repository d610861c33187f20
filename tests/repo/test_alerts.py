"""Every alert says how grave it is and leads to a heading of the runbook, and no heading is of none."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GROUPS = yaml.safe_load((ROOT / "charts/smsbridge/files/rules.yaml").read_text(encoding="utf-8"))["groups"]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
SECRETS = re.compile(r"\$labels\.(?!namespace|provider|lane|kind|reason|result|check|missing)")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def chapter(text: str, heading: str) -> str:
    _, _, after = text.partition(f"\n{heading}\n")
    return after.partition("\n## ")[0]


def test_the_runbook_has_a_heading_for_each_alert_and_for_no_other() -> None:
    headings = re.findall(r"^### (\S+)$", chapter(page("runbook.md"), "## Alerts"), flags=re.MULTILINE)

    assert sorted(headings) == NAMES


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_is_explained(rule: dict[str, Any]) -> None:
    told = rule["annotations"]

    assert re.fullmatch(r"Smsbridge[A-Z][A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert not told["summary"].endswith(".")
    assert told["description"].endswith(".")
    assert not SECRETS.search(told["summary"] + told["description"])


def test_the_table_of_alerts_is_whole() -> None:
    table = chapter(page("observability.md"), "## Alerts")
    listed = {
        name: set(re.findall(r"critical|warning|info", severities))
        for name, severities in re.findall(
            r"^\| \[(\w+)\]\(runbook\.md#\w+\) \| ([^|]+)\|", table, flags=re.MULTILINE
        )
    }
    severities: dict[str, set[str]] = {}
    for rule in ALERTS:
        severities.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])

    assert listed == severities
