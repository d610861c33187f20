"""What is known about numbers, as plain logic: which channel reaches a number best.

Knows neither gRPC nor the store's keys. Whether a provider wants to learn is its routing's word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from smsbridge.core import errors, msisdn
from smsbridge.core.message import Channel
from smsbridge.core.provider import Provider
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.store.preferences import Learned, Preferences


class Providers(Protocol):
    def get(self, uid: str) -> Provider | None: ...


class Desk(Protocol):
    """Where what was learned is kept for the CRM."""

    def sealed_lesson(self, provider_uid: str, learned: Learned) -> str: ...

    def lessons_kept(self, provider_uid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LearnedFor:
    """What was learned, and for which provider."""

    provider_uid: str
    learned: Learned


class HlrService:
    def __init__(
        self,
        *,
        preferences: Preferences,
        providers: Providers,
        desk: Desk,
        metrics: HlrMetrics,
        max_numbers: int,
    ) -> None:
        self._preferences = preferences
        self._desk = desk
        self._providers = providers
        self._metrics = metrics
        self._max_numbers = max_numbers

    async def preferences(self, provider_uid: str, msisdns: Sequence[str]) -> dict[str, Channel]:
        """Preferred channels; a number without one is left out. Raises InputError and StoreAway."""
        if len(msisdns) > self._max_numbers:
            raise errors.InputError(f"at most {self._max_numbers} numbers at a time", field="msisdns")
        msisdn.check_all(msisdns, field="msisdns")
        if not self._learns(provider_uid):
            return {}
        known = await self._preferences.get(provider_uid, msisdns)
        self._metrics.asked.labels(result="known").inc(len(known))
        self._metrics.asked.labels(result="unknown").inc(len(msisdns) - len(known))
        return known

    async def learn(self, items: Sequence[LearnedFor]) -> None:
        """At least once: a repeat changes nothing. Raises InputError and StoreAway."""
        msisdn.check_all([item.learned.msisdn for item in items], field="learned.msisdn")
        for provider_uid in dict.fromkeys(item.provider_uid for item in items):
            of_provider = [item.learned for item in items if item.provider_uid == provider_uid]
            if not self._learns(provider_uid):
                self._count(of_provider, "off")
                continue
            for channel in Channel:
                learned = [one for one in of_provider if one.channel is channel]
                errand = partial(self._desk.sealed_lesson, provider_uid)
                taken = await self._preferences.learn(provider_uid, learned, errand=errand)
                self._count(learned[:taken], "learned")
                self._count(learned[taken:], "older")
                if taken:
                    self._desk.lessons_kept(provider_uid)

    def _learns(self, provider_uid: str) -> bool:
        provider = self._providers.get(provider_uid)
        return provider is not None and provider.routing.learn_preferred_channel

    def _count(self, learned: Sequence[Learned], result: str) -> None:
        for one in learned:
            self._metrics.learned.labels(channel=one.channel.value, result=result).inc()
