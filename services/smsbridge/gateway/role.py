"""The gateway's wiring: journal, ways to the owners, doors, and the loops behind them."""

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from typing import ClassVar

import grpc.aio
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from smsbridge.bitrix24 import limiter, transport
from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.gateway import drain, install, standing
from smsbridge.gateway.authenticate import DoorKeys, TokenBook
from smsbridge.gateway.callbacks import Callbacks
from smsbridge.gateway.doors import Doors
from smsbridge.gateway.events import Events
from smsbridge.gateway.journal import Journal, Kind
from smsbridge.gateway.leaving import Leaving
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.gateway.service import Accepting
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient
from smsbridge.runtime import addresses, rpc, tasks
from smsbridge.runtime.tasks import Loop, Loops
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.keyring import Keyring
from smsbridge.store.registry import RegistryView

log = structlog.get_logger()

_IDLE_SECONDS = 60.0  # between two looks at an empty list of events; a new one wakes the loop
_LINGER_SECONDS = (
    2.0  # how long the rest of a refused post is read and thrown away, so that the answer arrives
)
_BACKLOG = 1024


class Role:
    name: ClassVar[str] = "gateway"

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        keyring: Keyring,
        store: Store,
        registry: RegistryView,
        installations: Installations,
        endpoints: rpc.Endpoints,
        metrics: CollectorRegistry,
        limits: limiter.Limiter,
    ) -> None:
        """`registry` is started and stopped by its owner. `limits` govern requests to portals."""
        self._settings = settings
        self._store = store
        self._registry = registry
        self._metrics = GatewayMetrics(metrics)
        self.journal = Journal(settings.journal_dir, keyring, now_ms=_now_ms)
        self._view = InstallationsView(
            installations, keyring, poll_seconds=settings.installations_poll_seconds
        )
        self._snapshots = standing.Snapshots(self.journal, registry, self._view)
        self._keys = DoorKeys(keyring)
        self._tokens = TokenBook(keyring)
        self._installations = installations
        self._endpoints = endpoints
        self._limits = limits
        self._stack = AsyncExitStack()
        self._journal_id = ""
        self._depth_loop: Loop | None = None
        self._depth_was_zero = True
        self._view_starting: asyncio.Task[None] | None = None
        self.address = ""

    async def start(self) -> None:
        """Serves from what it knew before where the store is away. Raises ConfigError."""
        async with AsyncExitStack() as stack:
            await self.journal.open()
            stack.push_async_callback(self.journal.close)
            stack.push_async_callback(self._save_at_last)
            self._journal_id = await standing.journal_id(self.journal)
            await self._open_views(stack)
            doors = await self._build(stack)
            await self._listen(doors, stack)
            self._stack = stack.pop_all()
        log.info("gateway_listens", address=self.address, journal_depth=self.journal.depth)

    async def stop(self) -> None:
        """Posts in hand are answered first; what the journal holds stays for the next start."""
        await self._stack.aclose()

    async def ready(self) -> str:
        if not self._registry.loaded:
            return "no registry has been seen yet: the store is away, and no snapshot of it is in the journal"
        if self.journal.failing:
            return "the journal cannot be written: free space on its disk"
        return ""

    async def _open_views(self, stack: AsyncExitStack) -> None:
        """A store that hangs must not keep the doors shut: the snapshots serve until it answers."""
        self._registry.on_change(self._registry_changed)
        self._view.on_change(self._installations_changed)
        self._view_starting = asyncio.create_task(self._view.start(), name="installations view start")
        stack.push_async_callback(self._close_view)
        await asyncio.wait({self._view_starting}, timeout=self._settings.start_wait_seconds)
        await self._snapshots.restore()
        self._registry_changed()

    async def _close_view(self) -> None:
        await tasks.end(self._view_starting)
        await self._view.stop()

    async def _build(self, stack: AsyncExitStack) -> Doors:
        settings = self._settings
        sender = SenderClient(await self._channel(self._endpoints.sender, stack))
        status = StatusClient(await self._channel(self._endpoints.status, stack))
        hlr = HlrClient(await self._channel(self._endpoints.hlr, stack))
        http = await stack.enter_async_context(transport.Transport())
        accepting = Accepting(
            sender=sender,
            status=status,
            hlr=hlr,
            journal=self.journal,
            metrics=self._metrics,
            settings=settings,
        )
        stack.push_async_callback(accepting.close)
        events = Events(
            accepting=accepting,
            journal=self.journal,
            installing=install.Installing(http=http, limits=self._limits, installations=self._installations),
            find=self._registry.get,
            metrics=self._metrics,
        )
        messages, receipts, results, errands = drain.owners(
            sender=sender,
            status=status,
            hlr=hlr,
            seconds=settings.drain_timeout_seconds,
            is_removed=self._is_removed,
        )
        draining = drain.Drain(
            self.journal,
            [
                (messages, accepting.messages),
                (receipts, accepting.receipts),
                (results, accepting.results),
                (errands, accepting.errands),
            ],
            settings=settings,
        )
        self._start_loops(events, draining, stack)
        return Doors(
            settings=settings,
            keys=self._keys,
            tokens=self._tokens,
            accepting=accepting,
            callbacks=Callbacks(accepting, self._metrics, now_ms=_now_ms),
            events=events,
            metrics=self._metrics,
            is_open=lambda: self._registry.loaded,
            now_ms=_now_ms,
        )

    def _start_loops(self, events: Events, draining: drain.Drain, stack: AsyncExitStack) -> None:
        settings = self._settings
        loops = Loops(quiet=(errors.Away,), errors=self._metrics.loop_errors)

        async def stop() -> None:
            await loops.stop(grace_seconds=settings.stop_seconds)

        async def drain_step() -> float:
            if self.journal.depth > self.journal.depths[Kind.EVENT]:
                await draining.step()
            return settings.drain_pause_seconds

        async def event_step() -> float:
            return _IDLE_SECONDS if await events.step() else settings.event_retry_seconds

        stack.push_async_callback(stop)
        loops.start("drain", drain_step, pause_seconds=settings.drain_pause_seconds)
        event_loop = loops.start(
            "events",
            event_step,
            pause_seconds=_IDLE_SECONDS,
            error_pause_seconds=settings.event_retry_seconds,
        )
        events.on_taken = event_loop.wake
        loops.start("snapshots", self._save, pause_seconds=settings.installations_poll_seconds)
        self._depth_loop = loops.start("depth", self._report, pause_seconds=settings.depth_report_seconds)
        self.journal.on_change = self._journal_changed
        self._journal_changed()

    async def _channel(self, address: str, stack: AsyncExitStack) -> grpc.aio.Channel:
        channel = rpc.channel(address)
        stack.push_async_callback(channel.close, None)
        return channel

    async def _listen(self, doors: Doors, stack: AsyncExitStack) -> None:
        """aiohttp's bare server: an application's router and middlewares would halve what it can take.

        No access log: its lines hold URLs, and URLs hold keys. Raises ConfigError where the address is taken.
        """
        settings = self._settings
        host, port = addresses.split(settings.listen)
        leaving = Leaving(doors)
        server = web.Server(leaving, access_log=None, lingering_time=_LINGER_SECONDS, auto_decompress=False)
        runner = web.ServerRunner(server, shutdown_timeout=settings.stop_seconds)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        try:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            raise errors.ConfigError(
                f"cannot listen on {settings.listen} ({error.strerror})", field="gateway.listen"
            ) from error
        self.address = addresses.join(host, runner.addresses[0][1])
        stack.push_async_callback(leaving.see_off, server, seconds=settings.leave_seconds)

    def _registry_changed(self) -> None:
        self._snapshots.changed_registry()
        providers = self._registry.all()
        self._keys.rebuild(providers)
        self._tokens.rebuild(providers, self._view)

    def _installations_changed(self, _: list[Installation]) -> None:
        self._snapshots.changed_installations()
        self._tokens.rebuild(self._registry.all(), self._view)

    def _is_removed(self, uid: str) -> bool:
        provider = self._registry.get(uid)
        return provider is None or provider.removed

    async def _save(self) -> None:
        await self._snapshots.save()
        if self.journal.failing:  # a write that succeeds says that it is well again
            await self.journal.put(standing.JOURNAL_ID, self._journal_id.encode())

    async def _save_at_last(self) -> None:
        with contextlib.suppress(errors.Away):  # the last snapshot but one is there
            await self._snapshots.save()

    async def _report(self) -> None:
        await standing.report_depth(self._store, self.journal, journal_id=self._journal_id)

    def _journal_changed(self) -> None:
        for kind in Kind:
            self._metrics.journal_depth.labels(kind.value).set(self.journal.depths[kind])
            self._metrics.journal_set_aside.labels(kind.value).set(self.journal.set_asides[kind])
        zero = self.journal.depths[Kind.MESSAGE] == 0
        if zero != self._depth_was_zero and self._depth_loop is not None:
            self._depth_was_zero = zero
            self._depth_loop.wake()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
