"""Asks the sender, in one call for all, what waits and what is paused, and hands it on."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from smsbridge.api.v1 import sender_pb2
from smsbridge.core import errors
from smsbridge.provisioning.conditions import Reason
from smsbridge_operator.board import Board, Figures


class Sender(Protocol):
    """`rpc.clients.SenderClient`, as far as it is used here."""

    async def describe_queue(self, provider_uid: str = "") -> Sequence[sender_pb2.QueueDescription]: ...


class Pauses(Protocol):
    """`provisioning.service.Provisioner`, as far as it is used here."""

    async def saw_pauses(self, pauses: Mapping[str, str]) -> None: ...


class Calls(Protocol):
    """`store.portal_limiter.PortalLimiter`, as far as it is used here."""

    async def calls_today(self, portal: str) -> int: ...


class Queues:
    """`blind_seconds`: without an answer for so long it is said that nothing is seen."""

    def __init__(
        self,
        sender: Sender,
        calls: Calls,
        *,
        board: Board,
        pauses: Pauses,
        blind_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender
        self._calls = calls
        self._board = board
        self._pauses = pauses
        self._blind_seconds = blind_seconds
        self._clock = clock
        self._saw_at = clock()

    async def look(self) -> None:
        """Raises an Away where sender or store do not answer; what is shown stays as it was."""
        try:
            await self._look()
        except errors.Away as error:
            if self._clock() - self._saw_at >= self._blind_seconds:
                store = isinstance(error, errors.StoreAway)
                self._board.blind(Reason.STORE_AWAY if store else Reason.SENDER_AWAY)
            raise
        self._saw_at = self._clock()
        self._board.blind(None)

    async def _look(self) -> None:
        found = await self._sender.describe_queue()
        portals = self._board.portals()
        calls = {member: await self._calls.calls_today(member) for member in set(portals.values())}
        for queue in found:
            label = f"{queue.namespace}/{queue.name}"
            waiting = sum(lane.waiting for lane in queue.lanes)
            figures = Figures(waiting, calls.get(portals.get(label, "")))
            self._board.count(label, queue.provider_uid, figures)
        await self._pauses.saw_pauses({queue.provider_uid: queue.pause_reason for queue in found})
