"""All metrics of the status role.

smsbridge_messages_accepted_total{namespace,provider}              by the store, through whatever door
smsbridge_messages_final_total{namespace,provider,channel,state}   final states reached, as the store counts
                                  them: every replica shows the same figure; take the maximum, not the sum
smsbridge_messages_unaccounted{namespace,provider}                 0, or a bug
smsbridge_portal_outbox_messages{namespace,provider}               statuses and answers that wait
smsbridge_portal_outbox_lag_seconds{namespace,provider}            how late the oldest of them is
smsbridge_status_polls_waiting{namespace,provider}                 attempts without an outcome
smsbridge_receipts_total{result}              matched | repeated | parked: as they were recorded
smsbridge_receipts_parked                     SMSC ids whose receipts wait for the sender's report
smsbridge_receipts_unmatched_total            and for which it never came, as the store counts
smsbridge_receipts_applied_total{namespace,provider,source,result}   callback, status |
                                  changed, same, unknown, not_found, gone, ambiguous
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
smsbridge_cascade_saved_today_roubles{namespace,provider}          against SMS only, as in reports
smsbridge_messages_failed_total{namespace,provider,state,reason}   final, and not delivered; by the store
smsbridge_duplicates_total{namespace,provider}           messages that were known already, as the store counts
smsbridge_time_to_smsc_seconds{namespace,provider,lane}          histograms of the store: see `ages`
smsbridge_time_to_delivered_seconds{namespace,provider,channel}
smsbridge_time_to_portal_seconds{namespace,provider,lane}
smsbridge_portal_delay_seconds{namespace,provider}
smsbridge_portal_operating_used_ratio{namespace,provider}        see `portal_figures`
smsbridge_portal_operating_cost_seconds{namespace,provider}
smsbridge_portal_requests_used_ratio{namespace,provider}
smsbridge_portal_spare_tokens{namespace,provider}
smsbridge_binding_limit{namespace,provider,limit}        1 for what holds writing back now
smsbridge_status_loop_errors_total{loop}
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smsbridge.core.provider import Provider
from smsbridge.runtime import metrics
from smsbridge.runtime.binding import Binding
from smsbridge.status import verdict
from smsbridge.status.ages import Ages
from smsbridge.store.delivery import LedgerView
from smsbridge.store.receipts import Parked

PORTAL_OPERATING, PORTAL_REQUESTS = "portal_operating", "portal_requests"
_PROVIDER = ("namespace", "provider")
_APPLIED = ((verdict.CALLBACK, "changed"), (verdict.CALLBACK, "same"), (verdict.STATUS, "changed"))


class StatusMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.receipts = Counter(
            "smsbridge_receipts", "Receipts kept, by what they matched.", ["result"], registry=registry
        )
        self.applied = Counter(
            "smsbridge_receipts_applied",
            "What receipts and status answers did to attempts.",
            (*_PROVIDER, "source", "result"),
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
        self.savings = Gauge(
            "smsbridge_cascade_saved_today_roubles",
            "What today's messages that went by cascade would have cost more by SMS only.",
            _PROVIDER,
            registry=registry,
        )
        self._of_providers = metrics.OfProviders(
            self.applied,
            self.test_mode,
            self.closed,
            self.legs,
            self.portal_updates,
            self.portal_answers,
            self.fell_back,
        )
        self.binding = Binding((PORTAL_OPERATING, PORTAL_REQUESTS), registry=registry)
        self.ledgers = Ledgers()
        registry.register(self.ledgers)
        self.ages = Ages()
        registry.register(self.ages)
        self.waiting_room = WaitingRoom()
        registry.register(self.waiting_room)

    def known(self, providers: Iterable[Provider]) -> None:
        """What rules ask for is there from the start: a rate sees nothing of a counter's first value."""
        for provider in providers:
            place = (provider.namespace, provider.name)
            for source, result in _APPLIED:
                self.applied.labels(*place, source, result)
            for told in (self.portal_updates, self.portal_answers):
                told.labels(*place, "dropped")

    def receipt(self, provider: Provider | None, source: str, result: str, count: int = 1) -> None:
        """`provider` is None where it is not known, or no more: the labels are empty then."""
        place = (provider.namespace, provider.name) if provider else ("", "")
        self.applied.labels(*place, source, result).inc(count)

    def show(self, ledgers: Mapping[str, tuple[Provider, LedgerView]]) -> None:
        """What the store counts, by provider uid; the whole picture."""
        self.ledgers.update(ledgers)
        self.ages.update(ledgers)
        places = frozenset((provider.namespace, provider.name) for provider, _ in ledgers.values())
        self._of_providers.keep(places)
        self.binding.keep(places)

    def show_savings(self, found: Iterable[tuple[Provider, Decimal]]) -> None:
        """The whole picture. A removed provider and its successor share a name: they are added up."""
        self.savings.clear()
        for provider, saved in found:
            self.savings.labels(provider.namespace, provider.name).inc(float(saved))

    def show_parked(self, found: Parked) -> None:
        """Of all accounts."""
        self.waiting_room.found = found


class WaitingRoom(Collector):
    """Receipts of ids that nobody knows, as they were read last."""

    def __init__(self) -> None:
        self.found: Parked | None = None

    def describe(self) -> Iterable[Metric]:
        return self._families(Parked())

    def collect(self) -> Iterable[Metric]:
        return self._families(self.found) if self.found else []

    @staticmethod
    def _families(found: Parked) -> Iterable[Metric]:
        waiting = "SMSC ids whose receipts wait for the sender's report."
        unmatched = "SMSC ids whose receipts were given up: the sender never told of them."
        return [
            GaugeMetricFamily("smsbridge_receipts_parked", waiting, value=found.waiting),
            CounterMetricFamily("smsbridge_receipts_unmatched", unmatched, value=found.unmatched),
        ]


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
        accepted = CounterMetricFamily(
            "smsbridge_messages_accepted",
            "Messages that were taken on, through whatever door.",
            labels=_PROVIDER,
        )
        taken: dict[tuple[str, str], int] = {}
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
            taken[place] = taken.get(place, 0) + view.accepted
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
        for place, total in taken.items():
            accepted.add_metric(place, total)
        return [accepted, final, failed, duplicates, *families.values()]
