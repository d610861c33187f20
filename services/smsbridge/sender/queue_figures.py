"""What waits at each provider, as gauges: the whole picture at once, so that what is gone leaves it.

A name may stand for two, a removed provider and its successor: their figures are added up.
"""

from collections import defaultdict
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Gauge

from smsbridge.sender.service import Queue

_PROVIDER = ("namespace", "provider")
_PAUSES = ("paused", "login", "money", "blocked", "bad_requests")


class QueueFigures:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._depth = Gauge(
            "smsbridge_queue_depth_messages",
            "Messages waiting to be claimed.",
            (*_PROVIDER, "lane"),
            registry=registry,
        )
        self._oldest = Gauge(
            "smsbridge_queue_oldest_age_seconds",
            "Age of the oldest waiting message, counted from the door.",
            (*_PROVIDER, "lane"),
            registry=registry,
        )
        self._uncertain = Gauge(
            "smsbridge_uncertain_batches",
            "Batches whose outcome is being settled.",
            _PROVIDER,
            registry=registry,
        )
        self._paused = Gauge(
            "smsbridge_account_paused",
            "1 while the provider's account is paused for the reason.",
            (*_PROVIDER, "reason"),
            registry=registry,
        )
        self._balance = Gauge(
            "smsbridge_account_balance_roubles",
            "What the provider's account said last of its balance.",
            _PROVIDER,
            registry=registry,
        )

    def show(self, queues: Sequence[Queue]) -> None:
        """`queues`: of all providers."""
        for gauge in (self._depth, self._oldest, self._uncertain, self._paused, self._balance):
            gauge.clear()
        oldest: dict[tuple[str, str, str], float] = defaultdict(float)
        for queue in queues:
            labels = (queue.provider.namespace, queue.provider.name)
            for lane in queue.lanes:
                self._depth.labels(*labels, lane.lane).inc(lane.waiting)
                place = (*labels, lane.lane.value)
                oldest[place] = max(oldest[place], lane.oldest_age_ms / 1000)
            self._uncertain.labels(*labels).inc(queue.uncertain)
            if not queue.provider.removed:  # nothing waits for its account any more
                self._show_account(labels, queue)
        for place, seconds in oldest.items():
            self._oldest.labels(*place).set(seconds)

    def _show_account(self, labels: tuple[str, str], queue: Queue) -> None:
        for reason in _PAUSES:
            self._paused.labels(*labels, reason).set(1 if queue.pause_reason == reason else 0)
        if queue.account.balance is not None:
            self._balance.labels(*labels).set(float(queue.account.balance))
