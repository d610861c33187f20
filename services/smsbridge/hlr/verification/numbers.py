"""Looks up the numbers of a verification, each once, for as long as that takes.

Who pays is the confirmed quote. A number is not bought again where nobody knows whether it was: it counts as
unanswered, and nothing is written for it.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from smsbridge.core import errors
from smsbridge.core.number import Facts, LookupState
from smsbridge.core.provider import Profile
from smsbridge.core.verification import Reason
from smsbridge.hlr.buying import BUDGET
from smsbridge.hlr.lookups import REMOVED, UNANSWERED, LookupService
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import VerificationSettings
from smsbridge.hlr.verification.patience import Patience
from smsbridge.runtime import tasks
from smsbridge.store.care import Care

_AT_ONCE = 100  # of one request, profile http (facts 1.1)
_REFUSED_ENOUGH = 3  # SMSC refuses a number without a word about its cause
_BUDGET_ENOUGH = 2  # what was reserved may come free between two looks
_REFUSED = "refused"
_TICKET_SECONDS = 10.0


class Halt(errors.SmsbridgeError):
    """The verification cannot go on now. `reason` is a word of `core.verification.Reason`, or a pause's."""

    code = "Halt"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Numbers:
    def __init__(
        self,
        settings: VerificationSettings,
        *,
        rules: Rules,
        lookups: LookupService,
        care: Care,
        patience: Patience,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._lookups = lookups
        self._care = care
        self._patience = patience
        self._single = rules.account.profile is Profile.GUIDE
        self._turns = asyncio.Semaphore(settings.numbers_at_once if self._single else 1000)
        self._open = 0
        self._poor: set[object] = set()

    @property
    def out_of_money(self) -> bool:
        """All that is left waits for money that is not there."""
        return self._open > 0 and len(self._poor) == self._open

    async def look_up(self, msisdns: Sequence[str]) -> dict[str, Facts]:
        """What became of each. Raises Halt."""
        size = 1 if self._single else _AT_ONCE
        parts = [msisdns[start : start + size] for start in range(0, len(msisdns), size)]
        asked = [asyncio.create_task(self._part(part)) for part in parts]
        try:
            answers = await asyncio.gather(*asked)
        finally:
            await tasks.end(*asked)
        found = {facts.msisdn: facts for some in answers for facts in some}
        self._lookups.count(self._rules, list(found.values()))
        return found

    async def _part(self, msisdns: Sequence[str]) -> list[Facts]:
        self._open += 1
        part = object()
        try:
            return await self._until_known(msisdns, part=part)
        finally:
            self._open -= 1
            self._poor.discard(part)

    async def _until_known(self, msisdns: Sequence[str], *, part: object) -> list[Facts]:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.result_seconds
        done: list[Facts] = []
        bought: set[str] = set()
        refusals: Counter[str] = Counter()
        poor = 0
        left = list(msisdns)
        while True:
            wait = _TICKET_SECONDS if self._single else self._settings.look_again_seconds
            async with self._turns:
                asked = list(left)
                found = await self._patience(
                    partial(self._lookups.ask, self._rules, asked, wait_seconds=wait)
                )
            more = await self._more_follows(found)
            left.clear()
            no_money = 0
            for facts in found:
                if facts.bought:
                    bought.add(facts.msisdn)
                if facts.state is LookupState.FAILED and facts.reason == _REFUSED:
                    refusals[facts.msisdn] += 1
                over = loop.time() > until or refusals[facts.msisdn] >= _REFUSED_ENOUGH
                waits = facts.msisdn in more and not over
                if not waits and await self._is_over(facts, over=over):
                    done.append(replace(facts, bought=facts.msisdn in bought))
                else:
                    left.append(facts.msisdn)
                    no_money += facts.reason == BUDGET
            if not left:
                return done
            poor = poor + 1 if no_money == len(left) else 0
            if poor >= _BUDGET_ENOUGH:
                self._poor.add(part)
            else:
                self._poor.discard(part)
            await asyncio.sleep(self._settings.look_again_seconds)

    async def _more_follows(self, found: Sequence[Facts]) -> set[str]:
        """Of those that are known, profile http: the region comes after the rest."""
        known = [facts.msisdn for facts in found if facts.state is LookupState.KNOWN]
        if self._single or not known:
            return set()
        return await self._patience(partial(self._lookups.unfinished, self._rules, known))

    async def _is_over(self, facts: Facts, *, over: bool) -> bool:
        """Whether nothing more is to be waited for. Raises Halt."""
        if facts.state is LookupState.KNOWN or facts.reason == UNANSWERED:
            return True
        if facts.state is LookupState.PENDING:
            return over
        if facts.reason == REMOVED:
            raise Halt(Reason.REMOVED)
        if stopped := await self._patience(partial(self._care.stopped, self._rules.account.key)):
            raise Halt(stopped)
        return over and facts.state is LookupState.FAILED and facts.reason == _REFUSED
