"""Accepting: a message, a receipt, a look-up's result or an errand goes to its owner, else to the journal.

What is answered here is on disk, in the store or in the journal. Nothing is judged: what a phone or a text
is worth, and whether a message may go, the sender decides.
"""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum

import structlog

from smsbridge.api.v1 import hlr_pb2, sender_pb2, status_pb2
from smsbridge.core.errand import Errand, ErrandKind, ErrandResult
from smsbridge.core.message import Lane
from smsbridge.gateway.journal import Journal, Kind, NewEntry
from smsbridge.gateway.journal_thread import JournalFailed
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.gateway.way import Way
from smsbridge.rpc import errand as rpc_errand
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc import message as rpc_message
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient
from smsbridge.rpc.enums import ERRAND_RESULT, SUBMITTED, Submitted

log = structlog.get_logger()


class Accepted(StrEnum):
    """What became of one item at the door. All but LOST are on disk."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    HELD = "held"
    JOURNALLED = "journalled"
    SET_ASIDE = "set_aside"
    DROPPED = "dropped"  # nobody takes such things yet, or nobody waits for what would come of it
    LOST = "lost"  # neither its owner nor the journal took it; the caller is told


_TAKEN = {
    Submitted.ACCEPTED: Accepted.ACCEPTED,
    Submitted.DUPLICATE: Accepted.DUPLICATE,
    Submitted.FAILED: Accepted.FAILED,
    Submitted.HELD: Accepted.HELD,
}
_TAKEN_ERRANDS = {
    ErrandResult.TAKEN: Accepted.ACCEPTED,
    ErrandResult.DUPLICATE: Accepted.DUPLICATE,
}


class Accepting:
    def __init__(
        self,
        *,
        sender: SenderClient,
        status: StatusClient,
        hlr: HlrClient,
        journal: Journal,
        metrics: GatewayMetrics,
        settings: GatewaySettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender
        self._status = status
        self._hlr = hlr
        self._journal = journal
        self._metrics = metrics

        def counted(owner: str) -> Callable[[int], None]:
            return metrics.call_items.labels(owner).observe

        self.messages = Way(self._submit, settings=settings, on_call=counted("sender"), monotonic=monotonic)
        self.receipts = Way(
            self._record_receipts, settings=settings, on_call=counted("status"), monotonic=monotonic
        )
        self.results = Way(
            self._record_results, settings=settings, on_call=counted("hlr"), monotonic=monotonic
        )
        self.errands = Way(self._enrich, settings=settings, on_call=counted("hlr"), monotonic=monotonic)

    async def message(self, outgoing: rpc_message.Outgoing, *, weight: int) -> Accepted:
        """On the hot path. `weight`: bytes of the post."""
        proto = rpc_message.to_proto(outgoing)
        uid = outgoing.provider_uid
        way = self.messages
        if not way.known_away(uid):
            answer = await way.direct(proto, weight=weight)
            if answer is not None:
                submitted = SUBMITTED.to_core(answer.result)
                taken = _TAKEN.get(submitted) if submitted is not None else None
                if taken is not None:
                    return taken
                if submitted is Submitted.REFUSED:
                    return await self._set_aside(_message_entry(outgoing, proto), reason=answer.reason)
                if submitted is Submitted.UNAVAILABLE:
                    way.failed(uid)
                # Unknown provider: the sender sees a new registry up to a second later than we do.
        return await self._append(_message_entry(outgoing, proto))

    async def receipt(self, receipt: status_pb2.Receipt, *, provider_uid: str) -> Accepted:
        way = self.receipts
        if not way.known_away(provider_uid) and await way.direct(receipt, weight=receipt.ByteSize()):
            return Accepted.ACCEPTED
        payload = receipt.SerializeToString()
        return await self._append(
            NewEntry(Kind.RECEIPT, provider_uid, Lane.INTERACTIVE, receipt.received_at_ms, payload)
        )

    async def hlr_result(self, result: hlr_pb2.HlrResult, *, provider_uid: str, door_at_ms: int) -> Accepted:
        way = self.results
        if not way.known_away(provider_uid):
            answer = await way.direct(result, weight=result.ByteSize())
            if answer is not None:
                return answer
        payload = result.SerializeToString()
        return await self._append(NewEntry(Kind.HLR_RESULT, provider_uid, Lane.BULK, door_at_ms, payload))

    async def errand(self, errand: Errand) -> Accepted:
        proto = rpc_errand.to_proto(errand)
        way = self.errands
        if not way.known_away(errand.provider_uid):
            answer = await way.direct(proto, weight=proto.ByteSize())
            if answer is not None:
                result = ERRAND_RESULT.to_core(answer.result)
                taken = _TAKEN_ERRANDS.get(result) if result is not None else None
                if taken is not None:
                    return taken
                if result is ErrandResult.REFUSED:
                    reason = answer.reason or "Refused"
                    return await self._set_aside(_errand_entry(errand, proto), reason=reason)
        # An hlr role of an older version takes none: its successor empties the journal.
        return await self._append(_errand_entry(errand, proto))

    async def event(self, payload: bytes, *, provider_uid: str, door_at_ms: int) -> Accepted:
        """Events have no other owner than the gateway itself, so the journal is their first place."""
        return await self._append(NewEntry(Kind.EVENT, provider_uid, Lane.INTERACTIVE, door_at_ms, payload))

    async def close(self) -> None:
        for way in (self.messages, self.receipts, self.results, self.errands):
            await way.close()

    async def _submit(
        self, items: list[sender_pb2.OutgoingMessage], seconds: float
    ) -> Sequence[sender_pb2.SubmitAnswer]:
        return await self._sender.submit(items, timeout_seconds=seconds)

    async def _record_receipts(self, items: list[status_pb2.Receipt], seconds: float) -> Sequence[bool]:
        await self._status.record_receipts(items, timeout_seconds=seconds)
        return [True] * len(items)

    async def _record_results(self, items: list[hlr_pb2.HlrResult], seconds: float) -> Sequence[Accepted]:
        try:
            await self._hlr.record_results(items, timeout_seconds=seconds)
        except rpc_errors.Unimplemented:
            return [Accepted.DROPPED] * len(items)
        return [Accepted.ACCEPTED] * len(items)

    async def _enrich(self, items: list[hlr_pb2.Errand], seconds: float) -> Sequence[hlr_pb2.ErrandAnswer]:
        return await self._hlr.enrich(items, timeout_seconds=seconds)

    async def _append(self, entry: NewEntry) -> Accepted:
        try:
            await self._journal.append(entry)
        except JournalFailed as failed:
            return self._lost(entry, failed)
        return Accepted.JOURNALLED

    async def _set_aside(self, entry: NewEntry, *, reason: str) -> Accepted:
        try:
            await self._journal.keep_aside(entry, reason=reason)
        except JournalFailed as failed:
            return self._lost(entry, failed)
        log.warning("entry_set_aside", kind=entry.kind.value, provider_uid=entry.provider_uid, reason=reason)
        return Accepted.SET_ASIDE

    def _lost(self, entry: NewEntry, failed: JournalFailed) -> Accepted:
        self._metrics.journal_failures.inc()
        log.error(
            "accept_failed", kind=entry.kind.value, provider_uid=entry.provider_uid, reason=failed.sentence
        )
        return Accepted.LOST


def _message_entry(outgoing: rpc_message.Outgoing, proto: sender_pb2.OutgoingMessage) -> NewEntry:
    return NewEntry(
        Kind.MESSAGE,
        outgoing.provider_uid,
        Lane.of(outgoing.origin),
        outgoing.accepted_at_ms,
        proto.SerializeToString(),
    )


def _errand_entry(errand: Errand, proto: hlr_pb2.Errand) -> NewEntry:
    """A workflow that stands still goes before what a thousand new leads are worth."""
    return NewEntry(
        Kind.ERRAND,
        errand.provider_uid,
        Lane.INTERACTIVE if errand.kind is ErrandKind.STEP else Lane.BULK,
        errand.accepted_at_ms,
        proto.SerializeToString(),
    )
