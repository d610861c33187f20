"""`smsbridge journal`: what can be done with the journal of a gateway that does not run.

Drained, application events stay: they need a gateway, and are void once their tokens have run out.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from google.protobuf.message import DecodeError

from smsbridge.api.v1 import sender_pb2
from smsbridge.gateway import drain
from smsbridge.gateway.journal import Aside, Journal, Kind, Sealer
from smsbridge.gateway.journal_thread import BUSY_SECONDS
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.gateway.standing import JOURNAL_ID
from smsbridge.rpc import message as rpc_message
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient

_TRIES = 3  # steps that may end early (an owner just starting) before the rest is reported as left


@dataclass(frozen=True, slots=True)
class Clients:
    sender: SenderClient
    status: StatusClient
    hlr: HlrClient


@dataclass(frozen=True, slots=True)
class DrainReport:
    """Numbers of entries by kind. `journal_id`: under it the store was told this journal's depth."""

    journal_id: str
    found: dict[Kind, int]
    left: dict[Kind, int]
    set_aside: dict[Kind, int]

    @property
    def empty(self) -> bool:
        return not any(self.left.values())


class Settle(StrEnum):
    """What is done with entries that were set aside."""

    NOTHING = "nothing"
    AGAIN = "again"  # they wait as before, for the gateway's next start
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class SetAside:
    """`message_id` is empty for what is no message, or can be opened by no key."""

    kind: Kind
    provider_uid: str
    message_id: str
    door_at_ms: int
    at_ms: int
    reason: str


async def set_aside(
    folder: Path,
    keyring: Sealer,
    *,
    settle: Settle = Settle.NOTHING,
    now_ms: Callable[[], int],
    busy_seconds: float = BUSY_SECONDS,
) -> list[SetAside]:
    """Those that there are, or were until now. Raises ConfigError where the journal is in use or cannot be
    read.
    """
    async with _opened(folder, keyring, now_ms=now_ms, busy_seconds=busy_seconds) as journal:
        found = await journal.asides()
        if settle is Settle.AGAIN:
            await journal.put_back(found)
        elif settle is Settle.FORGET:
            await journal.forget(found)
    return [_told(one) for one in found]


def _told(one: Aside) -> SetAside:
    entry = one.entry
    message_id = ""
    if entry.kind is Kind.MESSAGE and entry.payload is not None:
        with contextlib.suppress(DecodeError):
            message_id = rpc_message.id_of(sender_pb2.OutgoingMessage.FromString(entry.payload))
    return SetAside(entry.kind, entry.provider_uid, message_id, entry.door_at_ms, one.at_ms, one.reason)


class _Nobody:
    def failed(self, provider_uid: str = "") -> None: ...
    def worked(self, provider_uid: str) -> None: ...


async def drain_directory(
    folder: Path,
    keyring: Sealer,
    clients: Clients,
    *,
    now_ms: Callable[[], int],
    settings: GatewaySettings | None = None,
    busy_seconds: float = BUSY_SECONDS,
) -> DrainReport:
    """Raises ConfigError where the journal is in use or cannot be read."""
    settings = settings or GatewaySettings()
    async with _opened(folder, keyring, now_ms=now_ms, busy_seconds=busy_seconds) as journal:
        found = dict(journal.depths)
        owners = drain.owners(
            sender=clients.sender,
            status=clients.status,
            hlr=clients.hlr,
            seconds=settings.drain_timeout_seconds,
            is_removed=lambda _: True,  # nobody will come for it later
        )
        draining = drain.Drain(journal, [(owner, _Nobody()) for owner in owners], settings=settings)
        for _ in range(_TRIES):
            if await draining.step():
                break
        journal_id = await journal.get(JOURNAL_ID)
        return DrainReport(
            journal_id=(journal_id or b"").decode(),
            found=found,
            left=dict(journal.depths),
            set_aside=dict(journal.set_asides),
        )


@contextlib.asynccontextmanager
async def _opened(
    folder: Path, keyring: Sealer, *, now_ms: Callable[[], int], busy_seconds: float
) -> AsyncIterator[Journal]:
    """Raises ConfigError where there is none, it is in use, or it cannot be read."""
    journal = Journal(folder, keyring, now_ms=now_ms)
    await journal.open(create=False, busy_seconds=busy_seconds)
    try:
        yield journal
    finally:
        await journal.close()
