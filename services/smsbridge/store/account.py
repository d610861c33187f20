"""What all roles and replicas share about one SMSC account: permits, (phone, text) holds, pause, questions.

Account tag. A permit is for one request and ends by itself with that request's deadline (guarantees 10).
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from smsbridge.core import errors
from smsbridge.store import connection, scripts, tags


class Pause(StrEnum):
    """Why an account sends nothing."""

    LOGIN = "login"
    MONEY = "money"


class AccountLimits(BaseModel):
    """Requests at a time, over all roles and replicas, together under SMSC's 15; and when a paused account is
    probed.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sends: int = Field(8, ge=1, description="Sends at a time.")
    interactive_sends: int = Field(2, ge=0, description="Of these, kept free for interactive messages.")
    status: int = Field(3, ge=1, description="status.php at a time.")
    hlr: int = Field(2, ge=1, description="HLR look-ups at a time.")
    info: int = Field(1, ge=1, description="balance.php and info.php at a time.")
    asks: int = Field(
        4, ge=1, description="Status questions a window for one message (SMSC allows 5 a minute)."
    )
    asks_window_ms: int = Field(60_000, ge=1, description="The window of status questions (ms).")
    hold_ms: int = Field(
        65_000, ge=0, description="A (phone, text) pair is held so long after its POST ended (ms)."
    )
    login_probes_seconds: tuple[float, ...] = Field(
        (30.0, 120.0, 600.0, 1800.0),
        min_length=1,
        description="Probes by balance.php after a wrong login; the last repeats (s).",
    )
    money_probe_seconds: float = Field(60.0, gt=0, description="Probe of an account without money (s).")
    money_tries_after_probes: int = Field(
        10,
        ge=1,
        description="After so many probes without a higher balance one message is tried all the same.",
    )

    def first_probe_seconds(self, why: Pause) -> float:
        """Without money it is at once: what there is now is the mark that a top-up has to pass."""
        return 0.0 if why is Pause.MONEY else self.login_probes_seconds[0]

    def next_probe_seconds(self, why: Pause, probes: int) -> float:
        """`probes`: how many there were, with the one that is made now."""
        if why is Pause.MONEY:
            return self.money_probe_seconds
        return self.login_probes_seconds[min(probes, len(self.login_probes_seconds) - 1)]


class NoPermit(errors.Away):
    """`wait_ms`: when to ask again; `why`: permits, proving, too_many, or the pause's reason."""

    code = "NoPermit"

    def __init__(self, why: str, wait_ms: int) -> None:
        super().__init__(f"no permit for this account now: {why}")
        self.why = why
        self.wait_ms = wait_ms


@dataclass(frozen=True, slots=True)
class AccountState:
    pause: str = ""
    next_probe_at_ms: int = 0
    balance: Decimal | None = None
    status_proved: bool = False


class Accounts:
    def __init__(self, store: connection.Store, limits: AccountLimits) -> None:
        self._store = store
        self.limits = limits

    async def _run(self, name: str, key: str, *args: Any) -> Any:
        return await self._store.run(name, tags.account(key), *args)

    async def take(
        self, key: str, kind: str, *, seconds: float, interactive: bool = False, paused_too: bool = False
    ) -> str:
        """A permit's id for a request of `kind` (send, status, hlr, info). Raises NoPermit."""
        limits = self.limits
        most = {"send": limits.sends, "status": limits.status, "hlr": limits.hlr, "info": limits.info}[kind]
        share = most - limits.interactive_sends if kind == "send" and not interactive else most
        permit = str(ULID())
        answer = await self._run(
            "permit", key, permit, kind, int(seconds * 1000), most, max(1, share), "0" if paused_too else "1"
        )
        if not answer.get("ok"):
            raise NoPermit(answer["why"], int(answer["wait_ms"]))
        return permit

    async def give_back(self, key: str, kind: str, permit: str) -> None:
        async with connection.translated():
            await self._store.redis.zrem(f"{tags.account(key)}permits:{kind}", permit)

    @asynccontextmanager
    async def permit(
        self, key: str, kind: str, *, seconds: float, paused_too: bool = False
    ) -> AsyncIterator[None]:
        """Holds a permit for one request. Raises NoPermit where none is free or the account is paused."""
        permit = await self.take(key, kind, seconds=seconds, paused_too=paused_too)
        try:
            yield
        finally:
            await self.give_back(key, kind, permit)

    async def hold(
        self, key: str, client_id: str, pairs: Sequence[tuple[str, str]], *, life_ms: int
    ) -> list[int]:
        """Holds (phone, text) pairs for a composition: 0 where held, else ms until the other's hold ends."""
        answer = await self._run(
            "holds", key, client_id, life_ms, scripts.encode([_digest(*pair) for pair in pairs])
        )
        return [int(wait) for wait in answer]

    async def end_hold(
        self, key: str, client_id: str, pairs: Sequence[tuple[str, str]], *, taken: bool
    ) -> None:
        rest = self.limits.hold_ms if taken else 0
        await self._run("end_holds", key, client_id, rest, scripts.encode([_digest(*pair) for pair in pairs]))

    async def may_ask(self, key: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Counts a status question for each (id, msisdn) before it is made; False where it must not be."""
        digests = scripts.encode([_digest(*pair) for pair in pairs])
        return list(await self._run("asks", key, self.limits.asks, self.limits.asks_window_ms, digests))

    async def pause(self, key: str, why: Pause) -> bool:
        """True where it was not paused for this reason before."""
        answer = await self._run("pause", key, why, int(self.limits.first_probe_seconds(why) * 1000))
        return bool(answer["new"])

    async def probe_due(self, key: str, *, lease_seconds: float) -> dict[str, Any]:
        """{"reason", "step", "balance", "money_seen"} where a probe is ours to make, else {"next_ms"}."""
        answer: dict[str, Any] = await self._run("probe", key, int(lease_seconds * 1000))
        return answer

    async def schedule_probe(self, key: str, *, in_seconds: float) -> None:
        await self._set(key, {"until": await self._now_ms(key) + int(in_seconds * 1000)})

    async def resume(self, key: str) -> None:
        """The account may send again; one request goes alone until it succeeds."""
        await self._set(key, {"pause": "", "until": 0, "step": 0, "warm": "0"})

    async def succeeded(self, key: str) -> None:
        await self._set(key, {"warm": "1"})

    async def cool(self, key: str) -> None:
        """After a start or a changed Secret one request goes alone until it succeeds."""
        await self._set(key, {"warm": "0"})

    async def back_off(self, key: str, *, seconds: float) -> None:
        """Too many connections: no send for so long."""
        await self._set(key, {"back_off": await self._now_ms(key) + int(seconds * 1000)})

    async def prove_status(self, key: str) -> None:
        await self._set(key, {"proved": "1"})

    async def saw_balance(self, key: str, balance: Decimal, *, fingerprint: str = "") -> None:
        """`fingerprint`: of the credentials that it was told to; they count as good for a while."""
        seen: dict[str, Any] = {"balance": str(balance)}
        if fingerprint:
            seen |= {"balance_at": await self._now_ms(key), "balance_print": fingerprint}
        await self._set(key, seen)

    async def recent_balance(self, key: str, fingerprint: str, *, within_seconds: float) -> Decimal | None:
        """What the account said to these credentials, where somebody asked it within so long."""
        async with connection.translated():
            names = ("balance", "balance_at", "balance_print")
            values = await self._store.redis.hmget(f"{tags.account(key)}state", names)
        balance, at, printed = [value.decode() if value else "" for value in values]
        if not balance or printed != fingerprint:
            return None
        age_ms = await self._now_ms(key) - int(at)
        return Decimal(balance) if age_ms < within_seconds * 1000 else None

    async def stopped_at(self, key: str, balance: Decimal) -> None:
        """What the balance was when SMSC said that there was no money: only more than that lets it go on."""
        await self._set(key, {"money_seen": str(balance)})

    async def forget_stop(self, key: str) -> None:
        async with connection.translated():
            await self._store.redis.hdel(f"{tags.account(key)}state", "money_seen")

    async def fingerprint(self, key: str, fingerprint: str) -> bool:
        """Remembers the credentials' fingerprint; True where it changed."""
        name = f"{tags.account(key)}state"
        async with connection.translated():
            old = await self._store.redis.hget(name, "print")
            await self._store.redis.hset(name, "print", fingerprint)
        return old is not None and old.decode() != fingerprint

    async def state(self, key: str) -> AccountState:
        names = ("pause", "until", "balance", "proved")
        async with connection.translated():
            values = await self._store.redis.hmget(f"{tags.account(key)}state", names)
        pause, until, balance, proved = [v.decode() if v else "" for v in values]
        return AccountState(
            pause, int(until or 0) if pause else 0, Decimal(balance) if balance else None, proved == "1"
        )

    async def _now_ms(self, key: str) -> int:
        return await self._store.now_ms(tags.account(key))

    async def _set(self, key: str, values: dict[str, Any]) -> None:
        async with connection.translated():
            await self._store.redis.hset(f"{tags.account(key)}state", mapping=values)


def _digest(one: str, two: str) -> str:
    """A key must not show a phone or a text."""
    return hashlib.blake2b(f"{one}\0{two}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
