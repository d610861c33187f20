"""Empties the journal: each group in order, interactive ones first, as soon as the owner is back.

What an owner refuses for its content is set aside with the reason and holds up nobody. What makes an owner
fail without a word is left for a while, so that the rest can pass.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from smsbridge.api.v1 import hlr_pb2, sender_pb2, status_pb2
from smsbridge.core import errors
from smsbridge.core.errand import ErrandResult
from smsbridge.gateway.journal import Entry, Group, Journal, Kind
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient
from smsbridge.rpc.enums import ERRAND_RESULT, SUBMITTED, Submitted

log = structlog.get_logger()


class Done(Enum):
    TAKEN = auto()
    LATER = auto()  # not now: this one and those behind it wait


@dataclass(frozen=True, slots=True)
class SetAside:
    """Never: it is refused for its content."""

    reason: str


Verdict = Done | SetAside


class Watcher(Protocol):
    """Is told who is away: see `way.Way`."""

    def failed(self, provider_uid: str = "") -> None: ...
    def worked(self, provider_uid: str) -> None: ...


class Owner(Protocol):
    """Takes entries of one kind. Raises core errors where none of them was taken, or nobody knows."""

    kind: Kind

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Verdict]: ...


class Messages:
    kind = Kind.MESSAGE

    def __init__(self, sender: SenderClient, *, seconds: float, is_removed: Callable[[str], bool]) -> None:
        """`is_removed` says of a provider's uid that nobody will ever know it again."""
        self._sender = sender
        self._seconds = seconds
        self._is_removed = is_removed

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Verdict]:
        messages = [sender_pb2.OutgoingMessage.FromString(entry.payload or b"") for entry in entries]
        answers = await self._sender.submit(messages, timeout_seconds=self._seconds)
        return [self._verdict(entry, answer) for entry, answer in zip(entries, answers, strict=True)]

    def _verdict(self, entry: Entry, answer: sender_pb2.SubmitAnswer) -> Verdict:
        submitted = SUBMITTED.to_core(answer.result)
        if submitted is Submitted.REFUSED:
            return SetAside(answer.reason or "Refused")
        if submitted is Submitted.UNKNOWN_PROVIDER:
            return SetAside("ProviderRemoved") if self._is_removed(entry.provider_uid) else Done.LATER
        if submitted is None or submitted is Submitted.UNAVAILABLE:
            return Done.LATER
        return Done.TAKEN


class Receipts:
    kind = Kind.RECEIPT

    def __init__(self, status: StatusClient, *, seconds: float) -> None:
        self._status = status
        self._seconds = seconds

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Verdict]:
        receipts = [status_pb2.Receipt.FromString(entry.payload or b"") for entry in entries]
        await self._status.record_receipts(receipts, timeout_seconds=self._seconds)
        return [Done.TAKEN] * len(entries)


class HlrResults:
    kind = Kind.HLR_RESULT

    def __init__(self, hlr: HlrClient, *, seconds: float) -> None:
        self._hlr = hlr
        self._seconds = seconds

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Verdict]:
        results = [hlr_pb2.HlrResult.FromString(entry.payload or b"") for entry in entries]
        try:
            await self._hlr.record_results(results, timeout_seconds=self._seconds)
        except rpc_errors.Unimplemented:
            log.info("hlr_results_dropped", count=len(results))
        return [Done.TAKEN] * len(entries)


class Errands:
    kind = Kind.ERRAND

    def __init__(self, hlr: HlrClient, *, seconds: float, is_removed: Callable[[str], bool]) -> None:
        """`is_removed` as for messages."""
        self._hlr = hlr
        self._seconds = seconds
        self._is_removed = is_removed

    async def hand_over(self, entries: Sequence[Entry]) -> Sequence[Verdict]:
        errands = [hlr_pb2.Errand.FromString(entry.payload or b"") for entry in entries]
        try:
            answers = await self._hlr.enrich(errands, timeout_seconds=self._seconds)
        except rpc_errors.Unimplemented as older:  # its successor takes them
            raise errors.ServiceAway("this hlr role takes no errands yet; update it") from older
        return [self._verdict(entry, answer) for entry, answer in zip(entries, answers, strict=True)]

    def _verdict(self, entry: Entry, answer: hlr_pb2.ErrandAnswer) -> Verdict:
        result = ERRAND_RESULT.to_core(answer.result)
        if result is ErrandResult.REFUSED:
            return SetAside(answer.reason or "Refused")
        if result is ErrandResult.UNKNOWN_PROVIDER:
            return SetAside("ProviderRemoved") if self._is_removed(entry.provider_uid) else Done.LATER
        return Done.LATER if result is None else Done.TAKEN


class Drain:
    def __init__(
        self,
        journal: Journal,
        owners: Sequence[tuple[Owner, Watcher]],
        *,
        settings: GatewaySettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._owners = {owner.kind: (owner, watcher) for owner, watcher in owners}
        self._batch_items = settings.batch_items
        self._batch_bytes = settings.batch_bytes
        self._rest_seconds = settings.drain_rest_seconds
        self._monotonic = monotonic
        self._resting: dict[int, float] = {}

    async def step(self) -> bool:
        """Every group as far as it goes, side by side. True where nothing is left."""
        groups = [group for group in await self._journal.groups() if group.kind in self._owners]
        done = await asyncio.gather(*(self._group(group) for group in groups))
        return all(done)

    async def _group(self, group: Group) -> bool:
        """True where the group is empty now."""
        owner, watcher = self._owners[group.kind]
        while True:
            leave = self._at_rest()
            entries = await self._journal.read(
                group.kind, group.provider_uid, limit=self._batch_items, leave=leave
            )
            if not entries:
                return not leave
            entries = self._within_bytes(entries)
            try:
                on = await self._hand_over(owner, entries)
            except errors.Away as away:
                watcher.failed()
                log.info(
                    "drain_waits", kind=group.kind.value, provider_uid=group.provider_uid, code=away.code
                )
                return False
            if not on:
                watcher.failed(group.provider_uid)
                return False
            watcher.worked(group.provider_uid)

    async def _hand_over(self, owner: Owner, entries: list[Entry]) -> bool:
        """False where the rest of the group has to wait. Raises Away."""
        readable = [entry for entry in entries if entry.payload is not None]
        for entry in entries:
            if entry.payload is None:
                await self._set_aside(entry, "Unreadable")
        if not readable:
            return True
        try:
            verdicts = await owner.hand_over(readable)
        except errors.Away:
            raise
        except (errors.SmsbridgeError, DecodeError) as error:
            if len(readable) == 1:
                await self._refused(readable[0], error)
                return True
            # One of them is the cause; alone it shows itself.
            for entry in readable:
                if not await self._hand_over(owner, [entry]):
                    return False
            return True
        return await self._settle(readable, verdicts)

    async def _settle(self, entries: Sequence[Entry], verdicts: Sequence[Verdict]) -> bool:
        pairs = list(zip(entries, verdicts, strict=True))
        await self._journal.remove([entry for entry, verdict in pairs if verdict is Done.TAKEN])
        for entry, verdict in pairs:
            if isinstance(verdict, SetAside):
                await self._set_aside(entry, verdict.reason)
        return Done.LATER not in verdicts

    async def _refused(self, entry: Entry, error: Exception) -> None:
        if isinstance(error, errors.Uncertain):  # a bug of the owner's, which may be mended
            self._resting[entry.id] = self._monotonic() + self._rest_seconds
            log.warning("entry_rests", kind=entry.kind.value, provider_uid=entry.provider_uid)
            return
        code = error.code if isinstance(error, errors.SmsbridgeError) else "Unreadable"
        await self._set_aside(entry, code)

    async def _set_aside(self, entry: Entry, reason: str) -> None:
        await self._journal.set_aside(entry, reason=reason)
        log.warning("entry_set_aside", kind=entry.kind.value, provider_uid=entry.provider_uid, reason=reason)

    def _at_rest(self) -> frozenset[int]:
        now = self._monotonic()
        self._resting = {number: until for number, until in self._resting.items() if until > now}
        return frozenset(self._resting)

    def _within_bytes(self, entries: list[Entry]) -> list[Entry]:
        total = 0
        for number, entry in enumerate(entries):
            total += len(entry.payload or b"")
            if number and total > self._batch_bytes:
                return entries[:number]
        return entries


def owners(
    *,
    sender: SenderClient,
    status: StatusClient,
    hlr: HlrClient,
    seconds: float,
    is_removed: Callable[[str], bool],
) -> tuple[Messages, Receipts, HlrResults, Errands]:
    return (
        Messages(sender, seconds=seconds, is_removed=is_removed),
        Receipts(status, seconds=seconds),
        HlrResults(hlr, seconds=seconds),
        Errands(hlr, seconds=seconds, is_removed=is_removed),
    )
