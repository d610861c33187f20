"""Wires the hlr role: store, registry and SMSC below, gRPC above, and the loops that fetch results."""

import asyncio
from functools import partial
from typing import ClassVar

from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import hlr_pb2_grpc
from smsbridge.bitrix24 import transport
from smsbridge.core import errors
from smsbridge.core.provider import Profile
from smsbridge.hlr import parts as lookup_parts
from smsbridge.hlr.entities import Crms
from smsbridge.hlr.errands import parts as errand_parts
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.service import HlrService
from smsbridge.hlr.servicer import SERVICE_NAME, HlrServicer
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.verification import parts as verification_parts
from smsbridge.provisioning.portal import Portals
from smsbridge.provisioning.tokens import TokenMetrics
from smsbridge.runtime import rpc, tasks
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc.client import SmscClient
from smsbridge.store.account import AccountLimits
from smsbridge.store.connection import Store
from smsbridge.store.egress import EgressSettings
from smsbridge.store.errands import Lane
from smsbridge.store.installations import Installations
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.keyring import Keyring
from smsbridge.store.portal_limiter import PortalLimiter
from smsbridge.store.preferences import Preferences
from smsbridge.store.registry import RegistryView


class Role:
    name: ClassVar[str] = "hlr"

    def __init__(
        self,
        settings: HlrSettings,
        *,
        store: Store,
        keyring: Keyring,
        registry: RegistryView,
        installations: Installations,
        limits: AccountLimits,
        egress: EgressSettings,
        portal_limits: PortalLimiter,
        client: SmscClient,
        metrics: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._client = client
        self._server = rpc.RpcServer(listen=settings.listen, registry=metrics)
        self._http = transport.Transport()
        self._view = InstallationsView(installations, keyring)
        apis = Portals(self._http, portal_limits, installations, metrics=TokenMetrics(metrics))
        crms = Crms(apis, self._view, registry)
        self._metrics = counted = HlrMetrics(metrics)
        looking = lookup_parts.make(
            settings,
            store=store,
            keyring=keyring,
            registry=registry,
            limits=limits,
            egress=egress,
            client=client,
            metrics=counted,
        )
        self._buying, self._lookups, self._results = looking.buying, looking.service, looking.results
        preferences = Preferences(store, keyring, kept_days=settings.preference_days)
        errands = errand_parts.make(
            settings,
            store=store,
            keyring=keyring,
            registry=registry,
            installations=installations,
            view=self._view,
            apis=apis,
            crms=crms,
            looking=looking,
            preferences=preferences,
            client=client,
            metrics=counted,
            woken=self._wake_errands,
        )
        self._errands = errands.work
        service = HlrService(
            preferences=preferences,
            providers=registry,
            desk=errands.desk,
            metrics=counted,
            max_numbers=settings.max_numbers,
        )
        checking = verification_parts.make(
            settings,
            store=store,
            keyring=keyring,
            registry=registry,
            crms=crms,
            channels=errands.channels,
            updates=errands.updates,
            looking=looking,
            metrics=counted,
            wake=self._wake_verifications,
        )
        self._verifying = checking.work
        servicer = HlrServicer(
            service,
            lookups=self._lookups,
            results=self._results,
            verifications=checking.service,
            desk=errands.desk,
        )
        hlr_pb2_grpc.add_HlrServiceServicer_to_server(servicer, self._server.server)
        self._loops = tasks.Loops(quiet=(errors.Away,), errors=counted.loop_errors)
        self._of_account: dict[str, tasks.Loop] = {}
        self._of_errands: dict[tuple[str, Lane], tasks.Loop] = {}
        self._of_verifications: tasks.Loop | None = None

    @property
    def address(self) -> str:
        return self._server.address

    async def start(self) -> None:
        await self._http.__aenter__()
        await self._view.start()
        await self._server.start([SERVICE_NAME])
        self._loops.start("measure", self._measure, pause_seconds=self._settings.measure_seconds)
        self._loops.start(
            "measure_errands", self._errands.measure, pause_seconds=self._settings.measure_seconds
        )
        self._of_verifications = self._loops.start(
            "verifications", self._verifying.step, pause_seconds=self._settings.verification.idle_seconds
        )
        self._registry.on_change(self._follow)
        self._follow()

    async def stop(self) -> None:
        """What is in hand gets its time, all at once; what is cut off is safe in the store."""
        grace = self._settings.stop_grace_seconds
        await self._verifying.close()  # first: it would have more looked up
        await asyncio.gather(
            self._server.stop(grace_seconds=grace),
            self._loops.stop(grace_seconds=grace),
            self._buying.close(),
        )
        await self._view.stop()
        await self._http.__aexit__(None, None, None)
        await self._client.close()

    async def ready(self) -> str:
        return await self._store.check()

    async def _measure(self) -> None:
        await self._lookups.measure()
        self._metrics.keep(self._registry.all())

    def _wake_verifications(self) -> None:
        """One may be free."""
        if self._of_verifications is not None:
            self._of_verifications.wake()

    def _follow(self) -> None:
        """Each account whose results come later has one loop that fetches them."""
        accounts = {
            smsc_account.of(one.account).key
            for one in self._registry.live()
            if one.account.profile is Profile.HTTP
        }
        for key in accounts - set(self._of_account):
            step = partial(self._results.step, key)
            self._of_account[key] = self._loops.start(
                "results", step, pause_seconds=self._settings.idle_seconds
            )
        for key in set(self._of_account) - accounts:
            self._of_account.pop(key).finish()
        self._metrics.known(self._registry.all())
        self._follow_errands()

    def _follow_errands(self) -> None:
        """Each provider has a loop for its workflows' steps, and one for the rest; a removed one until it is
        forgotten, since what waits must be answered.
        """
        wanted = {(one.uid, lane) for one in self._registry.all() for lane in Lane}
        for key in wanted - set(self._of_errands):
            self._of_errands[key] = self._loops.start(
                "errands", partial(self._errands.step, *key), pause_seconds=self._settings.errand_idle_seconds
            )
        for key in set(self._of_errands) - wanted:
            self._of_errands.pop(key).finish()

    def _wake_errands(self, uid: str, lane: Lane) -> None:
        loop = self._of_errands.get((uid, lane))
        if loop is not None:
            loop.wake()
