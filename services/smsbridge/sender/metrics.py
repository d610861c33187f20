"""All metrics of the sender. Labels are bounded: providers, channels, lanes and fixed words.

smsbridge_batch_numbers_total{namespace,provider,channel,result}   numbers in requests to send.php
smsbridge_batches_total{namespace,provider,channel,result}         requests to send.php
smsbridge_batch_size_numbers{namespace,provider}
smsbridge_send_duration_seconds{namespace,provider}
smsbridge_queue_depth_messages{namespace,provider,lane}            messages waiting to be claimed
smsbridge_queue_oldest_age_seconds{namespace,provider,lane}        counted from the door
smsbridge_uncertain_batches{namespace,provider}
smsbridge_uncertain_settled_total{namespace,provider,how}          adopted | repeated | split | held
smsbridge_account_paused{namespace,provider,reason}                paused | login | money | blocked |
                                                                   bad_requests
smsbridge_account_balance_roubles{namespace,provider}              what the account said last
smsbridge_left_out_total{namespace,provider,reason}                messages that a look-up kept from sending
smsbridge_saved_roubles_total{namespace,provider}                  what these would have cost
smsbridge_unchecked_total{namespace,provider,why}                  sent though a look-up was wanted
smsbridge_held_apart_total{namespace,provider}                     numbers put off: same text just sent
smsbridge_cost_roubles_total{namespace,provider,channel,estimated} what accepted messages cost
smsbridge_binding_limit{namespace,provider,limit}                  1 for what holds sending back now
smsbridge_store_memory_ratio                                       of maxmemory; 0.8 stops sending
smsbridge_store_answers                                            1 while the store answers
smsbridge_store_persistence_ok{check}                              log_on | log_write | log_rewrite | snapshot
smsbridge_loop_errors_total{loop}

`result` of a request is a word of `effects.Effect`.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from smsbridge.core import cascade
from smsbridge.core.provider import Provider
from smsbridge.runtime import metrics
from smsbridge.runtime.binding import Binding

PAUSE, STORE_MEMORY, PERMITS, LINGER = "pause", "store_memory", "account_permits", "batching_linger"
_PROVIDER = ("namespace", "provider")


class SenderMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.batch_numbers = Counter(
            "smsbridge_batch_numbers",
            "Numbers in requests to send.php, by result of the request.",
            (*_PROVIDER, "channel", "result"),
            registry=registry,
        )
        self.batches = Counter(
            "smsbridge_batches",
            "Requests to send.php, by result.",
            (*_PROVIDER, "channel", "result"),
            registry=registry,
        )
        self.batch_size = Histogram(
            "smsbridge_batch_size_numbers",
            "Numbers in one request to send.php.",
            _PROVIDER,
            buckets=(1, 2, 5, 10, 25, 50, 75, 99, 100),
            registry=registry,
        )
        self.send_seconds = Histogram(
            "smsbridge_send_duration_seconds",
            "How long send.php took to answer.",
            _PROVIDER,
            registry=registry,
        )
        self.settled = Counter(
            "smsbridge_uncertain_settled",
            "Steps that settled uncertain batches: adopted, repeated, split, held.",
            (*_PROVIDER, "how"),
            registry=registry,
        )
        self.left_out = Counter(
            "smsbridge_left_out",
            "Messages that were not sent because of what a look-up told.",
            (*_PROVIDER, "reason"),
            registry=registry,
        )
        self.saved = Counter(
            "smsbridge_saved_roubles",
            "What messages that were left out would have cost, by the provider's price list.",
            _PROVIDER,
            registry=registry,
        )
        self.unchecked = Counter(
            "smsbridge_unchecked",
            "Messages that were sent without the look-up that was wanted.",
            (*_PROVIDER, "why"),
            registry=registry,
        )
        self.held_apart = Counter(
            "smsbridge_held_apart",
            "Numbers that were put off because the same text had just been sent to them.",
            _PROVIDER,
            registry=registry,
        )
        self.cost = Counter(
            "smsbridge_cost_roubles",
            "What messages that SMSC accepted cost; estimated by the price list where SMSC does not tell.",
            (*_PROVIDER, "channel", "estimated"),
            registry=registry,
        )
        self._of_providers = metrics.OfProviders(
            self.batch_numbers,
            self.batches,
            self.batch_size,
            self.send_seconds,
            self.settled,
            self.left_out,
            self.saved,
            self.unchecked,
            self.held_apart,
            self.cost,
        )
        self.binding = Binding((PAUSE, STORE_MEMORY, PERMITS, LINGER), registry=registry)
        self.store_answers = Gauge("smsbridge_store_answers", "1 while the store answers.", registry=registry)
        self.persistence = Gauge(
            "smsbridge_store_persistence_ok",
            "1 while the store says that its data gets to disk, by check.",
            ["check"],
            registry=registry,
        )
        self.memory = Gauge(
            "smsbridge_store_memory_ratio",
            "Share of the store's maxmemory that is in use.",
            registry=registry,
        )
        self.loop_errors = Counter(
            "smsbridge_loop_errors", "Steps of background loops that failed.", ("loop",), registry=registry
        )

    def keep(self, providers: Sequence[Provider]) -> None:
        """Forgets all others. A removed one is held back by nothing: what waits there fails."""
        self._of_providers.keep((one.namespace, one.name) for one in providers)
        self.binding.keep((one.namespace, one.name) for one in providers if not one.removed)

    def known(self, providers: Iterable[Provider]) -> None:
        """What rules ask for is there from the start: a rate sees nothing of a counter's first value."""
        for provider in providers:
            place = (provider.namespace, provider.name)
            for channel in cascade.channels(provider.routing, provider.account.profile):
                self.batches.labels(*place, channel, "accepted")
                self.batch_numbers.labels(*place, channel, "accepted")

    def show_store(self, checks: Mapping[str, bool] | None) -> None:
        """`checks` of `store.persistence`, None while the store does not answer."""
        self.store_answers.set(0 if checks is None else 1)
        for check, well in (checks or {}).items():
            self.persistence.labels(check).set(1 if well else 0)
