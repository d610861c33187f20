"""All metrics of the gateway. No label holds a phone, a message or a portal.

smsbridge_gateway_accepts_total{origin,result}    messages at the door
smsbridge_gateway_accept_duration_seconds         from the parsed post to the answer
smsbridge_gateway_callbacks_total{result}         what SMSC's calls held
smsbridge_gateway_events_total{event,result}      application and CRM events
smsbridge_gateway_errands_total{kind,result}      what hlr is asked to do, at the door
smsbridge_gateway_refusals_total{door,status}     answers that are not 200
smsbridge_gateway_in_flight                       posts in hand
smsbridge_gateway_call_items{owner}               items of one call to an owner
smsbridge_journal_depth{kind}                     entries that wait
smsbridge_journal_set_aside{kind}                 entries that were refused for their content
smsbridge_journal_failures_total                  writes that failed
smsbridge_gateway_loop_errors_total{loop}         unexpected errors of background loops

`result` of an accept, an errand and a CRM event that becomes one is a word of `service.Accepted`, of a
callback one of `callbacks.Taken`; `kind` of an errand is one of `core.errand.ErrandKind`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from smsbridge.core.message import Origin

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5)
_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class GatewayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._accepts = Counter(
            "smsbridge_gateway_accepts", "Messages at the door.", ["origin", "result"], registry=registry
        )
        self.accept_seconds = Histogram(
            "smsbridge_gateway_accept_duration_seconds",
            "From a message's parsed post to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.callbacks = Counter(
            "smsbridge_gateway_callbacks", "What SMSC's calls held.", ["result"], registry=registry
        )
        self.events = Counter(
            "smsbridge_gateway_events", "Application and CRM events.", ["event", "result"], registry=registry
        )
        self.errands = Counter(
            "smsbridge_gateway_errands",
            "What hlr is asked to do, at the door.",
            ["kind", "result"],
            registry=registry,
        )
        self.refusals = Counter(
            "smsbridge_gateway_refusals", "Answers that are not 200.", ["door", "status"], registry=registry
        )
        self.in_flight = Gauge("smsbridge_gateway_in_flight", "Posts in hand.", registry=registry)
        self.call_items = Histogram(
            "smsbridge_gateway_call_items",
            "Items of one call to an owner.",
            ["owner"],
            buckets=_ITEMS,
            registry=registry,
        )
        self.journal_depth = Gauge(
            "smsbridge_journal_depth", "Journal entries that wait.", ["kind"], registry=registry
        )
        self.journal_set_aside = Gauge(
            "smsbridge_journal_set_aside",
            "Journal entries that were refused for their content.",
            ["kind"],
            registry=registry,
        )
        self.journal_failures = Counter(
            "smsbridge_journal_failures", "Journal writes that failed.", registry=registry
        )
        self.loop_errors = Counter(
            "smsbridge_gateway_loop_errors",
            "Unexpected errors of background loops.",
            ["loop"],
            registry=registry,
        )
        # Both are there from the start: a rate sees nothing of a counter's first value.
        self._accept_children: dict[tuple[str, str], Counter] = {
            (origin, result): self._accepts.labels(origin, result)
            for origin in Origin
            for result in ("accepted", "lost")
        }

    def accepted(self, origin: str, result: str) -> None:
        """On the hot path: looking a child up by labels costs more than counting."""
        child = self._accept_children.get((origin, result))
        if child is None:
            child = self._accept_children[origin, result] = self._accepts.labels(origin, result)
        child.inc()
