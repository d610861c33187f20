"""Buys look-ups at SMSC: a permit, an intent with its money reserved, one request, its outcome.

One number is bought once, by whoever reserves it first; in this process who else wants it waits for the same
ticket. A request is never repeated: what became of one that was not answered is asked (profile http), or the
number rests (profile guide).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from ulid import ULID

from smsbridge.core import errors
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.hlr import effects
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.prices import Prices
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import HlrSettings
from smsbridge.runtime import tasks
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc import wire
from smsbridge.smsc.client import SmscClient
from smsbridge.store.account import Accounts, NoPermit
from smsbridge.store.care import Care
from smsbridge.store.lookups import End, Ended, Lookups

log = structlog.get_logger()

_MOST_NUMBERS = 100  # of one request (facts 1.1)
_STORE_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
BUDGET, BOUGHT = "budget", "bought"


class _Frozen(errors.SmsbridgeError):
    """This process stood still between intent and first byte: nothing was written."""

    code = "Frozen"


@dataclass(frozen=True, slots=True)
class Want:
    """`ticket`: `bought`, or why it was not; empty where somebody else was first, whom the store knows.

    `ours`: it was made for this wish.
    """

    ticket: "asyncio.Future[str]"
    ours: bool


class Buying:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        lookups: Lookups,
        accounts: Accounts,
        care: Care,
        prices: Prices,
        client: SmscClient,
        metrics: HlrMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._lookups = lookups
        self._accounts = accounts
        self._care = care
        self._prices = prices
        self._client = client
        self._metrics = metrics
        self._monotonic = monotonic
        # By provider's uid, the verification that pays, and MSISDN: what one purse refuses another may pay.
        self._tickets: dict[tuple[str, str, str], asyncio.Future[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Semaphore] = {}

    def want(self, rules: Rules, msisdns: Sequence[str], *, ages: dict[Reachability, int]) -> dict[str, Want]:
        """Tickets for numbers that nobody knows; what was begun goes on whether anybody waits or not."""
        new = [m for m in dict.fromkeys(msisdns) if _ticket(rules, m) not in self._tickets]
        for msisdn in new:
            self._tickets[_ticket(rules, msisdn)] = asyncio.get_running_loop().create_future()
        most = _MOST_NUMBERS if rules.account.profile is Profile.HTTP else 1
        for start in range(0, len(new), most):
            task = asyncio.create_task(self._take_turn(rules, new[start : start + most], ages))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return {msisdn: Want(self._tickets[_ticket(rules, msisdn)], ours=msisdn in new) for msisdn in msisdns}

    async def close(self) -> None:
        """What is under way is safe in the store; what got its answer just now is written."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._settings.stop_grace_seconds)
        await tasks.end(*self._tasks)

    async def _take_turn(self, rules: Rules, msisdns: Sequence[str], ages: dict[Reachability, int]) -> None:
        key = rules.account.key
        turn = self._turns.setdefault(key, asyncio.Semaphore(self._accounts.limits.hlr))
        why = "store_away"
        try:
            async with asyncio.timeout(self._settings.permit_seconds):
                await turn.acquire()
            try:
                why = await self._buy_all(rules, msisdns, ages)
            finally:
                turn.release()
        except TimeoutError:
            why = "no_turn"
        except errors.SmsbridgeError as error:
            # What has no intent is begun anew; what has one rests, or is asked about.
            log.warning("look_up_left", provider=rules.provider.name, code=error.code)
        except Exception:  # the task's outermost edge: nobody awaits it, and the intent is in the store
            log.exception("look_up_broken", provider=rules.provider.name)
        finally:
            for msisdn in msisdns:
                ticket = self._tickets.pop(_ticket(rules, msisdn), None)
                if ticket is not None and not ticket.done():
                    ticket.set_result(why)

    async def _buy_all(self, rules: Rules, msisdns: Sequence[str], ages: dict[Reachability, int]) -> str:
        """Why not, or empty. A number that spoils a request is found by halving; each half is a request."""
        left = [list(msisdns)]
        while left:
            some = left.pop()
            why = await self._with_permit(rules, some, ages, left)
            if why:
                return why
        return ""

    async def _with_permit(
        self, rules: Rules, msisdns: Sequence[str], ages: dict[Reachability, int], left: list[list[str]]
    ) -> str:
        give_up = self._monotonic() + self._settings.permit_seconds
        key = rules.account.key
        while True:
            if stopped := await self._care.stopped(key):
                return stopped
            try:
                async with self._accounts.permit(key, "hlr", seconds=self._under_way_seconds):
                    left += await self._buy(rules, msisdns, ages)
                    return ""
            except smsc_errors.SmscRejected as refusal:  # of the question for the price
                await self._care.heed(key, rules.provider, refusal.said)
                return refusal.said
            except NoPermit as no:
                if self._monotonic() > give_up:
                    return "no_turn"
                await asyncio.sleep(min(no.wait_ms / 1000, 1.0))

    @property
    def _under_way_seconds(self) -> float:
        """How long a request may be on the wire after its intent."""
        return self._settings.post_total_seconds + self._settings.margin_seconds

    async def _buy(
        self, rules: Rules, msisdns: Sequence[str], ages: dict[Reachability, int]
    ) -> list[list[str]]:
        """What is to be bought in further requests."""
        account, settings = rules.account, self._settings
        later = account.profile is Profile.HTTP
        price = await self._prices.of(rules, msisdns[0])
        life = settings.give_up_seconds if later else settings.unanswered_rest_seconds
        started = self._monotonic()
        look_id = str(ULID())
        found = await self._lookups.begin(
            account.key,
            msisdns,
            look_id=look_id,
            provider_uid=rules.provider.uid,
            budget=rules.budget,
            price=price,
            life_ms=round((self._under_way_seconds + life) * 1000),
            ages=ages,
            asked_about_in_ms=round(self._under_way_seconds * 1000) if later else 0,
            verification=rules.verification,
        )
        mine = []
        for msisdn, standing in zip(msisdns, found, strict=True):
            if standing.over_budget:
                self._answer(rules, msisdn, BUDGET)
            elif standing.mine:
                mine.append(msisdn)
        if not mine:
            return []
        effect = await self._post(rules, look_id, mine, started=started)
        if not effect.halve:
            for msisdn in mine:
                self._answer(rules, msisdn, BOUGHT)
        middle = len(mine) // 2
        return [mine[:middle], mine[middle:]] if effect.halve else []

    async def _post(
        self, rules: Rules, look_id: str, msisdns: Sequence[str], *, started: float
    ) -> effects.Effect:
        def still_in_time() -> None:
            if self._monotonic() - started > self._settings.margin_seconds:
                raise _Frozen("stood still for longer than the margin; nothing was written")

        account = rules.account
        body = wire.encode_lookup(account, client_id=look_id, phones=msisdns)
        ask = self._client.send if account.profile is Profile.HTTP else self._client.look_up
        answer = await ask(account, body, before_first_byte=still_in_time)
        effect = effects.read(answer, msisdns, settings=self._settings, keep=rules.keep_ms)
        labels = (rules.provider.namespace, rules.provider.name)
        self._metrics.requests.labels(*labels, effect.result).inc()
        ended = await self._write(rules, look_id, msisdns, effect)
        self._metrics.settled(rules.provider, ended)
        await self._care.heed(account.key, rules.provider, effect.account)
        return effect

    async def _write(
        self, rules: Rules, look_id: str, msisdns: Sequence[str], effect: effects.Effect
    ) -> Ended:
        """Until it is written; a process that dies here leaves an intent, and the number rests."""
        key, settings = rules.account.key, self._settings
        ends, later = effect.ends, rules.account.profile is Profile.HTTP
        if effect.ask and not later:
            rest = round(settings.unanswered_rest_seconds * 1000)
            ends = tuple(End(msisdn, "unanswered", rest_ms=rest) for msisdn in msisdns)
        state = "taken" if effect.later else ""
        wait = settings.first_question_seconds if effect.later else 0.0
        tries = 0
        while True:
            try:
                if effect.later or effect.ask:
                    return await self._lookups.end(
                        key, look_id, ends, state=state, next_ms=round(wait * 1000) if later else None
                    )
                return await self._lookups.end(key, look_id, ends, close=later)
            except errors.StoreAway:
                if tries >= len(_STORE_RETRY_SECONDS):
                    raise
                await asyncio.sleep(_STORE_RETRY_SECONDS[tries])
                tries += 1

    def _answer(self, rules: Rules, msisdn: str, why: str) -> None:
        ticket = self._tickets.get(_ticket(rules, msisdn))
        if ticket is not None and not ticket.done():
            ticket.set_result(why)


def _ticket(rules: Rules, msisdn: str) -> tuple[str, str, str]:
    return rules.provider.uid, rules.verification, msisdn
