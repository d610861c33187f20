"""How old messages were when they reached a stage, as the store counts it: histograms, kept through restarts.

Every replica shows the same figures: take the maximum, not the sum.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from smsbridge.core.provider import Provider
from smsbridge.store.delivery import LedgerView
from smsbridge.store.scripts import AGE_BOUNDS_MS

_PROVIDER = ("namespace", "provider")


@dataclass(frozen=True, slots=True)
class _Stage:
    """`word` is the store's; `label` tells its figures apart, or is empty."""

    word: str
    name: str
    label: str
    text: str


_STAGES = (
    _Stage("smsc", "smsbridge_time_to_smsc_seconds", "lane", "From the door until SMSC had accepted it."),
    _Stage(
        "delivered",
        "smsbridge_time_to_delivered_seconds",
        "channel",
        "From the door until we knew that it was delivered.",
    ),
    _Stage(
        "portal",
        "smsbridge_time_to_portal_seconds",
        "lane",
        "From the door until its final status was written to the portal.",
    ),
    _Stage(
        "portal_delay",
        "smsbridge_portal_delay_seconds",
        "",
        "From when its final status might be written to the portal until it was.",
    ),
)


class Ages(Collector):
    def __init__(self) -> None:
        self._read: Mapping[str, tuple[Provider, LedgerView]] = {}

    def update(self, ledgers: Mapping[str, tuple[Provider, LedgerView]]) -> None:
        """By provider uid; the whole picture, so that what is erased leaves it."""
        self._read = dict(ledgers)

    def describe(self) -> Iterable[Metric]:
        return [_family(stage) for stage in _STAGES]

    def collect(self) -> Iterable[Metric]:
        return [self._filled(stage) for stage in _STAGES]

    def _filled(self, stage: _Stage) -> Metric:
        family = _family(stage)
        for labels, counts in self._counts(stage.word).items():
            below, buckets = 0, []
            for bound in (*map(str, AGE_BOUNDS_MS), "more"):
                below += counts.get(bound, 0)
                buckets.append((_le(bound), below))
            used = labels if stage.label else labels[:2]
            family.add_metric(used, buckets, sum_value=counts.get("sum", 0) / 1000)
        return family

    def _counts(self, word: str) -> dict[tuple[str, str, str], dict[str, int]]:
        """By namespace, provider and label; a removed provider and its successor share a name."""
        found: dict[tuple[str, str, str], dict[str, int]] = {}
        for provider, view in self._read.values():
            for name, count in view.ages.items():
                stage, label, bound = name.split("|")
                if stage == word:
                    counts = found.setdefault((provider.namespace, provider.name, label), {})
                    counts[bound] = counts.get(bound, 0) + count
        return found


def _family(stage: _Stage) -> HistogramMetricFamily:
    labels = [*_PROVIDER, *([stage.label] if stage.label else [])]
    return HistogramMetricFamily(stage.name, stage.text, labels=labels)


def _le(bound: str) -> str:
    return "+Inf" if bound == "more" else str(int(bound) / 1000)
