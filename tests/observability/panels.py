"""The committed dashboards as they are asked: every panel's questions, with their variables filled in."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "charts" / "smsbridge" / "files" / "dashboards"


@dataclass(frozen=True, slots=True)
class Question:
    dashboard: str
    panel: str
    legend: str
    expr: str

    @property
    def name(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.legend}"


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable whose values are those of a label: of the series that `match` selects."""

    dashboard: str
    name: str
    match: str
    label: str


def pages() -> dict[str, dict[str, Any]]:
    """By file name without its ending."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in page["panels"] if panel["type"] != "row")


def questions() -> list[Question]:
    return [
        Question(name, panel["title"], target["legendFormat"], target["expr"])
        for name, page in pages().items()
        for panel in panels(page)
        for target in panel["targets"]
    ]


def choices() -> list[Choice]:
    """AssertionError for a query that is not `label_values(SERIES, LABEL)`."""
    found = []
    for name, page in pages().items():
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert asked, variable["query"]
                found.append(Choice(name, variable["name"], *asked.groups()))
    return found


def several(*values: str) -> str:
    """As Grafana writes a selection of several values into a question."""
    return "(" + "|".join(values) + ")"


def filled(expr: str, *, namespace: str = ".*", provider: str = ".*") -> str:
    values = {
        "$__rate_interval": "1m",
        "$__range": "10m",
        "$namespace": namespace,
        "$provider": provider,
    }
    for variable, value in values.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr
