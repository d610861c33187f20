"""The dashboards of the chart: as the code makes them, fit for Grafana, explained, of metrics that exist."""

import copy
from typing import Any

import pytest

from charts import generate_dashboards
from tests.observability import metrics, panels, prometheus, schema

PAGES = panels.pages()
WIDTH = 24
each_page = pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))


def test_they_are_what_the_code_makes() -> None:
    made = generate_dashboards.render()
    kept = {path.name: path.read_text("utf-8") for path in panels.FOLDER.iterdir()}

    assert sorted(kept) == sorted(made)
    assert [name for name in made if kept[name] != made[name]] == []


def test_they_are_the_ones_that_were_wanted() -> None:
    assert set(PAGES) == {"overview", "delivery", "batches", "bitrix24", "numbers", "operator"}
    assert len({page["uid"] for page in PAGES.values()}) == len(PAGES)


@each_page
def test_grafana_s_schema_knows_everything_in_them(page: dict[str, Any]) -> None:
    assert schema.faults(page) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("panels.1.type", "nonsense"),
        ("panels.1.unheard", 1),
        ("panels.1.gridPos", 7),
        ("panels.1.gridPos.w", "wide"),
        ("panels.1.options.colorMode", "purple"),
        ("panels.1.options.reduceOptions.calcs", "lastNotNull"),
        ("panels.1.fieldConfig.defaults.unit", 5),
        ("panels.1.fieldConfig.defaults.decimals", True),
        ("panels.1.fieldConfig.defaults.thresholds.mode", "foo"),
        ("panels.1.fieldConfig.defaults.thresholds.steps.0.color", None),
        ("panels.1.targets.0.expr", 5),
        ("panels.1.datasource.type", "nonsense"),
        ("panels.7.type", "panel"),
        ("panels.8.fieldConfig.defaults.custom.showPoints", "sometimes"),
        ("templating.list.1.type", "nonsense"),
        ("templating.list.1.query", 7),
        ("templating.list.1.refresh", 99),
        ("templating.list.1.multi", "yes"),
        ("graphTooltip", True),
        ("schemaVersion", "41"),
    ],
)
def test_what_grafana_would_not_read_is_found(path: str, value: object) -> None:
    page = copy.deepcopy(PAGES["overview"])
    *way, last = path.split(".")
    place: Any = page
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = value

    assert schema.faults(page)


@each_page
def test_every_panel_says_what_it_shows_and_in_which_unit(page: dict[str, Any]) -> None:
    for panel in panels.panels(page):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]


@each_page
def test_panels_have_a_place_and_an_id_of_their_own(page: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in panels.panels(page)]
    assert len(ids) == len(set(ids))


@each_page
def test_namespace_and_provider_can_be_chosen(page: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in page["templating"]["list"]}

    assert list(variables) == ["datasource", "namespace", "provider"]
    for panel in panels.panels(page):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            for metric in metrics.named(target["expr"]):
                labels = metrics.listed()[metric]
                if {"namespace", "provider"} <= labels:
                    assert 'provider=~"$provider"' in target["expr"], panel["title"]


@pytest.mark.parametrize("choice", panels.choices(), ids=lambda one: f"{one.dashboard} / {one.name}")
def test_variables_ask_for_metrics_and_labels_that_exist(choice: panels.Choice) -> None:
    assert metrics.unknown(f"count by ({choice.label}) ({choice.match})") == set()
    assert metrics.named(choice.match)
    assert choice.label == choice.name


@pytest.mark.parametrize("question", panels.questions(), ids=lambda one: one.name)
def test_panels_ask_for_metrics_and_labels_that_exist(question: panels.Question) -> None:
    assert metrics.unknown(question.expr) == set()


def test_rules_ask_for_metrics_and_labels_that_exist() -> None:
    recorded = {rule["record"] for rule in prometheus.rules() if "record" in rule}
    for rule in prometheus.rules():
        assert metrics.unknown(rule["expr"]) == set()
        assert metrics.recorded(rule["expr"]) <= recorded


def test_every_metric_is_asked_for_somewhere() -> None:
    """But a few, for people who look at the page itself. A new one gets a panel in charts/dashboards."""
    asked = {metric for question in panels.questions() for metric in metrics.named(question.expr)}
    asked |= {metric for rule in prometheus.rules() for metric in metrics.named(rule["expr"])}

    assert set(metrics.listed()) - asked == {
        "smsbridge_gateway_call_items",
        "smsbridge_supervisor_child_up",
    }
