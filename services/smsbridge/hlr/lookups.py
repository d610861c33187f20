"""Looks numbers up: what is known first, then what may be bought. Knows neither gRPC nor the store's keys.

A look-up that was begun goes on when its caller has gone; whoever asks again finds it. Where only it matters
whether a number can be reached, an SMS that was delivered to it lately is as good, and costs nothing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from smsbridge.core import errors, msisdn
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.core.provider import Profile, Provider
from smsbridge.hlr import rules as hlr_rules
from smsbridge.hlr.buying import BOUGHT, BUDGET, Buying, Want
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.prices import Prices
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning import sections
from smsbridge.store.alive import Alive
from smsbridge.store.care import Care
from smsbridge.store.lookups import Ages, Known, Lookups, Standing

_LOOK_AGAIN_SECONDS = (0.05, 0.1, 0.2, 0.5)  # whether a result came; the last repeats
REMOVED, UNANSWERED, NOT_KNOWN, DELIVERED = "removed", "unanswered", "not_known", "delivered"


@dataclass(frozen=True, slots=True)
class Budget:
    """Roubles of a provider, today."""

    provider: Provider
    daily: Decimal
    spent: Decimal
    estimated: Decimal
    reserved: Decimal

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.daily - self.spent - self.reserved)


class LookupService:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        entries: sections.Entries,
        lookups: Lookups,
        alive: Alive,
        buying: Buying,
        prices: Prices,
        care: Care,
        metrics: HlrMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._lookups = lookups
        self._alive = alive
        self._clock = clock
        self._buying = buying
        self._prices = prices
        self._care = care
        self._metrics = metrics

    async def describe(
        self, provider_uid: str, msisdns: Sequence[str], *, max_age_seconds: int = 0
    ) -> list[Facts]:
        """What is known, without spending. Raises InputError and StoreAway."""
        self._check(msisdns)
        rules = self._rules(provider_uid)
        if rules is None:
            return [Facts(number, LookupState.REFUSED, reason=REMOVED) for number in msisdns]
        ages = rules.ages(max_age_seconds)
        found = await self._prove(rules, await self._read(rules, msisdns, ages), ages)
        return [_facts(number, found[number], refused=NOT_KNOWN) for number in msisdns]

    async def look_up(
        self,
        provider_uid: str,
        msisdns: Sequence[str],
        *,
        max_age_seconds: int = 0,
        wait_seconds: float = 0.0,
        with_carrier: bool = False,
    ) -> list[Facts]:
        """One answer for each number, in order; what has no result within `wait_seconds` is pending.

        `with_carrier`: carrier and region are wanted, so that a delivery tells too little.
        Raises InputError and StoreAway.
        """
        self._check(msisdns)
        rules = self._rules(provider_uid)
        if rules is None:
            return [Facts(number, LookupState.REFUSED, reason=REMOVED) for number in msisdns]
        answers = await self.ask(
            rules,
            msisdns,
            max_age_seconds=max_age_seconds,
            wait_seconds=wait_seconds,
            with_carrier=with_carrier,
        )
        self.count(rules, answers)
        return answers

    async def ask(
        self,
        rules: Rules,
        msisdns: Sequence[str],
        *,
        max_age_seconds: int = 0,
        wait_seconds: float = 0.0,
        with_carrier: bool = False,
    ) -> list[Facts]:
        """As `look_up`, by the budget of `rules`, and not counted: for who asks again. Raises StoreAway."""
        ages = rules.ages(max_age_seconds)
        before = await self._read(rules, msisdns, ages)
        if not with_carrier:
            before = await self._prove(rules, before, ages)
        missing = [number for number, standing in before.items() if standing == Standing()]
        refused = await self._not_bought(rules, missing)
        tickets = {} if refused else self._buying.want(rules, missing, ages=ages)
        wait = min(wait_seconds, self._settings.wait_most_seconds)
        now = await self._wait(rules, before, tickets, ages, wait_seconds=wait)
        answers = []
        for number in msisdns:
            why = refused if number in missing else ""
            want = tickets.get(number)
            if want is not None and want.ticket.done():
                why = want.ticket.result()
            bought = want is not None and want.ours and why == BOUGHT
            answers.append(_facts(number, now[number], refused="" if why == BOUGHT else why, bought=bought))
        return answers

    async def fresh(self, rules: Rules, msisdns: Sequence[str]) -> set[str]:
        """Those of which enough is known. Raises StoreAway."""
        ages = rules.ages(0)
        found = await self._prove(rules, await self._read(rules, msisdns, ages), ages)
        return {number for number, standing in found.items() if standing.known is not None}

    async def unfinished(self, rules: Rules, msisdns: Sequence[str]) -> set[str]:
        """Those of which more will be known: a callback tells nothing of the region. Raises StoreAway."""
        found = await self._read(rules, msisdns, rules.ages(0))
        return {number for number, standing in found.items() if standing.pending}

    async def budgets(self, provider_uid: str = "") -> list[Budget]:
        """Of one provider, or of all. Raises StoreAway."""
        uids = [provider_uid] if provider_uid else [one.uid for one in self._entries.all()]
        known = [rules for uid in uids if (rules := self._rules(uid)) is not None]
        return [await self._budget(rules) for rules in known]

    async def measure(self) -> None:
        """Shows what is left of each budget."""
        found = await self.budgets()
        self._metrics.budget_left.clear()  # a removed provider has none
        for one in found:
            labels = (one.provider.namespace, one.provider.name)
            self._metrics.budget_left.labels(*labels).set(float(one.left))

    async def _budget(self, rules: Rules) -> Budget:
        found = await self._lookups.spending(
            rules.account.key, rules.provider.uid, verification=rules.verification
        )
        return Budget(rules.provider, rules.budget, found.spent, found.estimated, found.reserved)

    def _rules(self, uid: str) -> Rules | None:
        return hlr_rules.of(self._entries, uid, unknown_kept_seconds=self._settings.unknown_kept_seconds)

    def _check(self, msisdns: Sequence[str]) -> None:
        if len(msisdns) > self._settings.max_numbers:
            raise errors.InputError(
                f"at most {self._settings.max_numbers} numbers at a time", field="msisdns"
            )
        msisdn.check_all(msisdns, field="msisdns")

    async def _read(self, rules: Rules, msisdns: Sequence[str], ages: Ages) -> dict[str, Standing]:
        asked = list(dict.fromkeys(msisdns))
        if not asked:
            return {}
        found = await self._lookups.read(rules.account.key, asked, ages=ages)
        if rules.account.profile is Profile.GUIDE:
            found = [_cut_off(standing, rest_ms=self._rest_ms) for standing in found]
        return dict(zip(asked, found, strict=True))

    async def _prove(
        self, rules: Rules, standings: Mapping[str, Standing], ages: Ages
    ) -> dict[str, Standing]:
        """With those that nobody knows, but that an SMS was delivered to lately, as reachable."""
        unknown = [number for number, standing in standings.items() if standing.known is None]
        oldest = self._clock() * 1000 - ages[Reachability.ACTIVE]
        delivered = await self._alive.of(rules.provider.uid, unknown)
        proved = {number: _proved(at) for number, at in delivered.items() if at >= oldest}
        return {**standings, **proved}

    @property
    def _rest_ms(self) -> int:
        return round(self._settings.unanswered_rest_seconds * 1000)

    async def _not_bought(self, rules: Rules, missing: Sequence[str]) -> str:
        """Why nothing can be bought at all now; empty where it may be tried."""
        if not missing:
            return ""
        if stopped := await self._care.stopped(rules.account.key):
            return stopped
        left, price = (await self._budget(rules)).left, await self._prices.known(rules)
        return BUDGET if left < (price or 0) or (left == 0 and price is None) else ""

    async def _wait(
        self,
        rules: Rules,
        before: dict[str, Standing],
        tickets: Mapping[str, Want],
        ages: Ages,
        *,
        wait_seconds: float,
    ) -> dict[str, Standing]:
        """How the numbers stand at the end of the wait, or before, once all of them are settled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        if tickets and wait_seconds > 0:
            await asyncio.wait({want.ticket for want in tickets.values()}, timeout=wait_seconds)
        now, looks = dict(before), 0
        while True:
            open_ = [n for n, standing in now.items() if _is_open(standing) or (looks == 0 and n in tickets)]
            if open_:
                now |= await self._read(rules, open_, ages)
            left = until - loop.time()
            if not any(map(_is_open, now.values())) or left <= 0:
                return now
            await asyncio.sleep(min(left, _LOOK_AGAIN_SECONDS[min(looks, len(_LOOK_AGAIN_SECONDS) - 1)]))
            looks += 1

    def count(self, rules: Rules, answers: Sequence[Facts]) -> None:
        for one in answers:
            known = one.state is LookupState.KNOWN
            outcome = one.reachability.value if known else one.state.value
            source = ("smsc" if one.bought else "cache") if known else "none"
            if known and one.reason == DELIVERED:
                source = "delivery"
            labels = (rules.provider.namespace, rules.provider.name)
            self._metrics.lookups.labels(*labels, outcome, source).inc()


def _proved(at_ms: int) -> Standing:
    return Standing(known=Known(Reachability.ACTIVE, "", "", DELIVERED, at_ms, cost=None, estimated=False))


def _is_open(standing: Standing) -> bool:
    """Its look-up is under way: more will be known. (A rest is no such thing.)"""
    return standing.pending


def _cut_off(standing: Standing, *, rest_ms: int) -> Standing:
    """Whoever asked has ended without a word: its answer came to nobody, and will not come."""
    if standing.pending and standing.left_ms <= rest_ms:
        return replace(standing, pending=False, unanswered=True)
    return standing


def _facts(number: str, standing: Standing, *, refused: str = "", bought: bool = False) -> Facts:
    if standing.known is not None:
        return _known(number, standing.known, bought=bought)
    if standing.pending:
        return Facts(number, LookupState.PENDING)
    if standing.unanswered:
        return Facts(number, LookupState.PENDING, reason=UNANSWERED)
    if standing.failed:
        return Facts(number, LookupState.FAILED, reason=standing.failed)
    if refused:
        return Facts(number, LookupState.REFUSED, reason=refused)
    return Facts(number, LookupState.PENDING)


def _known(number: str, known: Known, *, bought: bool) -> Facts:
    return Facts(
        number,
        LookupState.KNOWN,
        reachability=known.reachability,
        carrier=known.carrier,
        region=known.region,
        checked_at_ms=known.at_ms,
        reason=known.reason,
        bought=bought,
        cost=known.cost,
        cost_estimated=known.estimated,
    )
