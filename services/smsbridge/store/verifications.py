"""Verifications of contact bases: their records, who works at them, and how far they are. Provider tag.

One that is to be worked at is somebody's until a lease ends; then another replica takes it over, and does
again what was not committed. A page is committed by one script, so a repeat counts nothing twice. Phones are
kept as keyed digests, those of a file sealed, and neither longer than the verification takes. What raises
StoreAway may or may not have happened: every method may be repeated.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from smsbridge.core.errand import EntityType
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.core.verification import Quote, Source, State
from smsbridge.store import connection, scripts, tags
from smsbridge.store.keyring import Keyring

CHUNK = 50  # numbers of a file that are one page
_PURPOSE = "number"
_CONTEXT = "verification"
_CHUNKS_AT_ONCE = 200
_DAY_MS = 86_400_000
_UNENDED = (State.QUOTING, State.QUOTED, State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True)
class Spent:
    """Roubles, and how many look-ups."""

    roubles: Decimal = Decimal(0)
    estimated: Decimal = Decimal(0)
    bought: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """`cursor`: everything up to there is done. `account_key`: whom the quote was made for; `allowed`: what
    may be spent in all; `before`: what was, by other accounts. `quoted_entities`: how many were done when the
    quote was made; `taken_at_ms`, `taken_entities`: when its owner took it, and how many then. `size`: of a
    file.
    """

    id: str
    state: State
    reason: str
    source: Source
    size: int
    cursor: int
    created_at_ms: int
    confirmed_at_ms: int
    ended_at_ms: int
    quote: Quote | None
    account_key: str
    allowed: Decimal
    before: Spent
    numbers: int
    entities: Mapping[str, int]
    taken_at_ms: int
    taken_entities: int
    quoted_entities: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    carriers: Mapping[str, int] = field(default_factory=dict)
    regions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one page. `entities`: by what became of them (`done` is all)."""

    after: int
    next: int
    entities: Mapping[str, int]
    numbers: Mapping[str, Facts] = field(repr=False)


class Verifications:
    def __init__(
        self, store: connection.Store, keyring: Keyring, *, kept_days: float, unconfirmed_days: float
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._kept_ms = round(kept_days * _DAY_MS)
        self._unconfirmed_ms = round(unconfirmed_days * _DAY_MS)

    async def make(self, uid: str, id: str, source: Source, msisdns: Sequence[str] = ()) -> None:
        """On disk when it returns; somebody will work out its quote."""
        chunks = [list(msisdns[start : start + CHUNK]) for start in range(0, len(msisdns), CHUNK)]
        await self._seal(uid, id, chunks)
        fields: dict[str, str | int] = {
            "st": State.QUOTING.value,
            "ent": source.entity.value if source.entity is not None else "",
            "body": self._sealed(json.dumps(dict(source.where))),
            "size": len(msisdns),
        }
        await self._run("verification_make", uid, id, scripts.encode(fields), self._unconfirmed_ms)

    async def take(self, uid: str, token: str, *, lease_ms: int) -> str:
        """The id of one that nobody works at, ours now; empty where there is none."""
        answer = await self._store.run("verification_take", tags.provider(uid), token, lease_ms, durable=True)
        return str(answer["id"]) if answer else ""

    async def renew(self, uid: str, id: str, token: str, *, lease_ms: int) -> bool:
        """False: it is not ours any more. 0 gives it back."""
        answer = await self._store.run("verification_renew", tags.provider(uid), id, token, lease_ms)
        return bool(answer["ok"])

    async def commit(
        self, uid: str, id: str, token: str, done: Done, *, lease_ms: int
    ) -> dict[str, int] | None:
        """How many numbers were new, by their word; None: it is not ours any more."""
        numbers = [
            (self._digest(msisdn), _kept(facts), outcome_of(facts), facts.carrier, facts.region)
            for msisdn, facts in done.numbers.items()
        ]
        page = scripts.encode({"e": done.entities or {"done": 0}, "numbers": numbers})
        answer = await self._run("verification_commit", uid, id, token, lease_ms, done.after, done.next, page)
        return dict(answer.get("new") or {}) if answer["ok"] else None

    async def quoted(
        self, uid: str, id: str, token: str, quote: Quote, *, account_key: str, before: Spent, entities: int
    ) -> bool:
        """It waits for a yes now. False: it is not ours any more."""
        return await self._move(uid, id, token, (State.QUOTING,), State.QUOTED, set={
            "quote": scripts.encode(_quote_out(quote)), "price": f"{quote.roubles:f}", "acc": account_key,
            "old": scripts.encode([f"{before.roubles:f}", f"{before.estimated:f}", before.bought]),
            "was": entities,
        })  # fmt: skip

    async def confirm(self, uid: str, id: str, *, roubles: Decimal, allowed: Decimal) -> bool:
        """Yes to a quote of so many roubles; `allowed` in all. False where it has no such quote."""
        return await self._move(
            uid, id, "", (State.QUOTED,), State.RUNNING, need={"price": f"{roubles:f}"},
            set={"allow": f"{allowed:f}"}, stamp="confirmed", run_ms=0, keep_ms=-1,
        )  # fmt: skip

    async def pause(self, uid: str, id: str, token: str, reason: str, *, again_ms: int | None) -> bool:
        """`again_ms`: somebody looks then whether it may go on; None: it waits for a word."""
        given = (State.QUOTING, State.RUNNING, State.PAUSED)
        return await self._move(uid, id, token, given, State.PAUSED, why=reason, run_ms=again_ms)

    async def go_on(self, uid: str, id: str, token: str = "") -> bool:
        """A paused one runs again: somebody may take it at once."""
        return await self._move(uid, id, token, (State.PAUSED,), State.RUNNING, run_ms=0)

    async def quote_again(self, uid: str, id: str) -> bool:
        return await self._move(uid, id, "", (State.PAUSED,), State.QUOTING, run_ms=0)

    async def end(self, uid: str, id: str, token: str, state: State, reason: str = "") -> bool:
        """Done, failed, or (without a token) cancelled by hand. False where it had ended before."""
        return await self._move(
            uid, id, token, _UNENDED, state, why=reason, stamp="ended", keep_ms=self._kept_ms, drop=True
        )

    async def get(self, uid: str, id: str) -> Record | None:
        if not id:
            return None
        found = await self._store.run("verification_read", tags.provider(uid), id)
        return self._record(found[0]) if found else None

    async def all(self, uid: str) -> list[Record]:
        """The newest first, without their counts."""
        found = await self._store.run("verification_read", tags.provider(uid), "")
        return [self._record(item) for item in found]

    async def chunk(self, uid: str, id: str, number: int) -> list[str]:
        """The numbers of one chunk of a file, from 0; empty behind the last."""
        async with connection.translated():
            found = await self._store.redis.hget(f"{tags.provider(uid)}vk:{id}", str(number))
        return list(json.loads(self._opened(found.decode()))) if found else []

    async def known(self, uid: str, id: str, msisdns: Sequence[str]) -> dict[str, Facts]:
        """Of numbers that this verification is done with."""
        if not msisdns:
            return {}
        digests = [self._digest(msisdn) for msisdn in msisdns]
        async with connection.translated():
            found = await self._store.redis.hmget(f"{tags.provider(uid)}vn:{id}", digests)
        pairs = zip(msisdns, found, strict=True)
        return {msisdn: _known(msisdn, value.decode()) for msisdn, value in pairs if value is not None}

    async def _seal(self, uid: str, id: str, chunks: Sequence[Sequence[str]]) -> None:
        """Before the record: without one they go by themselves."""
        key = f"{tags.provider(uid)}vk:{id}"
        sealed = {str(number): self._sealed(json.dumps(chunk)) for number, chunk in enumerate(chunks)}
        names = list(sealed)
        async with connection.translated():
            for start in range(0, len(names), _CHUNKS_AT_ONCE):
                some = {name: sealed[name] for name in names[start : start + _CHUNKS_AT_ONCE]}
                await self._store.redis.hset(key, mapping=some)
                await self._store.redis.pexpire(key, self._unconfirmed_ms)

    async def _move(
        self, uid: str, id: str, token: str, given: Sequence[State], to: State, **how: Any
    ) -> bool:
        order = {"from": given, "to": to, **{name: value for name, value in how.items() if value is not None}}
        answer = await self._run("verification_move", uid, id, token, scripts.encode(order))
        return bool(answer["ok"])

    async def _run(self, name: str, uid: str, *args: Any) -> Any:
        return await self._store.run(name, tags.provider(uid), *args, durable=True)

    def _digest(self, msisdn: str) -> str:
        return self._keyring.digest(_PURPOSE, msisdn)

    def _sealed(self, text: str) -> str:
        return self._keyring.encrypt(text.encode(), context=_CONTEXT).hex()

    def _opened(self, sealed: str) -> str:
        return self._keyring.decrypt(bytes.fromhex(sealed), context=_CONTEXT).decode()

    def _record(self, item: Any) -> Record:
        v, counts = _pairs(item["v"]), _pairs(item["c"])
        entity = EntityType(v["ent"]) if v["ent"] else None

        def number(name: str) -> int:
            return int(v.get(name, 0))

        def counted(kind: str) -> dict[str, int]:
            return {name[2:]: int(many) for name, many in counts.items() if name.startswith(f"{kind}|")}

        return Record(
            id=item["id"],
            state=State(v["st"]),
            reason=v.get("why", ""),
            source=Source(entity, json.loads(self._opened(v["body"]))),
            size=number("size"),
            cursor=number("cur"),
            created_at_ms=number("made"),
            confirmed_at_ms=number("confirmed"),
            ended_at_ms=number("ended"),
            quote=_quote_in(json.loads(v["quote"])) if "quote" in v else None,
            account_key=v.get("acc", ""),
            allowed=Decimal(v.get("allow", "0")),
            before=_spent(json.loads(v["old"])) if "old" in v else Spent(),
            numbers=number("n"),
            entities={name[2:]: int(many) for name, many in v.items() if name.startswith("e:")},
            taken_at_ms=number("run"),
            taken_entities=number("run_e"),
            quoted_entities=number("was"),
            outcomes=counted("o"),
            carriers=counted("c"),
            regions=counted("g"),
        )


def _pairs(flat: Any) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True)) if flat else {}  # an empty table is a map in JSON


def _spent(found: Sequence[Any]) -> Spent:
    return Spent(Decimal(found[0]), Decimal(found[1]), int(found[2]))


def _quote_out(quote: Quote) -> list[Any]:
    numbers = [quote.entities, quote.numbers, quote.known, quote.seconds]
    return [*numbers, f"{quote.price:f}", f"{quote.roubles:f}", quote.estimated]


def _quote_in(found: Sequence[Any]) -> Quote:
    entities, numbers, known, seconds, price, roubles, estimated = found
    return Quote(entities, numbers, known, Decimal(price), Decimal(roubles), bool(estimated), seconds)


def _kept(facts: Facts) -> str:
    """What goes to the CRM of it; a word for numbers of which nothing is known."""
    return scripts.encode([facts.state, facts.reachability, facts.carrier, facts.region,
                           facts.checked_at_ms, facts.reason])  # fmt: skip


def _known(msisdn: str, text: str) -> Facts:
    state, reachability, carrier, region, at_ms, reason = json.loads(text)
    return Facts(msisdn, LookupState(state), Reachability(reachability), carrier, region, at_ms, reason)


def outcome_of(facts: Facts) -> str:
    """The word that a number counts as: its reachability, or why there is none."""
    return facts.reachability.value if facts.state is LookupState.KNOWN else facts.reason or facts.state.value
