"""New leads and webhook steps: what is known of an entity's numbers goes to its fields.

A new lead gets operator and region, and what else a look-up told where one had to be made for them; a webhook
step always gets a whole look-up.
"""

from collections.abc import Mapping, Sequence

from smsbridge.bitrix24 import forms, limiter
from smsbridge.bitrix24.crm import Entity
from smsbridge.core.errand import EntityType, ErrandKind
from smsbridge.core.number import Facts
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.hlr.errands import ends, knowing, settling
from smsbridge.hlr.errands.knowing import Knowing, Known
from smsbridge.hlr.errands.load import Load
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import Change, Ref, Updates
from smsbridge.provisioning import sections, spec
from smsbridge.store.errands import Taken

_PRIORITY = limiter.Priority.LEADS


class Enriching:
    def __init__(
        self, settings: HlrSettings, *, entries: sections.Entries, knowing_: Knowing, updates: Updates
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._knowing = knowing_
        self._updates = updates

    async def work(self, load: Load, crm: ProviderCrm, read: Mapping[Ref, Entity]) -> None:
        """`read`: the entities of all errands that name one. Raises StoreAway."""
        msisdns: dict[str, list[str]] = {}
        for one in load.of(ErrandKind.ADDED, ErrandKind.WEBHOOK):
            word = self._numbers(one, read, msisdns)
            if word:
                load.end(one, word)
        facts = {
            ErrandKind.ADDED: await self._knowing.operators(
                load.uid, _pooled(load.of(ErrandKind.ADDED), msisdns)
            ),
            ErrandKind.WEBHOOK: await self._knowing.look_up(
                load.uid,
                _pooled(load.of(ErrandKind.WEBHOOK), msisdns),
                wait_seconds=self._settings.errand_wait_seconds,
            ),
        }
        wanted: list[tuple[Taken, Known]] = []
        for one in load.of(ErrandKind.ADDED, ErrandKind.WEBHOOK):
            known = knowing.of(msisdns[one.id], facts[one.errand.kind])
            if self._may_be_written(load, one, known):
                wanted.append((one, known))
        await self._write(load, crm, read, wanted)

    def _numbers(self, one: Taken, read: Mapping[Ref, Entity], msisdns: dict[str, list[str]]) -> str:
        """Puts the errand's numbers there; else the word that ends it."""
        errand = one.errand
        entity = read[errand.entity, errand.entity_id] if errand.entity is not None else None
        if errand.kind is ErrandKind.ADDED and entity is not None and not self._is_wanted(one, entity):
            return ends.NO_CALL
        msisdns[one.id], why = knowing.numbers_of(
            errand.phone, entity, default_region=self._settings.default_region
        )
        return why

    def _is_wanted(self, one: Taken, entity: Entity) -> bool:
        entry = self._entries.entry(one.errand.provider_uid)
        wish = sections.crm(entry.sections if entry else {}).enrich_leads
        if wish is not spec.EnrichLeads.CALLS:
            return wish is spec.EnrichLeads.ALL
        return entity.text("SOURCE_ID") in self._settings.telephony_sources

    def _may_be_written(self, load: Load, one: Taken, known: Known) -> bool:
        """True where it is to be written now; else it has ended, or waits."""
        patient = one.age_ms < self._settings.step_answer_seconds * 1000
        if known.open and (patient or known.best is None):
            load.later(one, load.soon(one) if known.why == "pending" else None)
            return False
        if known.best is not None:
            return True
        load.end(one, ends.BUDGET if known.why == knowing.BUDGET else ends.REMOVED)
        return False

    async def _write(
        self,
        load: Load,
        crm: ProviderCrm,
        read: Mapping[Ref, Entity],
        wanted: Sequence[tuple[Taken, Known]],
    ) -> None:
        """Errands of one entity are written together."""
        changes: dict[Ref, dict[str, forms.Param]] = {}
        for one, known in wanted:
            errand = one.errand
            if errand.entity is None or known.best is None:  # only the number was to be looked up
                load.end(one, ends.DONE)
                continue
            ref = errand.entity, errand.entity_id
            found = _changes(crm, errand.entity, read[ref], known.best)
            if found:
                changes[ref] = changes.get(ref, {}) | found
            else:
                told = known.best.carrier or known.best.region or known.best.checked_at_ms
                load.end(one, ends.UNCHANGED if told else ends.NOTHING)
        if not changes:
            return
        await load.keep()
        lost = {ref for ref in changes if not _of_ref(load, ref)}
        written = [Change(*ref, fields) for ref, fields in changes.items() if ref not in lost]
        results = await self._updates.write(crm, written, priority=_PRIORITY)
        for change, result in zip(written, results, strict=True):
            for one in _of_ref(load, change.ref):
                settling.settle(load, one, result.error)


def _changes(crm: ProviderCrm, kind: EntityType, entity: Entity, facts: Facts) -> dict[str, forms.Param]:
    """What was told by info.php says nothing of reachability."""
    found = crm.facts_changes(kind, entity, facts)
    if facts.checked_at_ms:
        return found
    return {name: value for name, value in found.items() if name in (crm.names.operator, crm.names.region)}


def _pooled(some: Sequence[Taken], msisdns: Mapping[str, list[str]]) -> list[str]:
    return [number for one in some for number in msisdns[one.id]]


def _of_ref(load: Load, ref: Ref) -> list[Taken]:
    some = load.of(ErrandKind.ADDED, ErrandKind.WEBHOOK)
    return [one for one in some if (one.errand.entity, one.errand.entity_id) == ref]
