"""How much of each portal's limits is used and its spare tokens, as gauges of the providers that write to it.

A portal has no name in a label, so that every provider shows its portal's figures; those of one portal agree.
"""

from collections.abc import Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from smsbridge.bitrix24 import messageservice
from smsbridge.core.installation import Installation
from smsbridge.core.provider import Provider
from smsbridge.store.portal_limiter import Headroom

_PROVIDER = ("namespace", "provider")


class Providers(Protocol):
    def all(self) -> list[Provider]: ...


class Installations(Protocol):
    def for_provider(self, provider: Provider) -> Installation | None: ...


class Limits(Protocol):
    async def headroom(self, portal: str, *, method: str) -> Headroom: ...


class PortalFigures:
    def __init__(
        self,
        *,
        providers: Providers,
        installations: Installations,
        limits: Limits,
        registry: CollectorRegistry,
    ) -> None:
        self._providers = providers
        self._installations = installations
        self._limits = limits
        self._operating = Gauge(
            "smsbridge_portal_operating_used_ratio",
            "Share of the operating time that the portal allows status updates, used in its window.",
            _PROVIDER,
            registry=registry,
        )
        self._cost = Gauge(
            "smsbridge_portal_operating_cost_seconds",
            "Operating time that one status update takes in the portal, as its answers told.",
            _PROVIDER,
            registry=registry,
        )
        self._requests = Gauge(
            "smsbridge_portal_requests_used_ratio",
            "Share of the burst of requests that the portal takes at once, in use now.",
            _PROVIDER,
            registry=registry,
        )
        self._spare = Gauge(
            "smsbridge_portal_spare_tokens",
            "Tokens of other administrators that stand in where the one in use dies.",
            _PROVIDER,
            registry=registry,
        )

    async def measure(self) -> None:
        """One question to the store for each portal. Raises StoreAway."""
        known: dict[str, list[tuple[Provider, Installation]]] = {}
        for provider in self._providers.all():
            installation = self._installations.for_provider(provider)
            if installation is not None:
                known.setdefault(installation.member_id, []).append((provider, installation))
        method = messageservice.STATUS_METHOD
        found = {portal: await self._limits.headroom(portal, method=method) for portal in known}
        for gauge in (self._operating, self._cost, self._requests, self._spare):
            gauge.clear()  # and filled at once: a scrape in between would miss them
        for portal, headroom in found.items():
            self._show(headroom, known[portal])

    def _show(self, found: Headroom, those: Sequence[tuple[Provider, Installation]]) -> None:
        for provider, installation in those:
            labels = (provider.namespace, provider.name)
            self._spare.labels(*labels).set(len(installation.spares))
            self._operating.labels(*labels).set(found.operating_ratio)
            self._cost.labels(*labels).set(found.cost_seconds)
            self._requests.labels(*labels).set(found.requests_ratio)
