"""What is taken of errands, and kept until it is done. What is done of them is `work`'s business.

Everything that is answered as taken is on disk; nothing is asked of the portal or of SMSC here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from smsbridge.core.errand import Errand, ErrandKind, ErrandResult
from smsbridge.core.message import TokenCheck
from smsbridge.core.provider import Provider
from smsbridge.hlr.entities import Crms
from smsbridge.hlr.errands import ends
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.settings import HlrSettings
from smsbridge.provisioning import sections, spec
from smsbridge.smsc import numbers
from smsbridge.store.channels import ChannelMarks
from smsbridge.store.errands import Errands, Lane, Put
from smsbridge.store.preferences import Learned
from smsbridge.store.registry import Entry

_DAY_MS = 86_400_000
_MARKS_MS = {ErrandKind.ADDED: _DAY_MS, ErrandKind.WEBHOOK: 600_000, ErrandKind.STEP: 30 * _DAY_MS}
# How long one waits at most; after that it is dropped and counted. A step is answered long before.
LONGEST_MS = {
    ErrandKind.ADDED: _DAY_MS,
    ErrandKind.WEBHOOK: _DAY_MS,
    ErrandKind.CHANGED: 3_600_000,
    ErrandKind.LEARNED: 7 * _DAY_MS,
    ErrandKind.STEP: 30 * _DAY_MS,
}
_AT_ONCE = 16  # a storm of events, one a call, must not use up the store's connections
_LONGEST_PHONE = 60  # what is longer is none; it need not be kept

Woken = Callable[[str, Lane], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """`reason`: of a refusal, a fixed word."""

    result: ErrandResult
    reason: str = ""


class ErrandDesk:
    """`woken` is called with what has something to do now."""

    def __init__(
        self,
        settings: HlrSettings,
        *,
        entries: sections.Entries,
        crms: Crms,
        errands: Errands,
        marks: ChannelMarks,
        metrics: HlrMetrics,
        woken: Woken,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._crms = crms
        self._errands = errands
        self._marks = marks
        self._metrics = metrics
        self._woken = woken
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def take(self, given: Sequence[Errand]) -> list[Answer]:
        """One answer for each, in order. Raises StoreAway: then a repeat is harmless."""
        answers = [self._look(errand) for errand in given]
        for uid in dict.fromkeys(errand.provider_uid for errand in given):
            places = [
                place
                for place, errand in enumerate(given)
                if errand.provider_uid == uid and answers[place] is None
            ]
            if places:
                async with self._turns:
                    found = await self._keep(uid, [given[place] for place in places])
                for place, answer in zip(places, found, strict=True):
                    answers[place] = answer
        return [answer or Answer(ErrandResult.DUPLICATE) for answer in answers]

    def sealed_lesson(self, provider_uid: str, learned: Learned) -> str:
        """The errand that brings what was learned to the CRM, to be kept with it."""
        errand = Errand(provider_uid, ErrandKind.LEARNED, phone=learned.msisdn, accepted_at_ms=learned.at_ms)
        return self._errands.sealed(Put(errand, learned.msisdn, replace=True))

    def lessons_kept(self, provider_uid: str) -> None:
        self._woken(provider_uid, Lane.CRM)

    def _look(self, errand: Errand) -> Answer | None:
        """What can be said at once; None for what is to be kept."""
        entry = self._entries.entry(errand.provider_uid)
        if entry is None or entry.provider.removed:
            return Answer(ErrandResult.UNKNOWN_PROVIDER)
        lacks = _lacks(errand)
        if lacks:
            self._count(entry.provider, errand, ends.INVALID)
            return Answer(ErrandResult.REFUSED, lacks)
        if not is_wanted(entry, errand.kind):
            self._count(entry.provider, errand, ends.OFF)
            return Answer(ErrandResult.DUPLICATE)  # nothing is to be done, now or at a repeat
        return None

    async def _keep(self, uid: str, given: Sequence[Errand]) -> list[Answer]:
        ours = await self._ours(uid, given)
        rest = [errand for errand, own in zip(given, ours, strict=True) if not own]
        taken = iter(await self._errands.put(uid, [self._put(errand) for errand in rest]))
        entry = self._entries.entry(uid)
        answers = []
        for errand, own in zip(given, ours, strict=True):
            new = not own and next(taken)
            if entry is not None and not new:
                self._count(entry.provider, errand, ends.OURS if own else ends.REPEATED)
            answers.append(Answer(ErrandResult.TAKEN if new else ErrandResult.DUPLICATE))
        for lane in {Lane.of(errand.kind) for errand in rest}:
            self._woken(uid, lane)
        return answers

    async def _ours(self, uid: str, given: Sequence[Errand]) -> list[bool]:
        """Whether each tells of an update that we made ourselves."""
        changed = [
            (place, (errand.entity, errand.entity_id))
            for place, errand in enumerate(given)
            if errand.kind is ErrandKind.CHANGED
            and errand.entity is not None
            and errand.token_check is not TokenCheck.MISMATCH
        ]
        portal = self._crms.portal(uid)
        found = [False] * len(given)
        if changed and portal:
            swallowed = await self._marks.swallow(portal, [ref for _, ref in changed if ref[0] is not None])
            for (place, _), own in zip(changed, swallowed, strict=True):
                found[place] = own
        return found

    def _put(self, errand: Errand) -> Put:
        phone = errand.phone.strip()[:_LONGEST_PHONE]
        key = f"{errand.entity}|{errand.entity_id}"
        if errand.kind is ErrandKind.STEP:
            key = errand.event_token
        elif errand.kind is ErrandKind.WEBHOOK:
            region = self._settings.default_region
            key = f"{key}|{numbers.normalise(phone, default_region=region) or phone}"
        if errand.token_check is TokenCheck.MISMATCH:
            # Whoever forges one must not make a repeat of the true one.
            key = f"{key}|held|{errand.token_digest}"
        changed = errand.kind is ErrandKind.CHANGED
        return Put(
            replace(errand, phone=phone),
            key,
            mark_ms=_MARKS_MS.get(errand.kind, 0),
            delay_ms=round(self._settings.changed_linger_seconds * 1000) if changed else 0,
        )

    def _count(self, provider: Provider, errand: Errand, end: str) -> None:
        self._metrics.errand(provider, errand.kind, end)


def is_wanted(entry: Entry, kind: ErrandKind) -> bool:
    """Whether the provider's rules want anything done of errands of this kind."""
    if kind is ErrandKind.ADDED:
        return sections.crm(entry.sections).enrich_leads is not spec.EnrichLeads.NEVER
    if kind in (ErrandKind.CHANGED, ErrandKind.LEARNED):
        return entry.provider.routing.learn_preferred_channel
    return True


def _lacks(errand: Errand) -> str:
    """What an errand lacks to be one; empty for nothing."""
    has_entity = errand.entity is not None and errand.entity_id > 0
    if errand.kind is ErrandKind.STEP:
        return "" if errand.event_token else "event_token"
    if errand.kind is ErrandKind.WEBHOOK:
        return "" if has_entity or errand.phone.strip() else "entity"
    return "" if has_entity else "entity"
