"""Wires the operator: the framework on one side, provisioner and sender on the other, a lease above both."""

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import ClassVar

import grpc.aio
import structlog
from prometheus_client import CollectorRegistry

from smsbridge.core import errors
from smsbridge.provisioning import role as provisioning
from smsbridge.rpc.clients import SenderClient
from smsbridge.runtime import process, rpc, tasks
from smsbridge.smsc.client import SmscClient
from smsbridge.store.connection import Store
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring
from smsbridge.store.portal_limiter import PortalLimiter
from smsbridge.store.registry import Registry
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.framework import Framework
from smsbridge_operator.lease import Lease
from smsbridge_operator.metrics import OperatorMetrics
from smsbridge_operator.queues import Queues
from smsbridge_operator.settings import Settings

log = structlog.get_logger()

_PUBLISH_SECONDS = 30.0  # a deletion waits so long for the registry, then the framework tries again
_LOOK_SECONDS = 0.2


class Role:
    """`stop` is set where this process cannot go on; `failed` then says why, or is empty after a signal."""

    name: ClassVar[str] = "operator"

    def __init__(self, settings: Settings, *, metrics: CollectorRegistry, stop: asyncio.Event) -> None:
        keyring = Keyring.load(settings.process.master_key_file)
        self._settings = settings
        self._stop = stop
        self.failed = ""
        self._store = Store.connect(settings.store)
        self._registry = Registry(self._store, keyring)
        self._metrics = OperatorMetrics(metrics)
        self._channel: grpc.aio.Channel = rpc.channel(settings.endpoints.sender)
        operator = settings.operator
        self._cluster = Cluster(None if operator.cluster_wide else operator.namespaces)
        self._board = Board()
        limits = PortalLimiter(self._store, settings.portal)
        self._provisioning = provisioning.Role(
            settings.provisioning,
            source=self._cluster,
            store=self._store,
            keyring=keyring,
            installations=Installations(self._store, keyring),
            limits=settings.account,
            client=SmscClient(settings.smsc.client()),
            portal_limits=limits,
            metrics=metrics,
            shown=self._board.show,
        )
        self._provisioner = self._provisioning.provisioner
        self._queues = Queues(
            SenderClient(self._channel), limits, board=self._board, pauses=self._provisioner
        )
        self._lease = Lease(
            self._registry,
            owner=f"{socket.gethostname()}/{uuid.uuid4()}",
            seconds=settings.operator.lease_seconds,
        )
        self._loops = tasks.Loops(quiet=(errors.SmsbridgeError,), errors=self._metrics.loop_errors)
        self._stopping = asyncio.Event()
        self._framework = Framework(
            self._cluster, self._board, farewell=self._farewell, settings=settings.operator
        )
        self._leading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._leading = asyncio.create_task(self._lead(), name="operator")

    async def stop(self) -> None:
        self._stopping.set()
        self._board.close()
        await self._loops.stop()
        if self._leading is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._leading
        await self._lease.leave()
        await self._channel.close(None)
        await self._store.close()

    async def ready(self) -> str:
        if not self._lease.held:
            return "another operator is at work, or the store does not answer"
        return self._framework.problem or await self._provisioning.usable()

    async def _lead(self) -> None:
        if not await self._until_stopped(self._lease.acquire()):
            return
        self._metrics.leading.set(1)
        await self._provisioning.start()
        try:
            self._loops.start(
                "queues", self._queues.look, pause_seconds=self._settings.operator.queue_poll_seconds
            )
            keeping = asyncio.create_task(self._lease.keep(), name="lease")
            watching = asyncio.create_task(self._framework.run(self._stopping), name="framework")
            stopping = asyncio.create_task(self._wait_for_stop(), name="stop")
            signals = asyncio.create_task(self._take_signals_back(), name="signals")
            await asyncio.wait({keeping, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.failed = self._why(keeping, watching)
            self._stop.set()
            self._stopping.set()
            self._board.close()
            if not self._framework.listening.is_set():
                watching.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):  # reported above, or ended here
                await watching
            await tasks.end(keeping, stopping, signals)
        finally:
            self._metrics.leading.set(0)
            await self._provisioning.stop()

    async def _farewell(self, uid: str) -> bool:
        """`handlers.Farewell`: the registry has it as removed, and its portal had time to say something."""
        gone, let_go = self._provisioner.is_gone, self._provisioner.is_let_go
        if not await self._comes_true(lambda: gone(uid), within_seconds=_PUBLISH_SECONDS):
            return False
        wait_seconds = self._settings.operator.removal_wait_seconds
        if not await self._comes_true(lambda: let_go(uid), within_seconds=wait_seconds):
            log.info("resource_let_go_early", provider=uid)
        return True

    async def _comes_true(self, said: Callable[[], bool], *, within_seconds: float) -> bool:
        deadline = asyncio.get_running_loop().time() + within_seconds
        while not said():
            if asyncio.get_running_loop().time() > deadline or self._stopping.is_set():
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def _take_signals_back(self) -> None:
        """The framework has taken them, and would wait for handlers that wait for news."""
        await self._framework.listening.wait()
        process.stop_on_signals(self._stop)

    async def _wait_for_stop(self) -> None:
        await self._stopping.wait()

    async def _until_stopped(self, work: Awaitable[None]) -> bool:
        """False where it was given up because this process stops."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._wait_for_stop())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        done = working.done()
        working.cancel()
        stopping.cancel()
        return done

    def _why(self, keeping: asyncio.Task[None], watching: asyncio.Task[None]) -> str:
        """Empty where there is no fault in it: a signal that came before we took the signals back."""
        if keeping.done():
            return "another operator has taken the lease"
        if watching.done() and not watching.cancelled() and (error := watching.exception()) is not None:
            log.error("framework_failed", error=type(error).__name__, exc_info=error)
            return f"the framework has failed ({type(error).__name__})"
        return ""
