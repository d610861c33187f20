"""Metrics of the operator, all of them, beside those of the provisioner in it (`provisioning.metrics`):

smsbridge_operator_leading                          1 while this one has the lease
smsbridge_operator_loop_errors_total{loop}          steps of loops that failed
"""

from prometheus_client import CollectorRegistry, Counter, Gauge


class OperatorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.leading = Gauge(
            "smsbridge_operator_leading", "1 while this one has the lease.", registry=registry
        )
        self.loop_errors = Counter(
            "smsbridge_operator_loop_errors", "Steps of loops that failed.", ["loop"], registry=registry
        )
