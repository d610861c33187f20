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
smsbridge_left_out_total{namespace,provider,reason}                messages that a look-up kept from sending
smsbridge_saved_roubles_total{namespace,provider}                  what these would have cost
smsbridge_unchecked_total{namespace,provider,why}                  sent though a look-up was wanted
smsbridge_store_memory_ratio                                       of maxmemory; 0.8 stops sending
smsbridge_loop_errors_total{loop}

`result` of a request is a word of `effects.Effect`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
        self.queue_depth = Gauge(
            "smsbridge_queue_depth_messages",
            "Messages waiting to be claimed.",
            (*_PROVIDER, "lane"),
            registry=registry,
        )
        self.oldest = Gauge(
            "smsbridge_queue_oldest_age_seconds",
            "Age of the oldest waiting message, counted from the door.",
            (*_PROVIDER, "lane"),
            registry=registry,
        )
        self.uncertain = Gauge(
            "smsbridge_uncertain_batches",
            "Batches whose outcome is being settled.",
            _PROVIDER,
            registry=registry,
        )
        self.settled = Counter(
            "smsbridge_uncertain_settled",
            "Steps that settled uncertain batches: adopted, repeated, split, held.",
            (*_PROVIDER, "how"),
            registry=registry,
        )
        self.paused = Gauge(
            "smsbridge_account_paused",
            "1 while the provider's account is paused for the reason.",
            (*_PROVIDER, "reason"),
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
        self.memory = Gauge(
            "smsbridge_store_memory_ratio",
            "Share of the store's maxmemory that is in use.",
            registry=registry,
        )
        self.loop_errors = Counter(
            "smsbridge_loop_errors", "Steps of background loops that failed.", ("loop",), registry=registry
        )
