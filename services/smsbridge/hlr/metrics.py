"""All metrics of the hlr role. Labels are bounded: providers, outcomes and fixed words.

smsbridge_hlr_preferences_asked_total{result}    known | unknown
smsbridge_hlr_learned_total{channel,result}      learned | older | off (the provider does not want it)
smsbridge_hlr_lookups_total{namespace,provider,outcome,source}     numbers answered for
smsbridge_hlr_refused_total{namespace,provider,why}                numbers not looked up, by why
smsbridge_hlr_requests_total{namespace,provider,result}            requests that were to buy
smsbridge_hlr_spent_roubles_total{namespace,provider,estimated}
smsbridge_hlr_budget_left_roubles{namespace,provider}
smsbridge_hlr_questions_total{result}            status.php asked for results
smsbridge_hlr_results_total{result}              results that came by callback
smsbridge_hlr_errands_total{namespace,provider,kind,end}           `end`: a word of `ends`
smsbridge_hlr_errands_waiting{namespace,provider,kind}
smsbridge_hlr_errands_oldest_seconds{namespace,provider,kind}
smsbridge_hlr_carrier_requests_total{namespace,provider,result}    info.php asked for operators
smsbridge_hlr_loop_errors_total{loop}
smsbridge_hlr_verifications_running{namespace,provider}                   in this process
smsbridge_hlr_verification_entities_total{namespace,provider,result}      what became of entities of the CRM
smsbridge_hlr_verification_numbers_total{namespace,provider,outcome}      distinct numbers that are done
smsbridge_hlr_verification_spent_roubles_total{namespace,provider}        part of the roubles above
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from smsbridge.core.errand import ErrandKind
from smsbridge.core.provider import Provider
from smsbridge.runtime import metrics
from smsbridge.store.lookups import Ended

_PROVIDER = ("namespace", "provider")
_BUDGET = "budget"  # the word of `buying`


class HlrMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.asked = Counter(
            "smsbridge_hlr_preferences_asked",
            "Numbers whose preferred channel was asked for.",
            ["result"],
            registry=registry,
        )
        self.learned = Counter(
            "smsbridge_hlr_learned",
            "Channels that cascades taught us.",
            ["channel", "result"],
            registry=registry,
        )
        self.lookups = Counter(
            "smsbridge_hlr_lookups",
            "Numbers that were asked about, by what was answered and where it came from.",
            (*_PROVIDER, "outcome", "source"),
            registry=registry,
        )
        self.refused = Counter(
            "smsbridge_hlr_refused",
            "Numbers that were not looked up, by why.",
            (*_PROVIDER, "why"),
            registry=registry,
        )
        self.requests = Counter(
            "smsbridge_hlr_requests",
            "Look-up requests to SMSC, by result.",
            (*_PROVIDER, "result"),
            registry=registry,
        )
        self.spent = Counter(
            "smsbridge_hlr_spent_roubles",
            "Roubles spent for look-ups.",
            (*_PROVIDER, "estimated"),
            registry=registry,
        )
        self.budget_left = Gauge(
            "smsbridge_hlr_budget_left_roubles",
            "Roubles of today's budget that are neither spent nor reserved.",
            _PROVIDER,
            registry=registry,
        )
        self.questions = Counter(
            "smsbridge_hlr_questions",
            "Requests to status.php for results of look-ups.",
            ["result"],
            registry=registry,
        )
        self.results = Counter(
            "smsbridge_hlr_results",
            "Results of look-ups that came by callback.",
            ["result"],
            registry=registry,
        )
        self.loop_errors = Counter(
            "smsbridge_hlr_loop_errors",
            "Steps of background loops that failed.",
            ("loop",),
            registry=registry,
        )
        self.errands = Counter(
            "smsbridge_hlr_errands",
            "Errands that ended, by how.",
            (*_PROVIDER, "kind", "end"),
            registry=registry,
        )
        self.errands_waiting = Gauge(
            "smsbridge_hlr_errands_waiting",
            "Errands that wait or are being done.",
            (*_PROVIDER, "kind"),
            registry=registry,
        )
        self.errands_oldest = Gauge(
            "smsbridge_hlr_errands_oldest_seconds",
            "How long the oldest errand waits.",
            (*_PROVIDER, "kind"),
            registry=registry,
        )
        self.carrier_requests = Counter(
            "smsbridge_hlr_carrier_requests",
            "Requests to info.php for operators and regions.",
            (*_PROVIDER, "result"),
            registry=registry,
        )
        self.verifications = Gauge(
            "smsbridge_hlr_verifications_running",
            "Verifications that this process reads for or runs.",
            _PROVIDER,
            registry=registry,
        )
        self.verified_entities = Counter(
            "smsbridge_hlr_verification_entities",
            "Entities of the CRM that verifications are done with, by what became of them.",
            (*_PROVIDER, "result"),
            registry=registry,
        )
        self.verified_numbers = Counter(
            "smsbridge_hlr_verification_numbers",
            "Distinct numbers that verifications are done with.",
            (*_PROVIDER, "outcome"),
            registry=registry,
        )
        self.verification_spent = Counter(
            "smsbridge_hlr_verification_spent_roubles",
            "Roubles that verifications paid for look-ups.",
            _PROVIDER,
            registry=registry,
        )

        self._of_providers = metrics.OfProviders(
            self.lookups,
            self.refused,
            self.requests,
            self.spent,
            self.errands,
            self.carrier_requests,
            self.verifications,
            self.verified_entities,
            self.verified_numbers,
            self.verification_spent,
        )

    def keep(self, providers: Iterable[Provider]) -> None:
        """Forgets all others."""
        self._of_providers.keep((one.namespace, one.name) for one in providers)

    def settled(self, provider: Provider, ended: Ended) -> None:
        """Roubles of one settlement."""
        labels = (provider.namespace, provider.name)
        for word, amount in (("yes", ended.estimated), ("no", ended.spent - ended.estimated)):
            if amount > 0:
                self.spent.labels(*labels, word).inc(float(amount))
        self.verification_spent.labels(*labels).inc(float(ended.quoted))

    def known(self, providers: Iterable[Provider]) -> None:
        """What rules ask for is there from the start: a rate sees nothing of a counter's first value."""
        for provider in providers:
            self.lookups.labels(provider.namespace, provider.name, "refused", "none")
            self.refused.labels(provider.namespace, provider.name, _BUDGET)

    def errand(self, provider: Provider, kind: ErrandKind, end: str, count: int = 1) -> None:
        self.errands.labels(provider.namespace, provider.name, kind.value, end).inc(count)
