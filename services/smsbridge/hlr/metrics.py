"""All metrics of the hlr role.

smsbridge_hlr_preferences_asked_total{result}    known | unknown
smsbridge_hlr_learned_total{channel,result}      learned | older | off (the provider does not want it)
"""

from prometheus_client import CollectorRegistry, Counter


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
