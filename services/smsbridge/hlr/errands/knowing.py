"""Which numbers an errand is about, and what is known of them: one reading for all errands, and what it means
for one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smsbridge.bitrix24.crm import Entity
from smsbridge.core.number import Carrier, Facts, LookupState
from smsbridge.core.provider import Profile
from smsbridge.hlr import entities
from smsbridge.hlr import rules as hlr_rules
from smsbridge.hlr.buying import BUDGET
from smsbridge.hlr.carriers import CarrierQuestions
from smsbridge.hlr.errands import ends
from smsbridge.hlr.lookups import REMOVED, LookupService
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning import sections
from smsbridge.smsc import numbers

__all__ = ["BUDGET", "Knowing", "Known", "numbers_of", "of"]

_FINAL = frozenset({BUDGET, REMOVED})
_MOST_PHONES = 10  # of one entity: each costs a look-up


@dataclass(frozen=True, slots=True)
class Known:
    """Of the numbers of one errand: the `best`, whether more may come (`open`), else why nothing did."""

    best: Facts | None
    open: bool
    why: str = ""


class Knowing:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        entries: sections.Entries,
        lookups: LookupService,
        carriers: CarrierQuestions,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._lookups = lookups
        self._carriers = carriers

    async def look_up(self, uid: str, msisdns: Sequence[str], *, wait_seconds: float) -> dict[str, Facts]:
        """Bought within the budget where carrier and region are not known. Raises StoreAway."""
        asked = list(dict.fromkeys(msisdns))
        if not asked:
            return {}
        found = await self._lookups.look_up(uid, asked, wait_seconds=wait_seconds, with_carrier=True)
        return {one.msisdn: one for one in found}

    async def operators(self, uid: str, msisdns: Sequence[str]) -> dict[str, Facts]:
        """Operator and region, which cost nothing with profile http. Raises StoreAway."""
        rules = hlr_rules.of(self._entries, uid, unknown_kept_seconds=self._settings.unknown_kept_seconds)
        if rules is None or rules.account.profile is not Profile.HTTP:
            return await self.look_up(uid, msisdns, wait_seconds=self._settings.errand_wait_seconds)
        asked = list(dict.fromkeys(msisdns))
        known = {one.msisdn: one for one in await self._lookups.describe(uid, asked)} if asked else {}
        missing = [number for number in asked if not (known[number].carrier or known[number].region)]
        told = await self._carriers.ask(rules, missing)
        return known | {number: _of_carrier(number, told) for number in missing}


def numbers_of(phone: str, entity: Entity | None, *, default_region: str) -> tuple[list[str], str]:
    """Of an errand's own phone, or where it has none of its entity's; and the word for why there are none."""
    if phone:
        number = numbers.normalise(phone, default_region=default_region)
        found = [number] if number else []
    elif entity is None or not entity.phones:
        return [], ends.NO_PHONE
    else:
        found = entities.msisdns(entity, default_region=default_region)[:_MOST_PHONES]
    return found, "" if found else ends.BAD_PHONE


def of(msisdns: Sequence[str], facts: Mapping[str, Facts]) -> Known:
    mine = [facts[number] for number in msisdns]
    whys = [one.reason for one in mine if one.state is not LookupState.KNOWN and one.reason]
    refused = [one for one in mine if one.state is LookupState.REFUSED and one.reason in _FINAL]
    unsettled = [one for one in mine if one.state is not LookupState.KNOWN and one not in refused]
    why = refused[0].reason if refused else (whys[0] if whys else "pending")
    return Known(entities.best(mine), open=bool(unsettled), why=why)


def _of_carrier(number: str, told: Mapping[str, Carrier]) -> Facts:
    found = told.get(number)
    if found is None:
        return Facts(number, LookupState.PENDING)
    return Facts(number, LookupState.KNOWN, carrier=found.name, region=found.region)
