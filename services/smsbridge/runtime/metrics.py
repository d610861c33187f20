"""Prometheus text: of one registry, and of several processes put together under a label that names each.

And what all metrics of providers have in common: they go when their provider goes.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(registry: CollectorRegistry) -> bytes:
    return generate_latest(registry)


def merge(pages: Mapping[str, bytes], *, label: str = "role") -> bytes:
    """One page of several; each sample gets `label` with the page's name, unless it has one of that name.

    A metric that several pages have is described once, by the first of them.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for name, page in pages.items():
        addition = f'{label}="{name}"'
        described: set[str] = set()
        family = ""
        for line in page.decode().splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split(" ", 3)[2]
                if family not in heads or family in described:
                    heads.setdefault(family, []).append(line)
                    described.add(family)
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(_labelled(line, label=label, addition=addition))
    lines: list[str] = []
    for family, of_family in samples.items():
        lines += heads.get(family, [])
        lines += of_family
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _labelled(line: str, *, label: str, addition: str) -> str:
    brace, space = line.find("{"), line.find(" ")
    if brace == -1 or brace > space:
        return f"{line[:space]}{{{addition}}}{line[space:]}"
    labels = line[brace + 1 :]
    if labels.startswith(f'{label}="') or f',{label}="' in labels:
        return line
    comma = "" if labels.startswith("}") else ","
    return f"{line[:brace]}{{{addition}{comma}{labels}"


class OfProviders:
    """Metrics with the labels `namespace` and `provider`: nobody is to be alerted by what is gone, and names
    that come and go must not add up.
    """

    def __init__(self, *metrics: MetricWrapperBase) -> None:
        self._metrics = metrics
        self._known: frozenset[tuple[str, str]] = frozenset()
        self._gone: frozenset[tuple[str, str]] = frozenset()

    def keep(self, places: Iterable[tuple[str, str]]) -> None:
        """Forgets all but these (namespace, provider)."""
        wanted = frozenset(places)
        gone = self._known - wanted
        for namespace, provider in (gone | self._gone) - wanted:  # twice: work in hand may count once more
            for metric in self._metrics:
                metric.remove_by_labels({"namespace": namespace, "provider": provider})
        self._known, self._gone = wanted, gone
