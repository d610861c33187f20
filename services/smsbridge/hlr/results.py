"""Results that come after the request (profile http): by SMSC's callback, and asked of status.php.

A callback tells whether the number can be reached; only status.php with `all=2` knows the region, so it is
asked soon after the first callback, and at growing distances where none comes. It is also asked what became
of a request that was not answered: three "not found", the last after three minutes, of an account that is
known to find our ids mean that nothing was bought, and nothing else does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from smsbridge.core.account import Said
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.hlr import effects
from smsbridge.hlr import rules as hlr_rules
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning import sections
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc import answers, lookup_codes, reading
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.store.account import Accounts, NoPermit
from smsbridge.store.care import Care
from smsbridge.store.lookups import End, Look, Lookups

log = structlog.get_logger()

_ASK_SECONDS = 15.0  # a permit for one question outlasts the client's own time-out
_NOT_FOUND_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """One result of a callback."""

    account_key: str
    smsc_id: str
    msisdn: str
    code: int
    err: int | None
    carrier: str = ""


class Results:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        entries: sections.Entries,
        lookups: Lookups,
        accounts: Accounts,
        care: Care,
        client: SmscClient,
        metrics: HlrMetrics,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._lookups = lookups
        self._accounts = accounts
        self._care = care
        self._client = client
        self._metrics = metrics

    async def record(self, heard: Sequence[Heard]) -> None:
        """Results of callbacks; a repeat changes nothing. Raises StoreAway."""
        for one in heard:
            self._metrics.results.labels(result=await self._record(one)).inc()

    async def _record(self, one: Heard) -> str:
        found = lookup_codes.read(Profile.HTTP, one.code, one.err)
        if found.reachability is None:
            return "pending"
        rules = self._any_rules(one.account_key)
        if rules is None or not one.msisdn:
            return "unknown"
        carrier = reading.told({"net": one.carrier}, "net")
        end = End(
            one.msisdn,
            "heard",
            reachability=found.reachability,
            carrier=carrier,
            reason=found.reason,
            keep_ms=self._keep_ms(one.account_key, found.reachability),
        )
        ended = await self._lookups.end(
            one.account_key,
            one.smsc_id,
            [end],
            next_ms=round(self._settings.details_seconds * 1000),
            hurry=True,
        )
        return "taken" if ended.changed else "unknown"

    async def step(self, account_key: str) -> float | None:
        """Asks about one look-up, if one is due. Seconds until the next may be."""
        rules = self._any_rules(account_key)
        if rules is None:
            return None
        taken = await self._lookups.take(
            account_key, lease_ms=round(self._settings.question_lease_seconds * 1000)
        )
        if isinstance(taken, int):
            idle = self._settings.idle_seconds
            return idle if taken < 0 else min(taken / 1000, idle)
        buyer = self._rules(taken.provider_uid) or rules
        await self._ask(buyer, taken)
        return 0.0

    async def _ask(self, rules: Rules, look: Look) -> None:
        key = rules.account.key
        opens = await self._open(key, look)
        if not opens:
            await self._lookups.end(key, look.id, [], close=True)
            return
        found = await self._statuses(rules, [(look.id, number) for number in opens])
        if found is None:
            await self._unanswered(rules, look, opens)
            return
        await self._apply(rules, look, found)

    async def _open(self, key: str, look: Look) -> list[str]:
        """Its numbers whose look-up is this one, and under way."""
        found = await self._lookups.read(key, look.msisdns, ages={})
        return [m for m, standing in zip(look.msisdns, found, strict=True) if standing.look_id == look.id]

    async def _statuses(
        self, rules: Rules, pairs: Sequence[tuple[str, str]]
    ) -> list[answers.StatusAnswer] | None:
        """What status.php says, counted before it is asked; None: no answer."""
        key = rules.account.key
        if await self._care.stopped_seconds() > 0:
            return None
        result = "answered"
        try:
            async with self._accounts.permit(key, "status", seconds=_ASK_SECONDS):
                if all(await self._accounts.may_ask(key, pairs)):
                    return await self._client.status(rules.account, pairs, details=True)
                result = "too_often"
        except NoPermit:
            result = "no_permit"
        except smsc_errors.SmscRejected as refusal:
            result = "refused"
            await self._care.heed(key, rules.provider, refusal.said)
        except smsc_errors.SmscAway:
            result = "away"
        finally:
            self._metrics.questions.labels(result=result).inc()
        return None

    async def _unanswered(self, rules: Rules, look: Look, opens: Sequence[str]) -> None:
        if self._is_over(look):
            await self._give_up(rules, look, opens)
            return
        await self._lookups.end(rules.account.key, look.id, [], next_ms=self._pause_ms(look))

    async def _apply(self, rules: Rules, look: Look, found: Sequence[answers.StatusAnswer]) -> None:
        key = rules.account.key
        read = [(answer, lookup_codes.read(Profile.HTTP, answer.code, answer.err)) for answer in found]
        known = [(answer, one) for answer, one in read if not one.not_found]
        if not known and look.state == "asked":
            await self._not_found(rules, look, [answer.msisdn for answer, _ in read])
            return
        if known:
            await self._accounts.prove_status(key)
        ends = [_end(answer, one, rules) for answer, one in known]
        if any(one.no_money for _, one in known):
            await self._care.heed(key, rules.provider, Said.MONEY)
        opens = [answer.msisdn for answer, one in read if one.reachability is None]
        if not opens:
            self._metrics.settled(rules.provider, await self._lookups.end(key, look.id, ends, close=True))
            return
        next_ms = self._pause_ms(look)
        ended = await self._lookups.end(key, look.id, ends, state="taken", next_ms=next_ms)
        self._metrics.settled(rules.provider, ended)
        if self._is_over(look):
            await self._give_up(rules, look, opens)

    async def _not_found(self, rules: Rules, look: Look, msisdns: Sequence[str]) -> None:
        """SMSC does not know the request. Believed the third time, of an account that finds our ids."""
        key, times = rules.account.key, look.not_found + 1
        if times < _NOT_FOUND_ENOUGH:
            wait = self._settings.second_ask_seconds
            if times == _NOT_FOUND_ENOUGH - 1:
                wait = max(wait, self._settings.late_ask_seconds - look.age_ms / 1000)
            await self._lookups.end(key, look.id, [], not_found=times, next_ms=round(wait * 1000))
            return
        if (await self._accounts.state(key)).status_proved:
            ends = [End(number, "failed", reason="not_taken") for number in msisdns]
        else:
            rest = round(self._settings.unanswered_rest_seconds * 1000)
            ends = [End(number, "unanswered", rest_ms=rest) for number in msisdns]
        self._metrics.settled(rules.provider, await self._lookups.end(key, look.id, ends, close=True))

    async def _give_up(self, rules: Rules, look: Look, opens: Sequence[str]) -> None:
        """It was bought, and its result will not come any more."""
        nothing = lookup_codes.Reading(Reachability.UNKNOWN, "no_result")
        ends = [effects.result_of(number, nothing, rules.keep_ms) for number in opens]
        ended = await self._lookups.end(rules.account.key, look.id, ends, close=True)
        self._metrics.settled(rules.provider, ended)
        log.warning("look_up_given_up", provider=rules.provider.name, numbers=len(opens))

    def _is_over(self, look: Look) -> bool:
        return look.age_ms >= self._settings.give_up_seconds * 1000

    def _pause_ms(self, look: Look) -> int:
        """As long as it has been waited for already, and not beyond the end of the wait."""
        settings = self._settings
        age = look.age_ms / 1000
        seconds = min(max(settings.first_question_seconds, age), settings.question_most_seconds)
        return round(min(seconds, max(settings.give_up_seconds - age, 1.0)) * 1000)

    def _rules(self, uid: str) -> Rules | None:
        return hlr_rules.of(self._entries, uid, unknown_kept_seconds=self._settings.unknown_kept_seconds)

    def _of_account(self, account_key: str) -> list[Rules]:
        uids = [one.uid for one in self._entries.all() if smsc_account.of(one.account).key == account_key]
        return [rules for uid in uids if (rules := self._rules(uid)) is not None]

    def _any_rules(self, account_key: str) -> Rules | None:
        return next(iter(self._of_account(account_key)), None)

    def _keep_ms(self, account_key: str, outcome: Reachability) -> int:
        return max(rules.keep_ms(outcome) for rules in self._of_account(account_key))


def _end(answer: answers.StatusAnswer, found: lookup_codes.Reading, rules: Rules) -> End:
    if found.reachability is None:
        return End(answer.msisdn, "paid", cost=answer.cost, estimated=answer.cost is None)
    told = {name: reading.told(answer.extra, name) for name in ("operator", "net", "region")}
    return effects.result_of(
        answer.msisdn,
        found,
        rules.keep_ms,
        carrier=told["operator"] or told["net"],
        region=told["region"],
        cost=answer.cost,
        estimated=answer.cost is None,
    )
