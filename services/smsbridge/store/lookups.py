"""What look-ups told of numbers, which are under way, and what they cost. Account tag.

The account pays for a look-up, so all providers of an account share what it bought; the budget is a
provider's own. Numbers are kept as keyed digests. What raises StoreAway may or may not have happened: every
method may be repeated with the same id. What a script answers stands at its top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from smsbridge.core.number import Reachability
from smsbridge.store import connection, scripts, tags
from smsbridge.store.keyring import Keyring

_PURPOSE = "number"
_CONTEXT = "look-up"
_UNIT = Decimal(10_000)  # of a rouble: SMSC's prices have two digits, and shares of them more

Ages = Mapping[Reachability, int]


@dataclass(frozen=True, slots=True)
class Known:
    reachability: Reachability
    carrier: str
    region: str
    reason: str
    at_ms: int
    cost: Decimal | None
    estimated: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What a number is in the store. Without any of them nobody knows it and nobody asks."""

    known: Known | None = None
    pending: bool = False
    unanswered: bool = False  # nobody knows whether it was bought; it rests
    left_ms: int = 0  # of a look-up under way: how long it counts as such
    look_id: str = ""  # of the look-up under way
    failed: str = ""  # why it is not tried again yet
    mine: bool = False  # its look-up is ours to make
    over_budget: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """What became of one number of a look-up; `how` is a word of lookup_end.lua."""

    msisdn: str
    how: str
    reachability: Reachability = Reachability.UNKNOWN
    carrier: str = ""
    region: str = ""
    reason: str = ""
    cost: Decimal | None = None  # None: what was reserved, as an estimate
    estimated: bool = False
    keep_ms: int = 0
    rest_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How many numbers changed, and the roubles that were settled by it."""

    changed: int
    spent: Decimal
    estimated: Decimal
    quoted: Decimal = Decimal(0)  # part of it that verifications paid


@dataclass(frozen=True, slots=True)
class Look:
    """A look-up whose results come later, ours until its lease ends."""

    id: str
    provider_uid: str
    msisdns: tuple[str, ...]
    state: str  # asked: no answer was written; taken: SMSC has it
    not_found: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class Spending:
    """Roubles of one provider, today, or of a verification, which counts what it bought, too.

    What is reserved counts as spent until it is settled.
    """

    reserved: Decimal
    spent: Decimal
    estimated: Decimal
    bought: int = 0


class Lookups:
    def __init__(self, store: connection.Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def read(self, account_key: str, msisdns: Sequence[str], *, ages: Ages) -> list[Standing]:
        answer = await self._run("lookup_read", account_key, _ages(ages), self._digests(msisdns))
        return [_standing(item) for item in answer]

    async def begin(
        self,
        account_key: str,
        msisdns: Sequence[str],
        *,
        look_id: str,
        provider_uid: str,
        budget: Decimal,
        price: Decimal,
        life_ms: int,
        ages: Ages,
        asked_about_in_ms: int = 0,
        verification: str = "",
    ) -> list[Standing]:
        """Reserves money and makes the intent of what is to be looked up, on disk when it returns.

        `asked_about_in_ms`: of a look-up whose results come later; without an answer somebody asks then.
        `verification`: whose quote pays, instead of the provider's day; `budget` is its limit.
        """
        body = ""
        if asked_about_in_ms:
            body = self._keyring.encrypt(",".join(msisdns).encode(), context=_CONTEXT).hex()
        answer = await self._run(
            "lookup_begin", account_key, look_id, provider_uid, int(budget * _UNIT), _units(price), life_ms,
            _ages(ages), self._digests(msisdns), body, asked_about_in_ms, verification, durable=True,
        )  # fmt: skip
        return [_standing(item) for item in answer]

    async def end(
        self,
        account_key: str,
        look_id: str,
        ends: Sequence[End],
        *,
        close: bool = False,
        state: str = "",
        not_found: int | None = None,
        next_ms: int | None = None,
        hurry: bool = False,
    ) -> Ended:
        """What is given besides `ends` is for a look-up whose results come later."""
        job: dict[str, Any] = {"close": True} if close else {"hurry": hurry}
        if not close:
            given = {"st": state or None, "nf": not_found, "in_ms": next_ms}
            job |= {name: value for name, value in given.items() if value is not None}
        items = scripts.encode([self._item(end) for end in ends])
        found = await self._run("lookup_end", account_key, look_id, items, scripts.encode(job), durable=True)
        money = (Decimal(found[name]) / _UNIT for name in ("spent", "est", "quoted"))
        return Ended(found["changed"], *money)

    async def take(self, account_key: str, *, lease_ms: int) -> Look | int:
        """A look-up to ask about, or the milliseconds until one is due (-1: there is none)."""
        answer = await self._run("lookup_take", account_key, lease_ms)
        if "look" not in answer:
            return int(answer["next_ms"])
        found = answer["look"]
        sealed = bytes.fromhex(found["body"])
        every = self._keyring.decrypt(sealed, context=_CONTEXT).decode().split(",")
        return Look(
            id=found["id"],
            provider_uid=found["uid"],
            msisdns=tuple(every[place - 1] for place in found["mine"]),
            state=found["st"],
            not_found=found["nf"],
            age_ms=found["age_ms"],
        )

    async def spending(self, account_key: str, provider_uid: str, *, verification: str = "") -> Spending:
        found = await self._run("lookup_budget", account_key, provider_uid, verification)
        reserved, spent, estimated = (Decimal(found[name]) / _UNIT for name in ("res", "spent", "est"))
        return Spending(reserved, spent, estimated, found["n"] if verification else 0)

    async def price(self, account_key: str) -> Decimal | None:
        """Roubles of one look-up, as the account told lately."""
        async with connection.translated():
            found = await self._store.redis.get(f"{tags.account(account_key)}lookprice")
        return None if found is None else Decimal(found.decode())

    async def saw_price(self, account_key: str, roubles: Decimal, *, seconds: float) -> None:
        async with connection.translated():
            name = f"{tags.account(account_key)}lookprice"
            await self._store.redis.set(name, str(roubles), px=round(seconds * 1000))

    async def _run(self, name: str, account_key: str, *args: Any, durable: bool = False) -> Any:
        return await self._store.run(name, tags.account(account_key), *args, durable=durable)

    def _digests(self, msisdns: Sequence[str]) -> str:
        return scripts.encode([self._keyring.digests(_PURPOSE, msisdn) for msisdn in msisdns])

    def _item(self, end: End) -> dict[str, Any]:
        item: dict[str, Any] = {
            "d": self._keyring.digests(_PURPOSE, end.msisdn),
            "how": end.how,
            "r": end.reachability.value,
            "c": end.carrier,
            "g": end.region,
            "why": end.reason,
            "est": end.estimated,
            "keep": end.keep_ms,
            "rest": end.rest_ms,
        }
        return item if end.cost is None else item | {"cost": _units(end.cost)}


def _units(roubles: Decimal) -> int:
    """Rounded up: a budget is not exceeded by roundings."""
    return int((roubles * _UNIT).to_integral_value(rounding=ROUND_UP))


def _ages(ages: Ages) -> str:
    return scripts.encode({outcome.value: age for outcome, age in ages.items()})


def _standing(item: Any) -> Standing:
    if not item:  # an empty table is an empty list in JSON
        return Standing()
    known, flight = item.get("known"), item.get("flight") or {}
    return Standing(
        known=None if known is None else _known(known),
        pending=bool(flight) and flight["st"] != "unanswered",
        unanswered=flight.get("st") == "unanswered",
        left_ms=flight.get("left", 0),
        look_id=flight.get("id", ""),
        failed=item.get("failed") or "",
        mine=bool(item.get("mine")),
        over_budget=bool(item.get("budget")),
    )


def _known(found: dict[str, Any]) -> Known:
    return Known(
        reachability=Reachability(found["r"]),
        carrier=found["c"],
        region=found["g"],
        reason=found["why"],
        at_ms=found["at"],
        cost=Decimal(found["co"]) / _UNIT if found["co"] else None,
        estimated=bool(found["es"]),
    )
