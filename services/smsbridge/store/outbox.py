"""The sender's part of the store: messages to send, their groups, batches and intents. Provider tag.

Each method is one script or one command; what a script may assume and answers stands at its top. What
raises StoreAway may or may not have happened: repeat it with the same operation id.
"""

import base64
import functools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from smsbridge.store import connection, scripts, tags

log = structlog.get_logger()

_CHUNK = 1000  # messages of one script run: Lua unpacks no more than some thousands of values


@dataclass(frozen=True, slots=True)
class Group:
    """What the members of one SMSC request share, and its lane's batching (`linger` in ms)."""

    lane: str
    channel: str
    native_wait: int  # seconds before SMSC's own fallback; 0 where it has none
    valid_seconds: int  # life time SMSC is told; 0 for its default
    sender: str
    max: int
    linger: int
    th: str  # digest of the one text; empty where texts may differ

    @property
    def gid(self) -> str:
        return f"{self.lane}|{self.channel}|{self.native_wait}|{self.valid_seconds}|{self.sender}|{self.th}"

    def dump(self) -> str:
        return _dump(self)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message on its way into the store; field names are the record's (prelude.lua)."""

    mid: str
    to: str
    th: str
    text: str
    org: str
    lane: str
    rep: str
    tok: str = field(repr=False)  # answers one workflow step; empty for all others
    route: str
    legs: str  # JSON
    rule: str
    doc: str
    acc: int
    exp: int
    seg: int
    nx: str  # "1" where a further leg may follow
    ch: str
    gid: str
    gi: str
    fail: str  # a core.message.Reason, or empty
    hold: str  # digest of the application token it is held for, or empty


@dataclass(frozen=True, slots=True)
class Member:
    ref: str  # MID|attempt
    msisdn: str
    text: str
    looked_ms: int = 0  # how long it has waited for a look-up of its number; -1 once it does no more

    @property
    def message_id(self) -> str:
        return self.ref.rpartition("|")[0]

    @property
    def attempt(self) -> int:
        return int(self.ref.rpartition("|")[2])


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that is ours until its lease ends."""

    client_id: str
    owner: str
    group: Group
    members: tuple[Member, ...]
    split: bool


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A batch whose outcome is to be settled, ours until its lease ends."""

    client_id: str
    owner: str
    group: Group
    members: tuple[tuple[str, str], ...]  # (ref, msisdn)
    account_key: str
    profile: str
    base_url: str
    channel: str
    not_found: int
    since_post_ms: int
    posts: int
    body: bytes
    partial: bool  # some of its members are settled: the rest cannot be repeated byte by byte
    why: str = ""  # it became uncertain


class Outbox:
    def __init__(self, store: connection.Store) -> None:
        self._store = store

    async def _run(self, name: str, uid: str, *args: Any, durable: bool = False) -> Any:
        return await self._store.run(name, tags.provider(uid), *args, durable=durable)

    async def accept(self, uid: str, messages: Sequence[NewMessage]) -> list[str]:
        """For each "accepted", "held", "failed" or "duplicate". On disk when it returns."""
        answers: list[str] = []
        for start in range(0, len(messages), _CHUNK):
            payload = scripts.encode([_fields(m) for m in messages[start : start + _CHUNK]])
            answers += await self._run("accept", uid, payload, durable=True)
        return answers

    async def accept_next(self, uid: str, message_id: str, attempt: int, group: Group) -> str:
        return str(
            await self._run(
                "accept_next", uid, message_id, attempt, group.gid, group.dump(), group.channel, durable=True
            )
        )

    async def claim(
        self,
        uid: str,
        *,
        op: str,
        lane: str,
        owner: str,
        lease_ms: int,
        client_id: str,
        most: int,
        settle_ms: int = 0,
    ) -> Claim | int:
        """A batch, or the milliseconds until one may be due (-1: nothing waits).

        On a store with replicas nothing is claimed for `settle_ms` after a change of primary.
        """
        settle = self._settle_ms(settle_ms)
        answer = await self._run("claim", uid, op, lane, owner, lease_ms, client_id, most, settle)
        if "batch" not in answer:
            return _next_ms(answer)
        found = answer["batch"]
        texts = found["texts"] or {}
        members = tuple(Member(m["ref"], m["to"], texts[m["th"]], m.get("lw") or 0) for m in found["members"])
        return Claim(found["client_id"], owner, Group(**found["group"]), members, bool(found.get("split")))

    async def peek(self, uid: str, lane: str, *, settle_ms: int = 0) -> int:
        """Milliseconds until something of the lane may be claimed, -1 where nothing waits."""
        return _next_ms(await self._run("peek", uid, lane, self._settle_ms(settle_ms)))

    async def confirm(self, uid: str) -> None:
        """Raises StoreAway where an intent would not be confirmed now: then nothing need be claimed."""
        await self._store.confirm(tags.provider(uid))

    def _settle_ms(self, wanted: int) -> int:
        return wanted if self._store.replicas else 0

    async def release(self, uid: str, claim: Claim, moves: Sequence[dict[str, Any]]) -> bool:
        """False where the batch was no longer ours."""
        answer = await self._run("release", uid, claim.client_id, claim.owner, scripts.encode(list(moves)))
        return "refused" not in answer

    async def checked(
        self,
        uid: str,
        claim: Claim,
        *,
        left_out: Sequence[dict[str, str]],
        unchecked: Sequence[dict[str, str]],
    ) -> bool:
        """What look-ups mean for members. False where the batch was no longer ours."""
        answer = await self._run(
            "checked",
            uid,
            claim.client_id,
            claim.owner,
            scripts.encode(list(left_out)),
            scripts.encode(list(unchecked)),
        )
        return "refused" not in answer

    async def intend(
        self,
        uid: str,
        *,
        op: str,
        client_id: str,
        owner: str,
        total_ms: int,
        margin_ms: int,
        account_key: str,
        profile: str,
        base_url: str,
        body: bytes,
        channel: str,
    ) -> dict[str, Any]:
        """{"deadline_ms": n}, {"stale": [refs]} or {"refused": why}."""
        answer: dict[str, Any] = await self._run(
            "intent", uid, op, client_id, owner, total_ms, margin_ms, account_key, profile, base_url,
            base64.b64encode(body).decode(), channel, durable=True,
        )  # fmt: skip
        return answer

    async def drop_stale(self, uid: str, claim: Claim, refs: Sequence[str]) -> bool:
        answer = await self._run("drop_stale", uid, claim.client_id, claim.owner, scripts.encode(list(refs)))
        return "refused" not in answer

    async def outcome(
        self, uid: str, *, op: str, client_id: str, owner: str, outcome: dict[str, Any]
    ) -> dict[str, Any]:
        answer: dict[str, Any] = await self._run(
            "outcome", uid, op, client_id, owner, scripts.encode(outcome), durable=True
        )
        return answer

    async def take_uncertain(self, uid: str, *, owner: str, lease_ms: int) -> Uncertain | int:
        """A batch to settle, or the milliseconds until one is due (-1: there is none)."""
        answer = await self._run("take_uncertain", uid, owner, lease_ms)
        if "batch" not in answer:
            return int(answer["next_ms"])
        found = answer["batch"]
        return Uncertain(
            client_id=found["client_id"],
            owner=owner,
            group=Group(**found["group"]),
            members=tuple((m["ref"], m["to"]) for m in found["members"]),
            account_key=found["account_key"],
            profile=found["profile"],
            base_url=found["base_url"],
            channel=found["channel"],
            not_found=found["not_found"],
            since_post_ms=found["since_post_ms"],
            posts=found["posts"],
            body=base64.b64decode(found["body"]),
            partial=bool(found["partial"]),
            why=found["why"],
        )

    async def settle(self, uid: str, *, op: str, batch: Uncertain, verdict: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self._run(
            "settle", uid, op, batch.client_id, batch.owner, scripts.encode(verdict), durable=True
        )
        return answer

    async def begin_repeat(
        self, uid: str, *, op: str, batch: Uncertain, lease_ms: int, within_ms: int, fresh_client_id: str
    ) -> dict[str, Any]:
        """`within_ms`: the last POST's age above which it is too late for this repeat, 0 for any age."""
        answer: dict[str, Any] = await self._run(
            "begin_repeat", uid, op, batch.client_id, batch.owner, lease_ms, fresh_client_id, within_ms
        )
        return answer

    async def reap(self, uid: str) -> dict[str, int]:
        answer: dict[str, int] = await self._run("reap", uid)
        return answer

    async def cancel(self, uid: str, message_id: str, *, state: str, reason: str) -> dict[str, Any]:
        """{"state", "done"} or {"unknown": True}."""
        answer: dict[str, Any] = await self._run("cancel", uid, message_id, state, reason, durable=True)
        return answer

    async def held(self, uid: str, *, offset: int = 0, most: int = 500) -> list[dict[str, Any]]:
        """A page of the held messages, oldest first: {"mid", "digest", "due"}."""
        return list(await self._run("tokens_due", uid, offset, most) or [])

    async def unhold(self, uid: str, message_id: str) -> bool:
        return bool(await self._run("unhold", uid, message_id))

    async def describe(self, uid: str) -> dict[str, Any]:
        answer: dict[str, Any] = await self._run("describe", uid)
        return answer

    async def message(self, uid: str, message_id: str) -> dict[str, str]:
        """The raw record, empty where there is none."""
        async with connection.translated():
            found = await self._store.redis.hgetall(f"{tags.provider(uid)}m:{message_id}")
        return {key.decode(): value.decode() for key, value in found.items()}

    async def text(self, uid: str, digest: str) -> str:
        async with connection.translated():
            found = await self._store.redis.hget(f"{tags.provider(uid)}t:{digest}", "x")
        return found.decode() if found else ""

    async def some_in(self, uid: str, state: str, count: int) -> list[str]:
        """Up to `count` message_ids in a state that is not final."""
        async with connection.translated():
            found = await self._store.redis.srandmember(f"{tags.provider(uid)}s:{state}", count)
        return [item.decode() for item in found]

    async def submissions(self, uid: str, count: int) -> dict[str, dict[str, Any]]:
        """Up to about `count` submissions that status was not told of yet, by reference."""
        found: dict[bytes, bytes] = {}
        async with connection.translated():
            async for key, value in self._store.redis.hscan_iter(f"{tags.provider(uid)}subs", count=count):
                found[key] = value
                if len(found) >= count:
                    break
        return {key.decode(): scripts.decode(value) for key, value in found.items()}

    async def submissions_told(self, uid: str, refs: Iterable[str]) -> None:
        async with connection.translated():
            await self._store.redis.hdel(f"{tags.provider(uid)}subs", *refs)


def _next_ms(answer: dict[str, Any]) -> int:
    if answer.get("new_primary"):
        log.warning("store_primary_changed", claiming_waits_seconds=answer["next_ms"] / 1000)
    return int(answer["next_ms"])


@functools.lru_cache(maxsize=4096)  # a broadcast's messages share one group
def _dump(group: Group) -> str:
    return scripts.encode(asdict(group))


def _fields(message: NewMessage) -> dict[str, Any]:
    return {name: getattr(message, name) for name in NewMessage.__slots__}
