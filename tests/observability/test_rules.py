"""The chart's rules by promtool: well formed, and each alert fires where it should and only there."""

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability import prometheus

CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def title(rule: dict[str, Any]) -> str:
    """As its cases call it: an alert that looks back over several windows has cases for each of them."""
    return " ".join(filter(None, (rule["alert"], rule["labels"].get("window"))))


TITLES = sorted(title(rule) for rule in prometheus.rules() if "alert" in rule)


@functools.cache
def _tests() -> list[dict[str, Any]]:
    return [test for path in CASES for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]


def cases(beginning: str = "") -> list[dict[str, Any]]:
    """Those whose name begins so."""
    return [test for test in _tests() if test["name"].startswith(beginning)]


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


def test_rules_of_one_alert_differ_in_their_window() -> None:
    assert len(set(TITLES)) == len(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_each_alert_has_a_case_that_fires_and_one_that_does_not(title: str) -> None:
    firing, quiet = cases(f"{title} fires: "), cases(f"{title} is quiet: ")
    alert, _, window = title.partition(" ")

    assert firing
    assert quiet
    for asked in (asked for test in firing + quiet for asked in test["promql_expr_test"]):
        assert f'alertname="{alert}"' in asked["expr"]
        assert not window or f'window="{window}"' in asked["expr"]
    assert all(asked["exp_samples"] for test in firing for asked in test["promql_expr_test"])
    assert not any(asked["exp_samples"] for test in quiet for asked in test["promql_expr_test"])


def test_a_case_is_about_an_alert_that_exists() -> None:
    named = {re.split(r" fires: | is quiet: ", test["name"])[0] for test in cases()}

    assert sorted(named) == TITLES
