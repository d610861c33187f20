"""Wires the sender: gRPC server, and for every provider its pumps, reconciler and upkeep."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import ClassVar

from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import sender_pb2, sender_pb2_grpc
from smsbridge.core import errors
from smsbridge.core.message import Lane
from smsbridge.core.provider import Provider
from smsbridge.provisioning import sections
from smsbridge.rpc import clients
from smsbridge.runtime import rpc, rpc_calls, tasks
from smsbridge.sender import care, checking, pump, reconcile, sending, service, servicer, upkeep
from smsbridge.sender import metrics as sender_metrics
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.sender.queue_figures import QueueFigures
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc.client import SmscClient
from smsbridge.store import account as store_account
from smsbridge.store import connection, outbox, persistence
from smsbridge.store.egress import Egress, EgressSettings
from smsbridge.store.installations import Installations
from smsbridge.store.registry import RegistryView

_MEASURE_SECONDS = 5.0


class Role:
    name: ClassVar[str] = "sender"

    def __init__(
        self,
        settings: SenderSettings,
        *,
        store: connection.Store,
        registry: RegistryView,
        installations: Installations,
        endpoints: rpc.Endpoints,
        limits: store_account.AccountLimits,
        egress: EgressSettings,
        client: SmscClient,
        metrics: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._client = client
        self._metrics = SenderMetrics(metrics)
        self._outbox = outbox.Outbox(store)
        self._accounts = store_account.Accounts(store, limits)
        calls = rpc_calls.ClientCalls(metrics)
        self._channels = [rpc.channel(to, calls=calls) for to in (endpoints.status, endpoints.hlr)]
        self._egress = Egress(store, egress)
        self._care = care.AccountCare(settings, accounts=self._accounts, egress=self._egress, client=client)
        numbers = clients.HlrClient(self._channels[1])
        self._sending = sending.Sending(
            settings,
            outbox_=self._outbox,
            accounts=self._accounts,
            client=client,
            preferences=numbers,
            checking_=checking.Checking(
                settings,
                outbox_=self._outbox,
                numbers=numbers,
                rules=lambda uid: sections.hlr(registry.entry(uid)),
                metrics=self._metrics,
            ),
            care=self._care,
            metrics=self._metrics,
        )
        self._reconciler = reconcile.Reconciler(
            settings,
            outbox_=self._outbox,
            accounts=self._accounts,
            care=self._care,
            sending=self._sending,
            providers=registry.all,
            metrics=self._metrics,
        )
        self._queues = QueueFigures(metrics)
        self._upkeep = upkeep.Upkeep(
            outbox_=self._outbox,
            installations=installations,
            status=clients.StatusClient(self._channels[0]),
        )
        self._service = service.SenderService(
            settings,
            registry=registry,
            outbox_=self._outbox,
            accounts=self._accounts,
            stopped_for=self._egress.stopped_for,
            full=lambda: self._memory >= store.settings.accept_below_memory,
            taken=self._taken,
        )
        self._in_hand = pump.InHand()
        self._loops = tasks.Loops(quiet=(errors.Away,), errors=self._metrics.loop_errors)
        self._of_provider: dict[str, dict[str, tasks.Loop]] = {}
        self._server = rpc.RpcServer(listen=settings.listen, registry=metrics)
        self._memory = 0.0

    @property
    def address(self) -> str:
        return self._server.address

    async def start(self) -> None:
        sender_pb2_grpc.add_SenderServiceServicer_to_server(
            servicer.SenderServicer(self._service), self._server.server
        )
        await self._server.start([sender_pb2.DESCRIPTOR.services_by_name["SenderService"].full_name])
        self._loops.start("memory", self._look_at_memory, pause_seconds=self._settings.memory_check_seconds)
        self._loops.start("measure", self._measure, pause_seconds=_MEASURE_SECONDS)
        self._registry.on_change(self._follow)
        self._follow()

    async def stop(self) -> None:
        """No new claims; batches in hand come to their outcome."""
        await self._server.stop()
        await self._loops.stop()
        await self._in_hand.drain()
        await self._care.close()
        await self._client.close()
        for channel in self._channels:
            await channel.close(None)

    async def ready(self) -> str:
        return await self._store.check()

    def _follow(self) -> None:
        """Each provider of the registry has its loops, once; they look up its settings at every step."""
        for provider in self._registry.all():
            if provider.uid not in self._of_provider:
                self._of_provider[provider.uid] = self._start_loops(provider.uid)
            for loop in self._of_provider[provider.uid].values():
                loop.wake()
        self._metrics.known(self._registry.all())
        known = {provider.uid for provider in self._registry.all()}
        for uid in set(self._of_provider) - known:
            for loop in self._of_provider.pop(uid).values():
                loop.finish()

    def _start_loops(self, uid: str) -> dict[str, tasks.Loop]:
        idle, upkeep_seconds = self._settings.idle_seconds, self._settings.upkeep_seconds
        loops = {
            lane.value: self._loops.start(
                f"pump_{lane}", partial(self._pump_step, uid, self._pump(lane)), pause_seconds=idle
            )
            for lane in Lane
        }
        loops["reconcile"] = self._loops.start(
            "reconcile", partial(self._with, uid, self._reconcile_step), pause_seconds=idle
        )
        loops["tell"] = self._loops.start(
            "tell", partial(self._with, uid, self._upkeep.tell), pause_seconds=idle
        )
        loops["reap"] = self._loops.start(
            "reap", partial(self._with, uid, self._upkeep.reap), pause_seconds=upkeep_seconds
        )
        loops["probe"] = self._loops.start(
            "probe", partial(self._with, uid, self._probe_step), pause_seconds=upkeep_seconds
        )
        loops["held"] = self._loops.start(
            "held", partial(self._with, uid, self._held_step), pause_seconds=self._settings.held_check_seconds
        )
        return loops

    def _pump(self, lane: Lane) -> pump.Pump:
        return pump.Pump(
            self._settings,
            lane=lane,
            outbox_=self._outbox,
            accounts=self._accounts,
            care=self._care,
            sending=self._sending,
            in_hand=self._in_hand,
            binding=self._bound,
        )

    def _bound(self, provider: Provider, limit: str) -> None:
        if not provider.removed:  # what waits there fails; nothing holds it back
            self._metrics.binding.met(provider.namespace, provider.name, limit)

    async def _with(self, uid: str, step: Callable[[Provider], Awaitable[float | None]]) -> float | None:
        provider = self._registry.get(uid)
        return None if provider is None else await step(provider)

    async def _pump_step(self, uid: str, one: pump.Pump) -> float | None:
        provider = self._registry.get(uid)
        if provider is None or provider.removed:
            return None
        if provider.paused:
            self._bound(provider, sender_metrics.PAUSE)
            return None
        if self._memory >= self._store.settings.claim_below_memory:
            self._bound(provider, sender_metrics.STORE_MEMORY)
            return None
        return await one.step(provider)

    async def _reconcile_step(self, provider: Provider) -> float | None:
        return await self._reconciler.step(provider)

    async def _probe_step(self, provider: Provider) -> None:
        account = smsc_account.of(provider.account)
        await self._care.changed_secret(provider, account)
        await self._care.probe(provider, account)

    async def _held_step(self, provider: Provider) -> None:
        if await self._upkeep.compare_held(provider):
            self._taken(provider, Lane.INTERACTIVE)
            self._taken(provider, Lane.BULK)

    def _taken(self, provider: Provider, lane: Lane) -> None:
        loop = self._of_provider.get(provider.uid, {}).get(lane.value)
        if loop is not None:
            loop.wake()

    async def _look_at_memory(self) -> None:
        try:
            self._memory = await self._store.memory_used()
            self._metrics.show_store(await persistence.checks(self._store))
        except errors.StoreAway:
            self._metrics.show_store(None)
            raise
        self._metrics.memory.set(self._memory)

    async def _measure(self) -> None:
        self._metrics.keep(self._registry.all())
        self._queues.show(await self._service.describe())
