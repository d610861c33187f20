"""The chart's rules by promtool: well formed, and each alert fires where it should and only there."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.observability import prometheus

CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))
ALERTS = sorted({rule["alert"] for rule in prometheus.rules() if "alert" in rule})


def promtool(*arguments: str | Path) -> str:
    """What it says; fails with that where it is not content."""
    done = subprocess.run(
        [prometheus.program("promtool"), *arguments], capture_output=True, text=True, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return told


def test_the_rules_are_well_formed() -> None:
    assert f"{len(prometheus.rules())} rules found" in promtool("check", "rules", prometheus.RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_alerts_fire_where_they_should(case: Path) -> None:
    assert "FAILED" not in promtool("test", "rules", case)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(alert: str) -> None:
    names = [test["name"] for path in CASES for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]

    assert [name for name in names if name.startswith(f"{alert} fires: ")]
    assert [name for name in names if name.startswith(f"{alert} is quiet: ")]


def test_a_case_is_about_an_alert_that_exists() -> None:
    names = {
        test["name"].split()[0] for path in CASES for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
    }
    assert sorted(names) == ALERTS
