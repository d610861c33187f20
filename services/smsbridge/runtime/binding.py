"""What binds now: of several limits that may hold a provider's work back, the one that did so lately.

Whoever meets a limit notes it; the figure goes back to 0 by itself when nobody has met it for a while.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_FRESH_SECONDS = 20.0  # longer than a scrape's usual interval, so that none misses what bound between two


class Binding(Collector):
    """`smsbridge_binding_limit`: 1 for the limit that binds, 0 for the others that have bound before.

    `limits`: those of one flow of work, the one that counts most first: where several were met lately, the
    first shows 1.
    """

    def __init__(
        self,
        limits: Sequence[str],
        *,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._order = tuple(limits)
        self._clock = clock
        self._met: dict[tuple[str, str], dict[str, float]] = {}
        registry.register(self)

    def met(self, namespace: str, provider: str, limit: str) -> None:
        """Raises ValueError for a limit that it was not made for."""
        if limit not in self._order:
            raise ValueError(f"no such limit: {limit}")
        self._met.setdefault((namespace, provider), {})[limit] = self._clock()

    def keep(self, places: Iterable[tuple[str, str]]) -> None:
        """Forgets all but these (namespace, provider)."""
        wanted = frozenset(places)
        self._met = {place: limits for place, limits in self._met.items() if place in wanted}

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        since = self._clock() - _FRESH_SECONDS
        for place, met in self._met.items():
            binds = next((limit for limit in self._order if met.get(limit, since) > since), "")
            for limit in met:
                family.add_metric([*place, limit], 1.0 if limit == binds else 0.0)
        return [family]

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "smsbridge_binding_limit",
            "1 for the limit that holds a provider's work back now.",
            labels=["namespace", "provider", "limit"],
        )
