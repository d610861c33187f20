"""What all dashboards share: their variables, the forms of panels, and how figures are asked for.

Panels flow from left to right in a grid of 24 columns. Every panel says what it shows and what to make of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard as dashboards
from grafana_foundation_sdk.models import units

SECONDS, SHARE, NUMBER, ROUBLES, BYTES = (
    units.Seconds,
    units.PercentUnit,
    units.Short,
    units.Rubles,
    units.BytesIEC,
)
PER_SECOND, REQUESTS_PER_SECOND, YES_NO = "suffix:/s", units.RequestsPerSecond, units.BoolYesNo
_SOURCE = dashboards.DataSourceRef(type_val="prometheus", uid="${datasource}")
_WIDTH = 24
_CHOSEN = ('namespace=~"$namespace"', 'provider=~"$provider"')


@dataclass(frozen=True, slots=True)
class Query:
    """`legend`: Grafana's form, with {{label}}."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`kind`: series, stat, bars or states. `good` and `bad`: from which value on it is green, or red."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: str = "series"
    width: int = 12
    height: int = 8
    most: float | None = None
    stacked: bool = False
    decimals: int | None = None
    steps: Sequence[tuple[float | None, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    title: str
    description: str
    rows: Sequence[Row]


def own(metric: str, *more: str) -> str:
    """Of the providers that are chosen above."""
    return metric + "{" + ", ".join((*_CHOSEN, *more)) + "}"


def rate(metric: str, by: str, *more: str) -> str:
    """A second, of a counter that each process keeps for its providers: replicas add up."""
    return f"sum by ({by}) (rate({own(metric, *more)}[$__rate_interval]))"


def increase(metric: str, by: str, window: str) -> str:
    """Within the window, of a counter that each process keeps for its providers."""
    return f"sum by ({by}) (increase({own(metric)}[{window}]))"


def rate_of_all(metric: str, by: str, *more: str) -> str:
    """A second, of a counter without providers."""
    chosen = "{" + ", ".join(more) + "}" if more else ""
    return f"sum by ({by}) (rate({metric}{chosen}[$__rate_interval]))"


def stored(metric: str, by: str, *more: str, over: str = "rate", window: str = "$__rate_interval") -> str:
    """Of a counter that the store keeps: every replica shows the same."""
    inner = ", ".join(dict.fromkeys(("namespace", "provider", *_names(by))))
    return f"sum by ({by}) (max by ({inner}) ({over}({own(metric, *more)}[{window}])))"


def stored_quantile(share: float, metric: str, by: str, *more: str) -> str:
    inner = ", ".join(dict.fromkeys(("namespace", "provider", *_names(by), "le")))
    buckets = f"max by ({inner}) (rate({own(f'{metric}_bucket', *more)}[$__rate_interval]))"
    return f"histogram_quantile({share}, sum by ({', '.join((*_names(by), 'le'))}) ({buckets}))"


def quantile(share: float, metric: str, by: str, selector: str = "") -> str:
    """Of a histogram that each process keeps."""
    buckets = f"rate({metric}_bucket{selector}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({', '.join((*_names(by), 'le'))}) ({buckets}))"


def shown(metric: str, by: str = "namespace, provider", *more: str) -> str:
    """A gauge of the store's: every replica shows the same."""
    return f"max by ({by}) ({own(metric, *more)})"


def _names(by: str) -> list[str]:
    return [name.strip() for name in by.split(",") if name.strip()]


def render(page: Page) -> dashboards.Dashboard:
    made = (
        dashboard.Dashboard(f"smsbridge: {page.title}")
        .uid(f"smsbridge-{page.name}")
        .description(page.description)
        .tags(["smsbridge"])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(dashboards.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("smsbridge")
            .type(dashboards.DashboardLinkType.DASHBOARDS)
            .tags(["smsbridge"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for variable in _variables():
        made = made.with_variable(variable)
    top, number = 0, 0
    for row in page.rows:
        made = made.with_row(dashboard.Row(row.title).grid_pos(dashboards.GridPos(h=1, w=_WIDTH, x=0, y=top)))
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _WIDTH:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            place = dashboards.GridPos(h=panel.height, w=panel.width, x=left, y=top)
            made = made.with_panel(_panel(panel).id(number).grid_pos(place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made.build()


def _variables() -> list[Any]:
    def of_label(name: str, title: str, query: str) -> Any:
        return (
            dashboard.QueryVariable(name)
            .label(title)
            .datasource(_SOURCE)
            .query({"qryType": 1, "query": query, "refId": name})
            .refresh(dashboards.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboards.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(dashboards.VariableOption(text="All", value="$__all"))
        )

    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        of_label("namespace", "Namespace", "label_values(smsbridge_provider_ready, namespace)"),
        of_label(
            "provider",
            "Provider",
            'label_values(smsbridge_provider_ready{namespace=~"$namespace"}, provider)',
        ),
    ]


def _panel(panel: Panel) -> Any:
    made = {"series": _series, "stat": _stat, "bars": _bars, "states": _states}[panel.kind](panel)
    made = made.title(panel.title).description(panel.description).unit(panel.unit).datasource(_SOURCE)
    if panel.decimals is not None:
        made = made.decimals(panel.decimals)
    if panel.most is not None:
        made = made.max(panel.most)
    if panel.steps:
        steps = [dashboards.Threshold(value=value, color=color) for value, color in panel.steps]
        mode = dashboards.ThresholdsMode.ABSOLUTE
        made = made.thresholds(dashboard.ThresholdsConfig().mode(mode).steps(steps))
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        asked = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        asked = asked.datasource(_SOURCE)
        made = made.with_target(asked.instant() if panel.kind in ("stat", "bars") else asked.range())
    return made


def _series(panel: Panel) -> Any:
    made = (
        timeseries.Panel()
        .min(0)
        .line_width(1)
        .fill_opacity(10 if not panel.stacked else 40)
        .show_points(models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING)
        )
    )
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL).group("A"))
    return made


def _last() -> Any:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _stat(panel: Panel) -> Any:
    return (
        stat.Panel()
        .reduce_options(_last())
        .graph_mode(models.BigValueGraphMode.NONE)
        .color_mode(models.BigValueColorMode.VALUE)
        .no_value("-")
    )


def _bars(panel: Panel) -> Any:
    return (
        bargauge.Panel()
        .reduce_options(_last())
        .orientation(models.VizOrientation.HORIZONTAL)
        .display_mode(models.BarGaugeDisplayMode.BASIC)
        .min(0)
    )


def _states(panel: Panel) -> Any:
    made = statetimeline.Panel().show_value(models.VisibilityMode.NEVER).row_height(0.8)
    return made.line_width(0).fill_opacity(70)
