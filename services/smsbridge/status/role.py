"""Wires the status role: store, registry and clients below, gRPC above, and the loops that move things on."""

from typing import ClassVar

from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import status_pb2_grpc
from smsbridge.bitrix24 import transport
from smsbridge.core import errors
from smsbridge.provisioning.portal import Portals
from smsbridge.provisioning.tokens import TokenMetrics
from smsbridge.rpc import clients
from smsbridge.runtime import rpc, rpc_calls, tasks
from smsbridge.smsc.client import SmscClient
from smsbridge.status.applier import Applier
from smsbridge.status.care import AccountCare
from smsbridge.status.cascade import Cascade
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.placing import Placing
from smsbridge.status.poller import Poller
from smsbridge.status.portal_figures import PortalFigures
from smsbridge.status.report import Reports
from smsbridge.status.service import StatusService
from smsbridge.status.servicer import SERVICE_NAME, StatusServicer
from smsbridge.status.settings import StatusSettings
from smsbridge.status.writer import Writer
from smsbridge.store.account import AccountLimits, Accounts
from smsbridge.store.care import Care
from smsbridge.store.connection import Store
from smsbridge.store.delivery import Deliveries
from smsbridge.store.egress import Egress, EgressSettings
from smsbridge.store.installations import Installations
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.keyring import Keyring
from smsbridge.store.portal_limiter import PortalLimiter, PortalLimits
from smsbridge.store.portal_outbox import PortalOutbox
from smsbridge.store.receipts import Receipts
from smsbridge.store.registry import RegistryView
from smsbridge.store.rollups import Rollups


class Role:
    name: ClassVar[str] = "status"

    def __init__(
        self,
        settings: StatusSettings,
        *,
        store: Store,
        keyring: Keyring,
        registry: RegistryView,
        installations: Installations,
        endpoints: rpc.Endpoints,
        limits: AccountLimits,
        egress: EgressSettings,
        portal_limits: PortalLimits,
        client: SmscClient,
        metrics: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._installations = installations
        self._client = client
        self._metrics = StatusMetrics(metrics)
        self._tokens = TokenMetrics(metrics)
        self._receipts = Receipts(store, settings.receipts)
        self._deliveries = Deliveries(store, grace_seconds=settings.grace_seconds)
        self._accounts = Accounts(store, limits)
        self._rollups = Rollups(store)
        self._view = InstallationsView(installations, keyring)
        # What was taken to be written must leave soon, or its flight might outlast its rest.
        hurried = portal_limits.model_copy(update={"patience_seconds": settings.portal_turn_seconds})
        self._turns = PortalLimiter(store, hurried)
        self._figures = PortalFigures(
            providers=registry, installations=self._view, limits=self._turns, registry=metrics
        )
        self._http = transport.Transport()
        calls = rpc_calls.ClientCalls(metrics)
        self._channels = [rpc.channel(to, calls=calls) for to in (endpoints.sender, endpoints.hlr)]
        self._care = AccountCare(Care(self._accounts, Egress(store, egress)), self._metrics)
        self._service = StatusService(
            receipts=self._receipts,
            deliveries=self._deliveries,
            providers=registry,
            accounts=self._accounts,
            reports=Reports(self._rollups),
            metrics=self._metrics,
            kept=self._kept,
            watch_seconds=settings.watch_seconds,
        )
        self._loops = tasks.Loops(quiet=(errors.Away,), errors=self._metrics.loop_errors)
        self._inbox: tasks.Loop | None = None
        self._writer: Writer | None = None
        self._server = rpc.RpcServer(listen=settings.listen, registry=metrics)
        status_pb2_grpc.add_StatusServiceServicer_to_server(
            StatusServicer(self._service), self._server.server
        )

    @property
    def address(self) -> str:
        return self._server.address

    async def start(self) -> None:
        settings = self._settings
        await self._http.__aenter__()
        await self._view.start()
        await self._server.start([SERVICE_NAME])
        self._inbox = self._loops.start("inbox", self._applier().step, pause_seconds=settings.inbox_seconds)
        self._loops.start("cascade", self._cascade().step, pause_seconds=settings.tick_seconds)
        self._loops.start("poll", self._poller().step, pause_seconds=settings.poll_seconds)
        self._writer = self._make_writer()
        self._loops.start("portal", self._writer.step, pause_seconds=settings.portal_tick_seconds)
        self._loops.start("placing", self._placing().step, pause_seconds=settings.placing_seconds)
        self._loops.start("metrics", self._measure, pause_seconds=settings.metrics_seconds)
        self._loops.start("savings", self._measure_savings, pause_seconds=settings.savings_seconds)
        self._registry.on_change(self._follow)
        self._follow()

    async def stop(self) -> None:
        """No new calls; what is in hand is finished. What was taken and is not, is due again by itself."""
        grace_seconds = self._settings.stop_grace_seconds
        await self._server.stop(grace_seconds=grace_seconds)
        await self._loops.stop(grace_seconds=grace_seconds)
        if self._writer is not None:
            await self._writer.drain(grace_seconds=grace_seconds)
        await self._view.stop()
        await self._http.__aexit__(None, None, None)
        await self._client.close()
        for channel in self._channels:
            await channel.close(None)

    async def ready(self) -> str:
        return await self._store.check()

    def _follow(self) -> None:
        self._metrics.known(self._registry.all())

    def _kept(self) -> None:
        if self._inbox is not None:
            self._inbox.wake()

    async def _measure(self) -> None:
        ledgers = await self._service.ledgers()
        self._metrics.show({provider.uid: (provider, view) for provider, view in ledgers})
        self._metrics.show_parked(await self._service.parked())
        await self._figures.measure()

    async def _measure_savings(self) -> None:
        """Apart: a day's rollups of every provider are read for it, and nothing hangs on its seconds."""
        self._metrics.show_savings(await self._service.savings_of_today())

    def _applier(self) -> Applier:
        return Applier(
            self._settings,
            receipts=self._receipts,
            deliveries=self._deliveries,
            providers=self._registry,
            care=self._care,
            metrics=self._metrics,
        )

    def _cascade(self) -> Cascade:
        return Cascade(
            deliveries=self._deliveries,
            providers=self._registry,
            sender=clients.SenderClient(self._channels[0]),
            hlr=clients.HlrClient(self._channels[1]),
            metrics=self._metrics,
        )

    def _placing(self) -> Placing:
        return Placing(
            rollups=self._rollups,
            providers=self._registry,
            numbers=clients.HlrClient(self._channels[1]),
            most=self._settings.placing_most,
        )

    def _poller(self) -> Poller:
        return Poller(
            self._settings,
            deliveries=self._deliveries,
            providers=self._registry,
            accounts=self._accounts,
            client=self._client,
            care=self._care,
            metrics=self._metrics,
        )

    def _make_writer(self) -> Writer:
        settings = self._settings
        outbox = PortalOutbox(
            self._store,
            most_age_seconds=settings.portal_most_age_seconds,
            not_found_first_seconds=settings.not_found_first_seconds,
            not_found_total_seconds=settings.not_found_total_seconds,
        )
        return Writer(
            settings,
            outbox=outbox,
            providers=self._registry,
            installations=self._view,
            portals=Portals(self._http, self._turns, self._installations, metrics=self._tokens),
            turns=self._turns,
            metrics=self._metrics,
        )
