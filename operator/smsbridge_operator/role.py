"""Wires the operator: the framework on one side, provisioner and sender on the other, a lease above both."""

import asyncio
import socket
import uuid
from collections.abc import Callable, Coroutine
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
from smsbridge_operator import api, handlers
from smsbridge_operator.board import Board
from smsbridge_operator.cluster import Cluster
from smsbridge_operator.framework import Framework
from smsbridge_operator.lease import Lease
from smsbridge_operator.metrics import OperatorMetrics
from smsbridge_operator.queues import Queues
from smsbridge_operator.settings import Settings
from smsbridge_operator.writer import Writer

log = structlog.get_logger()

_PUBLISH_SECONDS = 30.0  # a deletion waits so long for the registry, then the framework tries again
_LOOK_SECONDS = 0.2
_WRITE_SECONDS = 0.1  # what changes within it is written together


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
        self._server = api.Api()
        self._cluster, self._board = Cluster(self._server), Board()
        limits = PortalLimiter(self._store, settings.portal)
        self._provisioning = provisioning.Role(
            settings.provisioning,
            source=self._cluster,
            store=self._store,
            keyring=keyring,
            installations=Installations(self._store, keyring),
            limits=settings.account,
            egress=settings.egress,
            client=SmscClient(settings.smsc.client()),
            portal_limits=limits,
            metrics=metrics,
            shown=self._board.show,
        )
        self._provisioner = self._provisioning.provisioner
        self._queues = Queues(
            SenderClient(self._channel),
            limits,
            board=self._board,
            pauses=self._provisioner,
            blind_seconds=settings.operator.blind_seconds,
        )
        self._writer = Writer(self._board, self._cluster, self._server)
        self._lease = Lease(
            self._registry,
            owner=f"{socket.gethostname()}/{uuid.uuid4()}",
            seconds=settings.operator.lease_seconds,
        )
        self._loops = tasks.Loops(quiet=(errors.SmsbridgeError,), errors=self._metrics.loop_errors)
        self._stopping = asyncio.Event()
        self._framework = Framework(
            self._cluster,
            self._server,
            handlers.registry(self._cluster, self._board, farewell=self._farewell),
            settings=settings.operator,
            # The framework takes the process's signals for itself when it begins.
            listens=lambda: process.stop_on_signals(stop),
        )
        self._leading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._leading = asyncio.create_task(self._lead(), name="operator")
        self._leading.add_done_callback(self._ended)

    async def stop(self) -> None:
        self._stopping.set()
        self._board.close()
        await self._loops.stop()
        if self._leading is not None:
            await asyncio.wait({self._leading})
        await self._lease.leave()
        await self._server.close()
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
        pause_seconds = self._settings.operator.queue_poll_seconds
        self._loops.start("queues", self._queues.look, pause_seconds=pause_seconds)
        self._loops.start("status", self._writer.step, pause_seconds=_WRITE_SECONDS, error_pause_seconds=2.0)
        working = [
            asyncio.create_task(self._keep_lease(), name="lease"),
            asyncio.create_task(self._framework.run(self._stopping), name="framework"),
        ]
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait({*working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in working:
                if task.done():
                    task.result()
        finally:
            self._stopping.set()
            self._board.close()
            if not self._framework.listening.is_set():
                working[1].cancel()
            await asyncio.wait({working[1]})
            await tasks.end(*working, stopping)
            self._metrics.leading.set(0)
            await self._provisioning.stop()

    async def _keep_lease(self) -> None:
        await self._lease.keep()
        raise errors.ServiceAway("another operator has taken the lease")

    def _ended(self, leading: asyncio.Task[None]) -> None:
        """Without it this process is of no use, whatever the reason: it is to be started anew."""
        if not leading.cancelled() and (error := leading.exception()) is not None:
            known = isinstance(error, errors.SmsbridgeError)
            log.error("operator_failed", error=type(error).__name__, exc_info=None if known else error)
            self.failed = str(error) if known else f"it has failed ({type(error).__name__})"
        self._stop.set()

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

    async def _until_stopped(self, work: Coroutine[None, None, None]) -> bool:
        """False where it was given up because this process stops. Raises what the work raises."""
        working = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                return False
            working.result()
            return True
        finally:
            await tasks.end(working, stopping)
