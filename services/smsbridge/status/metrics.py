"""All metrics of the status role.

smsbridge_messages_final_total{namespace,provider,channel,state}   final states reached, as the store counts
                                  them: every replica shows the same figure; take the maximum, not the sum
smsbridge_messages_unaccounted{namespace,provider}                 0, or a bug
smsbridge_portal_outbox_messages{namespace,provider}               statuses and answers that wait
smsbridge_portal_outbox_lag_seconds{namespace,provider}            how late the oldest of them is
smsbridge_status_polls_waiting{namespace,provider}                 attempts without an outcome
smsbridge_receipts_total{result}              matched | repeated | parked: as they were recorded
smsbridge_receipts_applied_total{source,result}   callback, status | changed, same, unknown, gone, ambiguous
smsbridge_receipts_unknown_codes_total{profile}
smsbridge_receipts_test_mode_total{namespace,provider}   the account only pretends to send
smsbridge_status_questions_total{result}      answered | away | no_permit | refused | no_account | too_often
smsbridge_attempts_closed_total{namespace,provider}      no receipt came in time
smsbridge_cascade_legs_total{namespace,provider}         further legs handed to the sender
smsbridge_portal_updates_total{namespace,provider,result}
                                  written | not_found | later | unanswered | dropped | stale
smsbridge_portal_answers_total{namespace,provider,result}   answers to workflow steps:
                                  written | over | later | unanswered | dropped | stale
smsbridge_portal_calls_total{result}          ok | or the error's code
smsbridge_cascade_fallbacks_total{namespace,provider}    SMSC's own cascade went on to SMS
smsbridge_messages_failed_total{namespace,provider,state,reason}   final, and not delivered; by the store
smsbridge_duplicates_total{namespace,provider}           messages that were known already, as the store counts
smsbridge_time_to_smsc_seconds{namespace,provider,lane}          histograms of the store: see `ages`
smsbridge_time_to_delivered_seconds{namespace,provider,channel}
smsbridge_time_to_portal_seconds{namespace,provider,lane}
smsbridge_portal_delay_seconds{namespace,provider}
smsbridge_portal_operating_used_ratio{namespace,provider}        see `portal_figures`
smsbridge_portal_operating_cost_seconds{namespace,provider}
smsbridge_portal_requests_used_ratio{namespace,provider}
smsbridge_binding_limit{namespace,provider,limit}        1 for what holds writing back now
smsbridge_status_loop_errors_total{loop}
"""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smsbridge.core.provider import Provider
from smsbridge.runtime import metrics
from smsbridge.runtime.binding import Binding
from smsbridge.status.ages import Ages
from smsbridge.store.delivery import LedgerView

PORTAL_OPERATING, PORTAL_REQUESTS = "portal_operating", "portal_requests"
_PROVIDER = ("namespace", "provider")


class StatusMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.receipts = Counter(
            "smsbridge_receipts", "Receipts kept, by what they matched.", ["result"], registry=registry
        )
        self.applied = Counter(
            "smsbridge_receipts_applied",
            "What receipts and status answers did to attempts.",
            ["source", "result"],
            registry=registry,
        )
        self.unknown_codes = Counter(
            "smsbridge_receipts_unknown_codes",
            "Status codes that SMSC does not describe.",
            ["profile"],
            registry=registry,
        )
        self.test_mode = Counter(
            "smsbridge_receipts_test_mode",
            "Receipts that say that the account only pretends to send.",
            _PROVIDER,
            registry=registry,
        )
        self.questions = Counter(
            "smsbridge_status_questions", "Requests to status.php, by result.", ["result"], registry=registry
        )
        self.closed = Counter(
            "smsbridge_attempts_closed",
            "Attempts that closed without an outcome.",
            _PROVIDER,
            registry=registry,
        )
        self.legs = Counter(
            "smsbridge_cascade_legs", "Further legs handed to the sender.", _PROVIDER, registry=registry
        )
        self.portal_updates = Counter(
            "smsbridge_portal_updates",
            "Portal statuses, by what became of them.",
            (*_PROVIDER, "result"),
            registry=registry,
        )
        self.portal_answers = Counter(
            "smsbridge_portal_answers",
            "Answers to workflow steps, by what became of them.",
            (*_PROVIDER, "result"),
            registry=registry,
        )
        self.portal_calls = Counter(
            "smsbridge_portal_calls",
            "Batches of statuses and answers, by result.",
            ["result"],
            registry=registry,
        )
        self.loop_errors = Counter(
            "smsbridge_status_loop_errors", "Background steps that failed.", ["loop"], registry=registry
        )
        self.fell_back = Counter(
            "smsbridge_cascade_fallbacks",
            "Messages for which SMSC said that it had gone on from Viber to SMS.",
            _PROVIDER,
            registry=registry,
        )
        self._of_providers = metrics.OfProviders(
            self.test_mode, self.closed, self.legs, self.portal_updates, self.portal_answers, self.fell_back
        )
        self.binding = Binding((PORTAL_OPERATING, PORTAL_REQUESTS), registry=registry)
        self.ledgers = Ledgers()
        registry.register(self.ledgers)
        self.ages = Ages()
        registry.register(self.ages)

    def show(self, ledgers: Mapping[str, tuple[Provider, LedgerView]]) -> None:
        """What the store counts, by provider uid; the whole picture."""
        self.ledgers.update(ledgers)
        self.ages.update(ledgers)
        places = frozenset((provider.namespace, provider.name) for provider, _ in ledgers.values())
        self._of_providers.keep(places)
        self.binding.keep(places)


class Ledgers(Collector):
    """What the store counts, as it was read last."""

    def __init__(self) -> None:
        self._read: Mapping[str, tuple[Provider, LedgerView]] = {}

    def update(self, ledgers: Mapping[str, tuple[Provider, LedgerView]]) -> None:
        """By provider uid; the whole picture, so that what is erased leaves it."""
        self._read = dict(ledgers)

    def describe(self) -> Iterable[Metric]:
        return self._families({})

    def collect(self) -> Iterable[Metric]:
        return self._families(self._read)

    @staticmethod
    def _families(read: Mapping[str, tuple[Provider, LedgerView]]) -> Iterable[Metric]:
        final = CounterMetricFamily(
            "smsbridge_messages_final",
            "How often a final state was reached, by the channel that did it.",
            labels=[*_PROVIDER, "channel", "state"],
        )
        failed = CounterMetricFamily(
            "smsbridge_messages_failed",
            "How often another final state than delivered was reached, and why.",
            labels=[*_PROVIDER, "state", "reason"],
        )
        ends: dict[tuple[str, str, str, str], int] = {}
        duplicates = CounterMetricFamily(
            "smsbridge_duplicates",
            "Messages that came once more and were not taken again.",
            labels=_PROVIDER,
        )
        repeated: dict[tuple[str, str], int] = {}
        totals: dict[tuple[str, str, str, str], int] = {}
        gauges = {
            "smsbridge_messages_unaccounted": "Accepted messages less all that are somewhere: 0, or a bug.",
            "smsbridge_portal_outbox_messages": "Portal statuses and answers to workflow steps that wait.",
            "smsbridge_portal_outbox_lag_seconds": "How late the oldest of them is.",
            "smsbridge_status_polls_waiting": "Attempts that have no outcome yet.",
        }
        families = {name: GaugeMetricFamily(name, text, labels=_PROVIDER) for name, text in gauges.items()}
        figures: dict[tuple[str, str], list[float]] = {}
        for provider, view in read.values():
            place = (provider.namespace, provider.name)
            for name, count in view.ends.items():
                state, _, reason = name.partition("|")
                end = (*place, state, reason)
                ends[end] = ends.get(end, 0) + count
            repeated[place] = repeated.get(place, 0) + view.duplicates
            for name, count in view.done.items():
                channel, _, state = name.partition("|")
                key = (*place, channel, state)
                totals[key] = totals.get(key, 0) + count
            # A removed provider and its successor share a name: they are shown together.
            old = figures.get(place, [0.0, 0.0, 0.0, 0.0])
            lag_seconds = max(old[2], view.portal_lag_ms / 1000)
            figures[place] = [
                old[0] + view.unaccounted,
                old[1] + view.portal_outbox,
                lag_seconds,
                old[3] + view.polls,
            ]
        for key, total in totals.items():
            final.add_metric(key, total)
        for place, values in figures.items():
            for family, value in zip(families.values(), values, strict=True):
                family.add_metric(place, value)
        for end, total in ends.items():
            failed.add_metric(end, total)
        for place, total in repeated.items():
            duplicates.add_metric(place, total)
        return [final, failed, duplicates, *families.values()]
