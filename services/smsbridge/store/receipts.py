"""The receipt index and inbox of an SMSC account: which attempt a receipt speaks of. Account tag.

A receipt is kept first and applied later: `record` and `index` put what they can match into a durable inbox,
whoever takes an entry applies it to the provider's record and acknowledges it. So it is applied at least
once; rank makes a repeat harmless. What a status code means is not known here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.store import connection, scripts, tags

_ACCOUNTS = tags.DEPLOYMENT + "receipt_accounts"
_CHUNK = 200  # entries of one script run: it must not hold the store for long


class ReceiptTimes(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    parked_seconds: float = Field(
        default=48 * 3600.0,
        gt=0,
        description="A receipt that nobody knows yet waits so long for the sender's report (s).",
    )
    seen_seconds: float = Field(
        default=72 * 3600.0,
        gt=0,
        description="A repeated receipt is recognised so long; later, rank still makes it harmless (s).",
    )
    lease_seconds: float = Field(
        default=10.0,
        gt=0,
        description="A receipt that was taken and not acknowledged is taken again after so long (s).",
    )


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """The attempt a receipt belongs to, and how it must be read. No field may hold a `|`."""

    provider_uid: str
    message_id: str
    attempt: int
    own_id: bool
    client_id: str
    profile: Profile
    channel: Channel
    native_cascade: bool = False

    @property
    def ref(self) -> str:
        return f"{self.message_id}|{self.attempt}"

    def dump(self) -> str:
        flags = ("1" if self.own_id else "0") + ("1" if self.native_cascade else "0")
        parts = (
            self.provider_uid,
            self.message_id,
            self.attempt,
            flags,
            self.client_id,
            self.profile,
            self.channel,
        )
        return "|".join(map(str, parts))

    @classmethod
    def parse(cls, text: str) -> "AttemptKey":
        uid, mid, attempt, flags, client_id, profile, channel = text.split("|")
        return cls(
            uid,
            mid,
            int(attempt),
            flags[0] == "1",
            client_id,
            Profile(profile),
            Channel(channel),
            flags[1] == "1",
        )


@dataclass(frozen=True, slots=True)
class Submission:
    """SMSC accepted this attempt under this id."""

    smsc_id: str
    msisdn: str
    key: AttemptKey


@dataclass(frozen=True, slots=True)
class Receipt:
    """`msisdn` is digits, empty where the callback named none. `err` -1, `ts` 0, `type` -1: absent."""

    smsc_id: str
    msisdn: str
    code: int
    err: int = -1
    ts: int = 0
    type: int = -1
    cost: str = ""
    received_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    matched: int = 0
    repeated: int = 0
    parked: int = 0

    def __add__(self, other: "Recorded") -> "Recorded":
        return Recorded(
            self.matched + other.matched, self.repeated + other.repeated, self.parked + other.parked
        )


@dataclass(frozen=True, slots=True)
class Parked:
    """SMSC ids with receipts that wait for the sender's report, and for which it never came: only grows."""

    waiting: int = 0
    unmatched: int = 0

    def __add__(self, other: "Parked") -> "Parked":
        return Parked(self.waiting + other.waiting, self.unmatched + other.unmatched)


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """`key` is None for a receipt without a phone: then `members` are all attempts known under its id.

    `ask_only`: it looks like a repeat, and of a shared id nobody can tell; it may only set off a question.
    """

    entry_id: str
    receipt: Receipt
    key: AttemptKey | None
    members: tuple[AttemptKey, ...] = ()
    ask_only: bool = False


class Receipts:
    def __init__(self, store: connection.Store, times: ReceiptTimes | None = None) -> None:
        self._store = store
        self._times = times or ReceiptTimes()
        self._accounts: set[str] = set()

    async def index(self, account_key: str, submissions: Sequence[Submission]) -> int:
        """Answers how many parked receipts found their attempt. A repeat changes nothing."""
        await self._remember(account_key)
        kept_ms = self._store.settings.times.record_kept_ms + self._store.settings.times.close_most_ms
        moved = 0
        for start in range(0, len(submissions), _CHUNK):
            part = submissions[start : start + _CHUNK]
            rows = [{"sid": s.smsc_id, "to": s.msisdn, "v": s.key.dump()} for s in part]
            moved += await self._run("receipts_index", account_key, scripts.encode(rows), kept_ms)
        return moved

    async def record(self, account_key: str, receipts: Sequence[Receipt]) -> Recorded:
        """On disk when it returns."""
        await self._remember(account_key)
        total = Recorded()
        for start in range(0, len(receipts), _CHUNK):
            rows = [_row(receipt) for receipt in receipts[start : start + _CHUNK]]
            parked_ms, seen_ms = _ms(self._times.parked_seconds), _ms(self._times.seen_seconds)
            answer = await self._run("receipts_record", account_key, scripts.encode(rows), parked_ms, seen_ms)
            total += Recorded(**answer)
        return total

    async def take(self, account_key: str, *, most: int = _CHUNK) -> list[InboxEntry]:
        """Entries that are ours until their lease ends."""
        found = await self._run("receipts_take", account_key, most, _ms(self._times.lease_seconds))
        return [_entry(item) for item in found or []]

    async def settle(
        self, account_key: str, *, done: Sequence[str], later: Sequence[str] = (), delay_seconds: float = 1.0
    ) -> None:
        """`done` are acknowledged, `later` are due again after the delay."""
        if done or later:
            ids = (scripts.encode(list(done)), scripts.encode(list(later)))
            await self._run("receipts_settle", account_key, *ids, _ms(delay_seconds))

    async def parked(self) -> Parked:
        """Of all accounts. Gives up those that have waited too long."""
        total = Parked()
        for account_key in await self.accounts():
            answer = await self._run("receipts_parked", account_key, _ms(self._times.parked_seconds))
            total += Parked(**answer)
        return total

    async def depth(self, account_key: str) -> tuple[int, int]:
        """Entries of the inbox, and ids with parked receipts."""
        async with connection.translated():
            tag = tags.account(account_key)
            return int(await self._store.redis.zcard(tag + "rq")), int(
                await self._store.redis.zcard(tag + "parked")
            )

    async def accounts(self) -> set[str]:
        """Keys of all accounts that ever had a receipt or a submission, also those no provider uses."""
        async with connection.translated():
            found = await self._store.redis.smembers(_ACCOUNTS)
        self._accounts = {item.decode() for item in found}
        return set(self._accounts)

    async def _remember(self, account_key: str) -> None:
        """Another tag, so another command; before the entries, so that none is ever overlooked."""
        if account_key not in self._accounts:
            async with connection.translated():
                await self._store.redis.sadd(_ACCOUNTS, account_key)
            self._accounts.add(account_key)

    async def _run(self, name: str, account_key: str, *args: Any) -> Any:
        durable = name in ("receipts_index", "receipts_record")
        return await self._store.run(name, tags.account(account_key), *args, durable=durable)


def _row(receipt: Receipt) -> dict[str, Any]:
    return {
        "sid": receipt.smsc_id,
        "to": receipt.msisdn,
        "code": receipt.code,
        "err": receipt.err,
        "ts": receipt.ts,
        "type": receipt.type,
        "cost": receipt.cost,
        "at": receipt.received_at_ms,
    }


def _entry(item: dict[str, Any]) -> InboxEntry:
    receipt = Receipt(
        smsc_id=item["sid"],
        msisdn=item["to"],
        code=int(item["code"]),
        err=int(item["err"]),
        ts=int(item["ts"]),
        type=int(item["type"]),
        cost=item["cost"],
        received_at_ms=int(item["at"]),
    )
    members = tuple(AttemptKey.parse(text) for text in item.get("members") or [])
    key = AttemptKey.parse(item["v"]) if item["v"] else None
    return InboxEntry(item["id"], receipt, key, members, bool(item.get("ask")))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
