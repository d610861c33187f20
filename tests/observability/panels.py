"""The committed dashboards as they are asked: every panel's questions, with their variables filled in."""

import json
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
