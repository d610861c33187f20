"""Errands that wait for the hlr role, per provider: each once, under a lease while somebody does it.

Provider tag. Bodies are sealed, ids are keyed digests: they hold phones and tokens of workflows. What raises
StoreAway may or may not have happened; every method may be repeated. What a script answers stands at its top.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from smsbridge.core.errand import EntityType, Errand, ErrandKind
from smsbridge.core.message import TokenCheck
from smsbridge.store import connection, scripts, tags
from smsbridge.store.keyring import Keyring, KeyringError

_PURPOSE = "errand"
_CONTEXT = "errand"


class Lane(StrEnum):
    """What waits in one lane does not hold up the other."""

    STEPS = "steps"  # a workflow stands still until it is answered
    CRM = "crm"

    @staticmethod
    def of(kind: ErrandKind) -> "Lane":
        return Lane.STEPS if kind is ErrandKind.STEP else Lane.CRM


@dataclass(frozen=True, slots=True)
class Put:
    """`key` tells one errand from another. `mark_ms`: how long a repeat is recognised; 0: while one waits.

    `replace`: it takes the place of one that waits.
    """

    errand: Errand
    key: str
    mark_ms: int = 0
    replace: bool = False
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """`times`: how often it was taken, this time included. `age_ms`: how long it waits."""

    id: str
    errand: Errand
    age_ms: int
    times: int


@dataclass(frozen=True, slots=True)
class Load:
    """`dropped`: how many waited too long. `next_ms`: until the next may be taken; -1: none waits."""

    errands: tuple[Taken, ...]
    dropped: Mapping[ErrandKind, int]
    next_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Over, or (`later_ms`) to be taken again."""

    id: str
    later_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    count: int
    oldest_ms: int


class Errands:
    def __init__(self, store: connection.Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def put(self, provider_uid: str, given: Sequence[Put]) -> list[bool]:
        """On disk when it returns. False for what is there already."""
        if not given:
            return []
        items = [self._item(one) for one in given]
        answers = await self._run("errands_put", provider_uid, scripts.encode(items), durable=True)
        return [answer == "taken" for answer in answers]

    def sealed(self, one: Put) -> str:
        """As a script takes it that keeps an errand besides something else."""
        return scripts.encode(self._item(one))

    async def take(
        self,
        provider_uid: str,
        lane: Lane,
        *,
        owner: str,
        lease_ms: int,
        most: int,
        longest_ms: Mapping[ErrandKind, int],
    ) -> Load:
        """`longest_ms`: how long each kind of this lane may wait. One that no master key opens is dropped."""
        ages = {kind.value: age for kind, age in longest_ms.items() if Lane.of(kind) is lane}
        answer = await self._run(
            "errands_take", provider_uid, lane.value, owner, lease_ms, most, scripts.encode(ages)
        )
        dropped = Counter({ErrandKind(kind): int(n) for kind, n in dict(answer["dropped"]).items()})
        taken: list[Taken] = []
        for item in answer["errands"] or ():
            try:
                taken.append(self._taken(provider_uid, item))
            except KeyringError:
                dropped[ErrandKind(item["k"])] += 1
                await self.settle(provider_uid, [Settled(item["id"])], owner=owner)
        return Load(tuple(taken), dropped, int(answer["next_ms"]))

    async def settle(self, provider_uid: str, ends: Sequence[Settled], *, owner: str) -> int:
        """How many were the owner's."""
        if not ends:
            return 0
        rows: list[dict[str, Any]] = [
            {"id": end.id, "how": "done"}
            if end.later_ms is None
            else {"id": end.id, "how": "later", "ms": end.later_ms}
            for end in ends
        ]
        return sum(await self._run("errands_settle", provider_uid, owner, scripts.encode(rows)))

    async def keep(
        self, provider_uid: str, ids: Iterable[str], *, owner: str, lease_ms: int
    ) -> frozenset[str]:
        """Those that are the owner's still, for another lease."""
        wanted = list(ids)
        rows = [{"id": one, "how": "keep", "ms": lease_ms} for one in wanted]
        if not rows:
            return frozenset()
        kept = await self._run("errands_settle", provider_uid, owner, scripts.encode(rows))
        return frozenset(one for one, mine in zip(wanted, kept, strict=True) if mine)

    async def waiting(self, provider_uid: str) -> dict[ErrandKind, Waiting]:
        kinds = [kind.value for kind in ErrandKind]
        answer = await self._run("errands_waiting", provider_uid, *kinds)
        return {ErrandKind(kind): Waiting(*map(int, found)) for kind, found in answer.items()}

    def _item(self, one: Put) -> dict[str, Any]:
        errand = one.errand
        body = {name: value for name, value in asdict(errand).items() if name not in _ELSEWHERE and value}
        sealed = self._keyring.encrypt(json.dumps(body).encode(), context=_CONTEXT)
        return {
            "id": self._keyring.digest(_PURPOSE, f"{errand.kind}|{one.key}"),
            "k": errand.kind.value,
            "la": Lane.of(errand.kind).value,
            "body": sealed.hex(),
            "at": errand.accepted_at_ms,
            "mark": one.mark_ms,
            "replace": one.replace,
            "delay": one.delay_ms,
        }

    def _taken(self, uid: str, item: Mapping[str, Any]) -> Taken:
        body = json.loads(self._keyring.decrypt(bytes.fromhex(item["body"]), context=_CONTEXT))
        if "entity" in body:
            body["entity"] = EntityType(body["entity"])
        if "token_check" in body:
            body["token_check"] = TokenCheck(body["token_check"])
        errand = Errand(provider_uid=uid, kind=ErrandKind(item["k"]), **body)
        return Taken(item["id"], errand, age_ms=int(item["age_ms"]), times=int(item["n"]))

    async def _run(self, name: str, uid: str, *args: Any, durable: bool = False) -> Any:
        return await self._store.run(name, tags.provider(uid), *args, durable=durable)


_ELSEWHERE = frozenset({"provider_uid", "kind"})  # of the body: the tag and the record have them
