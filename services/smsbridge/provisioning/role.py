"""Wires the provisioner: what is declared on one side; registry, portals and accounts on the other."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import ClassVar

from prometheus_client import CollectorRegistry

from smsbridge.bitrix24 import limiter
from smsbridge.core import errors
from smsbridge.provisioning import account_check, counted, portal, portal_check, reconcile, service, tokens
from smsbridge.provisioning.metrics import ProvisionerMetrics
from smsbridge.provisioning.public_url import PublicUrls
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.runtime import clock as clocks
from smsbridge.runtime import tasks
from smsbridge.smsc.client import SmscClient
from smsbridge.store.account import AccountLimits, Accounts
from smsbridge.store.connection import Store
from smsbridge.store.egress import Egress, EgressSettings
from smsbridge.store.installations import Installations
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.keyring import Keyring
from smsbridge.store.registry import Registry


class Role:
    """`client` and `accounts` are handed in; what this role opens itself (HTTP to the portals) it closes
    itself.
    """

    name: ClassVar[str] = "provisioner"

    def __init__(
        self,
        settings: ProvisioningSettings,
        *,
        source: service.Source,
        store: Store,
        keyring: Keyring,
        installations: Installations,
        limits: AccountLimits,
        egress: EgressSettings,
        client: SmscClient,
        portal_limits: limiter.Limiter,
        metrics: CollectorRegistry,
        shown: Callable[[service.Change], None] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = Registry(store, keyring)
        self._view = InstallationsView(installations, keyring)
        self._metrics = ProvisionerMetrics(metrics)
        self._client = client
        self._http = counted.Http(self._metrics.requests)
        self._open = AsyncExitStack()
        self._key_right = False
        self._loops = tasks.Loops(quiet=(errors.SmsbridgeError,), errors=self._metrics.loop_errors)
        self.provisioner = service.Provisioner(
            settings,
            source=source,
            registry=self._registry,
            clients=reconcile.Clients(
                account=account_check.AccountClients(
                    counted.Smsc(client, self._metrics.requests),
                    Accounts(store, limits),
                    Egress(store, egress),
                ),
                portal=portal_check.PortalClients(
                    portal.Portals(
                        self._http,
                        portal_limits,
                        installations,
                        settings=settings.tokens,
                        metrics=tokens.TokenMetrics(metrics),
                    ),
                    installations,
                    keyring,
                ),
                public_urls=PublicUrls(interval_seconds=settings.shortest_interval_seconds),
                settings=settings,
            ),
            metrics=self._metrics,
            clock=clocks.SystemClock(),
            shown=shown or service.nobody,
        )

    async def start(self) -> None:
        await self._open.enter_async_context(self._http)
        reconciling = self._loops.start("reconcile", self.provisioner.reconcile_due, pause_seconds=1.0)

        async def follow() -> None:
            if await self.provisioner.follow():
                reconciling.wake()

        pause_seconds = self._settings.manifests_poll_seconds
        self._loops.start("manifests", follow, pause_seconds=pause_seconds, error_pause_seconds=pause_seconds)
        self._view.on_change(self.provisioner.installations_changed)
        self._view.on_change(lambda _: reconciling.wake())
        await self._view.start()

    async def stop(self) -> None:
        await self._view.stop()
        await self._loops.stop()
        await self.provisioner.stop()
        await self._client.close()
        await self._open.aclose()

    async def ready(self) -> str:
        return await self.usable() or self.provisioner.problem

    async def usable(self) -> str:
        """Empty where store and key are right, whatever is declared or not; else why not."""
        return await self._store.check() or await self._key_problem()

    async def _key_problem(self) -> str:
        """Asked until it is right once: the key of a running process does not change."""
        if self._key_right:
            return ""
        try:
            wrong = await self._registry.check_key(advance=True)
        except errors.StoreAway as away:
            return away.sentence
        self._key_right = not wrong
        return wrong
