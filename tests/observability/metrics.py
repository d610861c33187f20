"""Which metrics and labels an expression names, and which there are by docs/metrics.md."""

import functools
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(smsbridge_\w+)` \| (\w+) \|([^|]*)\|", flags=re.MULTILINE)
_NAME = re.compile(r"(?<![:\w])(smsbridge_\w+)")
_SELECTOR = re.compile(r"(?<![:\w])(smsbridge_\w+)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|on|without) \(([^)]*)\)")
# What Prometheus and `run all` add, and what label_replace makes.
_GIVEN = {"le", "role", "instance", "job", "missing", "__name__"}


@functools.cache
def listed() -> dict[str, frozenset[str]]:
    """Labels by name."""
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, _, labels in found}


@functools.cache
def _histograms() -> frozenset[str]:
    return frozenset(name for name, kind, _ in _ROW.findall(PAGE.read_text("utf-8")) if kind == "histogram")


def _metric(name: str) -> str:
    """Of a series: a histogram's series have endings of their own."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in _histograms() else name


def _without_texts(expr: str) -> str:
    return re.sub(r'"[^"]*"', '""', expr)


def named(expr: str) -> set[str]:
    return {_metric(name) for name in _NAME.findall(_without_texts(expr))}


def recorded(expr: str) -> set[str]:
    """Names that recording rules make."""
    return set(re.findall(r"\bsmsbridge:[\w:]+", _without_texts(expr)))


def unknown(expr: str) -> set[str]:
    """Metrics that are not listed, labels that their metrics have not, groupings that no metric here has."""
    text = _without_texts(expr)
    wrong = {name for name in named(expr) if name not in listed()}
    known = {name for name in named(expr) if name in listed()}
    for name, inside in _SELECTOR.findall(text):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
        wrong |= {f"{name}: {label}" for label in labels - listed().get(_metric(name), frozenset()) - _GIVEN}
    of_any = {label for name in known for label in listed()[name]} | _GIVEN
    if known:
        groups = {label.strip() for group in _GROUPING.findall(text) for label in group.split(",")}
        wrong |= {f"by {label}" for label in groups - of_any - {""}}
    return wrong
