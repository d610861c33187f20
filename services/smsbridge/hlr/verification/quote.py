"""Works out what a verification will cost: everything is read once, and nothing is bought.

Of what is not done yet, so that one that was paused gets a quote for the rest. How long it takes is a rough
word: the portal is as quick as it was while it was read.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from smsbridge.core.provider import Profile
from smsbridge.core.verification import Quote, Reason
from smsbridge.hlr.lookups import LookupService
from smsbridge.hlr.prices import Prices
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.verification.numbers import Halt
from smsbridge.hlr.verification.patience import Patience
from smsbridge.hlr.verification.source import Source
from smsbridge.smsc import errors as smsc_errors
from smsbridge.store.account import Accounts, NoPermit
from smsbridge.store.care import Care
from smsbridge.store.verifications import Record, Verifications

# Seconds. An update costs 0.05 s of the portal's operating time, of which 480 s in 600 may be used (facts 5).
_WRITE = 0.0625
_GUIDE_LOOK_UP = 0.25  # two at a time, half a second each
_HTTP_RESULTS = 60.0  # the last results come after so long (facts 4)
_PERMIT = 30.0
_PERMIT_TRIES = 5


@dataclass(frozen=True, slots=True)
class Quoting:
    verifications: Verifications
    lookups: LookupService
    prices: Prices
    accounts: Accounts
    care: Care
    patience: Patience
    monotonic: Callable[[], float] = time.monotonic

    async def work_out(self, rules: Rules, record: Record, source: Source) -> Quote:
        """Raises Halt where there is nothing to do, and a PortalRefused."""
        began = self.monotonic()
        seen: set[int] = set()
        entities = numbers = known = 0
        first, after, last = "", record.cursor, False
        while not last:
            page = await self.patience(partial(source.page, after))
            entities += len(page.items)
            new = [msisdn for msisdn in page.msisdns if int(msisdn) not in seen]
            seen.update(map(int, new))
            fresh = await self.patience(partial(self._known, rules, record, new))
            wanted = [msisdn for msisdn in new if msisdn not in fresh]
            known += len(new) - len(wanted)
            numbers += len(wanted)
            first = first or next(iter(wanted), "")
            after, last = page.next, page.last
        if record.cursor == 0 and not seen:
            raise Halt(Reason.NO_PHONES if entities else Reason.NOTHING_FOUND)
        read_seconds = self.monotonic() - began
        price, estimated = await self._price(rules, first) if first else (self.prices.listed(rules), False)
        return Quote(
            entities=entities,
            numbers=numbers,
            known=known,
            price=price,
            roubles=price * numbers,
            estimated=estimated and numbers > 0,
            seconds=round(_seconds(rules, record, read_seconds, entities=entities, numbers=numbers)),
        )

    async def _known(self, rules: Rules, record: Record, msisdns: list[str]) -> set[str]:
        done = await self.verifications.known(rules.provider.uid, record.id, msisdns)
        return set(done) | await self.lookups.fresh(rules, [m for m in msisdns if m not in done])

    async def _price(self, rules: Rules, msisdn: str) -> tuple[Decimal, bool]:
        """Of one, and whether it is an estimate."""
        told = await self.patience(lambda: self.prices.told(rules))
        if told is None and rules.account.profile is Profile.HTTP:
            await self.patience(lambda: self._ask(rules, msisdn))
            told = await self.patience(lambda: self.prices.told(rules))
        return (self.prices.listed(rules), True) if told is None else (told, False)

    async def _ask(self, rules: Rules, msisdn: str) -> None:
        """Where nothing stands in the way; an account that stands still has a price list, too."""
        key = rules.account.key
        for _ in range(_PERMIT_TRIES):
            if await self.care.stopped(key):
                return
            try:
                async with self.accounts.permit(key, "hlr", seconds=_PERMIT):
                    await self.prices.of(rules, msisdn)
                    return
            except NoPermit as no:
                await asyncio.sleep(min(no.wait_ms / 1000, 1.0))
            except smsc_errors.SmscRejected as refusal:
                await self.care.heed(key, rules.provider, refusal.said)
                return


def _seconds(rules: Rules, record: Record, read_seconds: float, *, entities: int, numbers: int) -> float:
    portal = read_seconds + (entities * _WRITE if record.source.entity is not None else 0.0)
    if numbers == 0:
        return portal
    guide = rules.account.profile is Profile.GUIDE
    return max(portal, numbers * _GUIDE_LOOK_UP if guide else _HTTP_RESULTS)
