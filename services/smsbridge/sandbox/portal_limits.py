"""A portal's two limits: requests (by source address) and operating time (by application and method)."""

from collections import defaultdict

from smsbridge.sandbox.settings import OperatingLimit, RequestLimit

_BUCKETS = 10


class RequestBucket:
    """Every request adds one, time drains; above the level the request is refused and adds nothing."""

    def __init__(self, limit: RequestLimit) -> None:
        self.limit = limit
        self._level: dict[str, tuple[float, float]] = {}

    def admit(self, source: str, now: float) -> bool:
        level, at = self._level.get(source, (0.0, now))
        level = max(0.0, level - (now - at) * self.limit.leak_per_second)
        full = level + 1 > self.limit.block_above
        self._level[source] = (level if full else level + 1, now)
        return not (full and self.limit.enabled)


class OperatingTime:
    """Execution time in a sliding window of ten buckets; checked before a call, counted after."""

    def __init__(self, limit: OperatingLimit) -> None:
        self.limit = limit
        self._buckets: defaultdict[tuple[str, str], dict[int, float]] = defaultdict(dict)

    @property
    def _bucket_seconds(self) -> float:
        return self.limit.window_seconds / _BUCKETS

    def used(self, client_id: str, method: str, now: float) -> float:
        """Seconds within the window."""
        buckets = self._buckets[client_id, method]
        first = int(now / self._bucket_seconds) - _BUCKETS + 1
        for number in [number for number in buckets if number < first]:
            del buckets[number]
        return sum(buckets.values())

    def reset_at(self, client_id: str, method: str, now: float) -> int:
        """Unix time at which the oldest bucket leaves the window."""
        buckets = self._buckets[client_id, method]
        oldest = min(buckets, default=int(now / self._bucket_seconds))
        return int((oldest + _BUCKETS) * self._bucket_seconds) + 1

    def over(self, client_id: str, method: str, now: float) -> bool:
        return self.limit.enabled and self.used(client_id, method, now) >= self.limit.limit_seconds

    def spend(self, client_id: str, method: str, now: float) -> float:
        """Counts one call and says what the window holds now, seconds."""
        cost = self.limit.cost_ms.get(method, self.limit.default_cost_ms) / 1000
        buckets = self._buckets[client_id, method]
        number = int(now / self._bucket_seconds)
        buckets[number] = buckets.get(number, 0.0) + cost
        return self.used(client_id, method, now)

    def report(self, now: float) -> dict[str, float]:
        totals: defaultdict[str, float] = defaultdict(float)
        for client_id, method in list(self._buckets):
            totals[method] += self.used(client_id, method, now)
        return {method: round(seconds, 3) for method, seconds in totals.items()}
