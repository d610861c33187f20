"""The delivery states of a provider's messages: what SMSC said, what time brings, who has to be told.

Provider tag. Each method is one script; what it assumes and answers stands at its top. All may be repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smsbridge.core.delivery import AttemptState
from smsbridge.core.message import Channel, Reason
from smsbridge.store import connection, scripts, tags

_CHUNK = 100  # readings of one script run: it must not hold the store for long


@dataclass(frozen=True, slots=True)
class Change:
    """What SMSC said of one attempt, already read by the table of its profile. `state` None: nothing new.

    `source` is "callback" or "status". `falls_back`: a failure after which a further leg is tried at once.
    `stops_on_read`: the cascade goes on until the message was read. `asked`: it answers a status question.
    """

    message_id: str
    attempt: int
    code: int
    source: str
    state: AttemptState | None = None
    err: int | None = None
    by: Channel | None = None
    reason: Reason | None = None
    cost: str = ""
    read: bool = False
    fell_back: bool = False
    falls_back: bool = False
    stops_on_read: bool = False
    learn: bool = False
    known: bool = True
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Poll:
    """A question that is due. `own_id` False: the id is the whole batch's."""

    message_id: str
    attempt: int
    account_key: str
    smsc_id: str
    client_id: str
    own_id: bool
    msisdn: str
    profile: str
    channel: str

    @property
    def ref(self) -> str:
        return f"{self.message_id}|{self.attempt}"


@dataclass(frozen=True, slots=True)
class Polls:
    polls: tuple[Poll, ...]
    closed: int
    overdue: int  # due, but left for later


@dataclass(frozen=True, slots=True)
class Plan:
    """A further leg that the sender has to be told of."""

    ref: str
    why: str

    @property
    def message_id(self) -> str:
        return self.ref.rpartition("|")[0]

    @property
    def attempt(self) -> int:
        return int(self.ref.rpartition("|")[2])


@dataclass(frozen=True, slots=True)
class Learned:
    msisdn: str = field(repr=False)
    value: str  # CHANNEL|MS, as it is acknowledged

    @property
    def channel(self) -> Channel:
        return Channel(self.value.partition("|")[0])

    @property
    def at_ms(self) -> int:
        return int(float(self.value.partition("|")[2]))


@dataclass(frozen=True, slots=True)
class Tick:
    plans: tuple[Plan, ...]
    learned: tuple[Learned, ...]
    moved: int


@dataclass(frozen=True, slots=True)
class OpenAttempts:
    refs: tuple[str, ...]
    incomplete: bool  # the sender has more of this id to tell
    uncertain: bool  # the batch has members nobody knows about yet


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message as it is stored (`record`: the fields of prelude.lua), its story, and what is due when."""

    record: Mapping[str, str] = field(repr=False)
    events: Sequence[Mapping[str, Any]]
    portal_wanted: str
    due_ms: Mapping[str, int]  # tokens, group, later, cascade, grace, poll, portal: unix ms
    now_ms: int

    @property
    def attempts(self) -> int:
        return int(self.record.get("na", "0"))

    def of_attempt(self, number: int, name: str) -> str:
        return self.record.get(f"a{number}:{name}", "")


@dataclass(frozen=True, slots=True)
class FoundView:
    """A message as far as a list needs it: some fields of its record."""

    message_id: str
    record: Mapping[str, str] = field(repr=False)

    @property
    def accepted_at_ms(self) -> int:
        return int(float(self.record["acc"]))

    @property
    def attempts(self) -> int:
        return int(self.record.get("na", "0"))

    def of_attempt(self, number: int, name: str) -> str:
        return self.record.get(f"a{number}:{name}", "")


@dataclass(frozen=True, slots=True)
class LedgerView:
    accepted: int
    held: int
    queued: int
    sending: int
    sent: int
    final: Mapping[str, int]
    done: Mapping[str, int]  # CHANNEL|STATE: only grows
    portal_outbox: int
    portal_lag_ms: int
    polls: int
    plans: int
    ends: Mapping[str, int] = field(
        default_factory=dict
    )  # STATE|REASON of what was not delivered: only grows
    duplicates: int = 0  # messages that came once more: only grows
    ages: Mapping[str, int] = field(default_factory=dict)  # STAGE|LABEL|CLASS, as prelude.lua has it

    @property
    def unaccounted(self) -> int:
        at_rest = self.held + self.queued + self.sending + self.sent
        return self.accepted - at_rest - sum(self.final.values())


class Deliveries:
    def __init__(self, store: connection.Store, *, grace_seconds: float = 300.0) -> None:
        self._store = store
        self._grace_ms = round(grace_seconds * 1000)

    @property
    def longest_poll_seconds(self) -> float:
        return self._store.settings.times.poll_most_ms / 1000

    async def apply(self, uid: str, changes: Sequence[Change]) -> list[str]:
        """For each "changed", "same" or "unknown" (no such attempt)."""
        answers: list[str] = []
        for start in range(0, len(changes), _CHUNK):
            rows = [_row(change) for change in changes[start : start + _CHUNK]]
            answers += await self._run(
                "delivery_apply", uid, scripts.encode(rows), self._grace_ms, durable=True
            )
        return answers

    async def take_polls(self, uid: str, *, most: int, lease_seconds: float) -> Polls:
        answer = await self._run("delivery_polls", uid, most, round(lease_seconds * 1000))
        polls = tuple(
            Poll(p["mid"], int(p["k"]), p["acct"], p["sid"], p["cid"], p["own"], p["to"], p["prof"], p["ch"])
            for p in answer["polls"] or []
        )
        return Polls(polls, answer["closed"], answer["waiting"])

    async def ask_in(
        self, uid: str, refs: Sequence[str], *, seconds: float, only_sooner: bool = False
    ) -> int:
        """Sets when open attempts are asked about next; answers how many were set."""
        args = (scripts.encode(list(refs)), round(seconds * 1000), "1" if only_sooner else "0")
        return int(await self._run("delivery_postpone", uid, *args))

    async def open_attempts(self, uid: str, smsc_id: str, members: Sequence[tuple[str, str]]) -> OpenAttempts:
        """Of (ref, client_id) pairs that share `smsc_id`."""
        rows = [{"ref": ref, "cid": client_id} for ref, client_id in members]
        answer = await self._run("delivery_open", uid, smsc_id, scripts.encode(rows))
        return OpenAttempts(tuple(answer["open"] or []), answer["incomplete"], answer["uncertain"])

    async def tick(self, uid: str, *, most: int = 200) -> Tick:
        """Moves what time has brought, and answers what is in the outboxes to the sender and to hlr."""
        answer = await self._run("delivery_tick", uid, most)
        plans = tuple(Plan(ref, why) for ref, why in answer["plans"] or [])
        learned = tuple(Learned(msisdn, value) for msisdn, value in answer["learned"] or [])
        return Tick(plans, learned, answer["moved"])

    async def told(
        self,
        uid: str,
        *,
        plans: Sequence[tuple[str, bool]] = (),
        learned: Sequence[Learned] = (),
    ) -> None:
        """Acknowledges. `plans`: (ref, taken); False where the sender refused: the provider is removed."""
        rows = [{"ref": ref, "ok": ok} for ref, ok in plans]
        pairs = [[item.msisdn, item.value] for item in learned]
        await self._run("delivery_told", uid, scripts.encode(rows), scripts.encode(pairs))

    async def message(self, uid: str, message_id: str) -> MessageView | None:
        found = await self._run("delivery_message", uid, message_id)
        if found is None:
            return None
        times = {name: int(at) for name, at in (found["times"] or {}).items()}
        return MessageView(found["m"], found["h"] or [], found["want"], times, int(found["now"]))

    async def find(self, uid: str, msisdn: str) -> list[FoundView]:
        """The newest messages to a number, newest first."""
        rows = await self._run("delivery_find", uid, msisdn)
        found = [FoundView(row["mid"], row["m"]) for row in rows]
        return sorted(found, key=lambda one: (one.accepted_at_ms, one.message_id), reverse=True)

    async def ledger(self, uid: str) -> LedgerView:
        found = await self._run("delivery_ledger", uid)
        return LedgerView(
            accepted=int((found["n"] or {}).get("accepted", 0)),
            held=found["held"],
            queued=found["queued"],
            sending=found["sending"],
            sent=found["sent"],
            final={state: int(count) for state, count in (found["fin"] or {}).items()},
            done={name: int(count) for name, count in (found["done"] or {}).items()},
            portal_outbox=found["portal"],
            portal_lag_ms=int(found["portal_lag_ms"]),
            polls=found["polls"],
            plans=found["plans"],
            ends={name: int(count) for name, count in (found["ends"] or {}).items()},
            duplicates=int((found["n"] or {}).get("duplicates", 0)),
            ages={name: int(count) for name, count in (found["ages"] or {}).items()},
        )

    async def journalled(self) -> int:
        """Sum of the gateways' journals, by their last word."""
        async with connection.translated():
            depths = await self._store.redis.hvals(tags.DEPLOYMENT + "journal")
        return sum(int(depth) for depth in depths)

    async def _run(self, name: str, uid: str, *args: Any, durable: bool = False) -> Any:
        return await self._store.run(name, tags.provider(uid), *args, durable=durable)


def _row(change: Change) -> dict[str, Any]:
    """Absent fields are left out: a JSON null would be true in Lua."""
    row: dict[str, Any] = {
        "mid": change.message_id,
        "k": change.attempt,
        "code": change.code,
        "from": change.source,
        "known": change.known,
    }
    optional = {
        "state": change.state,
        "err": change.err,
        "by": change.by,
        "reason": change.reason,
        "cost": change.cost or None,
    }
    flags = {
        "read": change.read,
        "fell_back": change.fell_back,
        "falls_back": change.falls_back,
        "stops_on_read": change.stops_on_read,
        "learn": change.learn,
        "ask_again": change.asked,
    }
    return row | {k: v for k, v in optional.items() if v is not None} | {k: v for k, v in flags.items() if v}
