"""Metrics of the provisioner, all of them:

smsbridge_provider_ready{namespace,provider}             1 where the condition Ready is True
smsbridge_provider_condition{namespace,provider,type}    1 True, 0 False, -1 Unknown
smsbridge_provider_drift_seconds{namespace,provider}     since the portal was last seen to show what it should
smsbridge_reconciliations_total{result}                  ok, incomplete, failed
smsbridge_reconcile_duration_seconds                     how long one took, waiting for the portal included
smsbridge_provisioner_requests_total{system,result}      portal, oauth, smsc | ok, refused, away
smsbridge_manifest_errors                                errors in the manifests file as it is now
smsbridge_provisioner_loop_errors_total{loop}            steps of loops that failed
"""

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from smsbridge.core.provider import Provider
from smsbridge.provisioning.conditions import Status
from smsbridge.provisioning.state import State

_VALUES = {Status.TRUE: 1, Status.FALSE: 0, Status.UNKNOWN: -1}


class ProvisionerMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        one = ["namespace", "provider"]
        self._ready = Gauge("smsbridge_provider_ready", "Ready is True.", one, registry=registry)
        self._condition = Gauge(
            "smsbridge_provider_condition",
            "A condition: 1 True, 0 False, -1 Unknown.",
            [*one, "type"],
            registry=registry,
        )
        self._drift = Gauge(
            "smsbridge_provider_drift_seconds",
            "Since the portal was last seen to show what it should.",
            one,
            registry=registry,
        )
        self._duration = Histogram(
            "smsbridge_reconcile_duration_seconds",
            "How long one took, waiting for the portal included.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
            registry=registry,
        )
        self.requests = Counter(
            "smsbridge_provisioner_requests",
            "Requests that left, by what came back.",
            ["system", "result"],
            registry=registry,
        )
        self.reconciliations = Counter(
            "smsbridge_reconciliations", "Providers that were reconciled.", ["result"], registry=registry
        )
        for result in ("ok", "incomplete", "failed"):
            self.reconciliations.labels(result)
        self.manifest_errors = Gauge(
            "smsbridge_manifest_errors", "Errors in the manifests file as it is now.", registry=registry
        )
        self.loop_errors = Counter(
            "smsbridge_provisioner_loop_errors", "Steps of loops that failed.", ["loop"], registry=registry
        )

    def show(self, provider: Provider, state: State) -> None:
        labels = (provider.namespace, provider.name)
        self._ready.labels(*labels).set(1 if state.ready else 0)
        for item in state.conditions:
            self._condition.labels(*labels, item.type.value).set(_VALUES[item.status])
        if (synced := state.last_sync) is not None:
            self._drift.labels(*labels).set_function(lambda: _age_seconds(synced))

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._duration.observe(time.monotonic() - started)

    def forget(self, provider: Provider) -> None:
        labels = {"namespace": provider.namespace, "provider": provider.name}
        for gauge in (self._ready, self._condition, self._drift):
            gauge.remove_by_labels(labels)


def _age_seconds(at: datetime) -> float:
    return max(0.0, (datetime.now(at.tzinfo) - at).total_seconds())
