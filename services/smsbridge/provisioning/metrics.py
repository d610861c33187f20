"""Metrics of the provisioner, all of them:

smsbridge_provider_ready{namespace,provider}             1 where the condition Ready is True
smsbridge_provider_condition{namespace,provider,type}    1 True, 0 False, -1 Unknown
smsbridge_account_balance_roubles{namespace,provider}    what the account said last
smsbridge_reconciliations_total{result}                  ok, incomplete, failed
smsbridge_manifest_errors                                errors in the manifests file as it is now
smsbridge_provisioner_loop_errors_total{loop}            steps of loops that failed
"""

from prometheus_client import CollectorRegistry, Counter, Gauge

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
        self._balance = Gauge(
            "smsbridge_account_balance_roubles", "What the account said last.", one, registry=registry
        )
        self.reconciliations = Counter(
            "smsbridge_reconciliations", "Providers that were reconciled.", ["result"], registry=registry
        )
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
        if state.balance is not None:
            self._balance.labels(*labels).set(float(state.balance))

    def forget(self, provider: Provider) -> None:
        labels = {"namespace": provider.namespace, "provider": provider.name}
        for gauge in (self._ready, self._condition, self._balance):
            gauge.remove_by_labels(labels)
