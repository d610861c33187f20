"""Preferred channels between the CRM and what is known here: learned ones go to the contacts that have the
number, those set by hand come from there.

A hand's value wins: it is never overwritten, holds for all numbers of its entity, and does not expire. A
value in the field is a hand's unless it is what we wrote there ourselves. A field that somebody emptied is
nobody's: what we had learned counts no more, and what is learned next may be written again.
"""

from collections.abc import Mapping, Sequence

from smsbridge.bitrix24 import crm, errors, limiter
from smsbridge.bitrix24.crm import Entity
from smsbridge.core.errand import EntityType, ErrandKind
from smsbridge.core.message import Channel
from smsbridge.hlr import entities
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.hlr.errands import ends, settling
from smsbridge.hlr.errands.load import Load
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import Change, Ref, Updates, may_be_done, run
from smsbridge.store.channels import ChannelMarks, Field, Mark
from smsbridge.store.errands import Taken
from smsbridge.store.preferences import Preferences

_PRIORITY = limiter.Priority.LEADS


class Channels:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        marks: ChannelMarks,
        preferences: Preferences,
        updates: Updates,
    ) -> None:
        self._settings = settings
        self._marks = marks
        self._preferences = preferences
        self._updates = updates

    async def seen(
        self, portal_crm: ProviderCrm, kind: EntityType, entity: Entity, msisdns: Sequence[str]
    ) -> bool:
        """Keeps what a hand set in an entity that was read just now. False where it must be read again: we
        are writing it, or did just now. Raises StoreAway.
        """
        return (await self.seen_all(portal_crm, [(kind, entity, msisdns)]))[0]

    async def seen_all(
        self, portal_crm: ProviderCrm, read: Sequence[tuple[EntityType, Entity, Sequence[str]]]
    ) -> list[bool]:
        """The same for several; at most two minutes may lie between reading them and this."""
        name = portal_crm.names.channel
        if not portal_crm.provider.routing.learn_preferred_channel:
            return [True] * len(read)
        marks = await self._read_marks(
            portal_crm, [(kind, entity) for kind, entity, _ in read if name in portal_crm.fields[kind]]
        )
        answers = []
        for kind, entity, msisdns in read:
            field = Field(kind, entity.entity_id, name)
            mark = marks.get(field)
            if mark is not None and not mark.fresh:
                await self._conclude(portal_crm, field, entity, msisdns, mark)
            answers.append(mark is None or not mark.fresh)
        return answers

    async def _read_marks(
        self, portal_crm: ProviderCrm, shown: Sequence[tuple[EntityType, Entity]]
    ) -> dict[Field, Mark]:
        fields = [Field(kind, entity.entity_id, portal_crm.names.channel) for kind, entity in shown]
        return dict(zip(fields, await self._marks.read(portal_crm.api.portal, fields), strict=True))

    async def _conclude(
        self,
        portal_crm: ProviderCrm,
        field: Field,
        entity: Entity,
        msisdns: Sequence[str],
        mark: Mark,
    ) -> None:
        uid = portal_crm.provider.uid
        shown = portal_crm.channel(field.entity, entity)
        hand = shown if shown not in mark.ours else None
        await self._preferences.set_by_hand(uid, field.entity, field.entity_id, channel=hand, msisdns=msisdns)
        if mark.ours and shown not in mark.ours:
            # Else the same value, set by hand another day, would be taken for ours.
            await self._marks.forget(portal_crm.api.portal, [field])
        if mark.ours and shown is None:
            await self._preferences.unlearn(uid, msisdns)

    async def gone(self, portal_crm: ProviderCrm, kind: EntityType, entity_id: int) -> None:
        """What was set by hand in an entity that is no more. Raises StoreAway."""
        await self._preferences.set_by_hand(
            portal_crm.provider.uid, kind, entity_id, channel=None, msisdns=()
        )
        field = Field(kind, entity_id, portal_crm.names.channel)
        await self._marks.forget(portal_crm.api.portal, [field])

    async def changed(self, load: Load, portal_crm: ProviderCrm, read: Mapping[Ref, Entity]) -> None:
        """What was changed by somebody. Raises StoreAway."""
        some = [
            (one, one.errand.entity, read[one.errand.entity, one.errand.entity_id])
            for one in load.of(ErrandKind.CHANGED)
            if one.errand.entity is not None
        ]
        region = self._settings.default_region
        looked = [(kind, entity, entities.msisdns(entity, default_region=region)) for _, kind, entity in some]
        for (one, _, _), settled in zip(some, await self.seen_all(portal_crm, looked), strict=True):
            if settled:
                load.end(one, ends.DONE)
            else:
                load.later(one, self._settings.hand_rest_seconds)

    async def spread(self, load: Load, portal_crm: ProviderCrm) -> None:
        """What was learned goes to the contacts that have the number. Raises StoreAway."""
        kind = EntityType.CONTACT
        if portal_crm.names.channel not in portal_crm.fields[kind]:
            for one in load.of(ErrandKind.LEARNED):
                load.end(one, ends.OFF)
            return
        lessons = await self._find(load, portal_crm)
        read = await read_entities(portal_crm, [(kind, entity_id) for entity_id in lessons])
        await self._write(load, portal_crm, lessons, read)

    async def _find(self, load: Load, portal_crm: ProviderCrm) -> dict[int, list[Taken]]:
        """Contacts by id, each with the errands that are about a number of it."""
        some = load.of(ErrandKind.LEARNED)
        commands = [crm.find_command(f"+{one.errand.phone}", EntityType.CONTACT) for one in some]
        found: dict[int, list[Taken]] = {}
        for one, result in zip(some, await run(portal_crm.api, commands, priority=_PRIORITY), strict=True):
            ids = crm.read_found(result.value).get(EntityType.CONTACT, ())
            if result.error is not None:
                settling.failed(load, one, result.error)
            elif not ids:
                load.end(one, ends.NOBODY)
            for entity_id in ids:
                found.setdefault(entity_id, []).append(one)
        return found

    async def _write(
        self,
        load: Load,
        portal_crm: ProviderCrm,
        lessons: Mapping[int, list[Taken]],
        read: Mapping[Ref, Entity | errors.PortalError | None],
    ) -> None:
        await load.keep()
        shown = [(kind, entity) for (kind, _), entity in read.items() if isinstance(entity, Entity)]
        marks = await self._read_marks(portal_crm, shown)
        words: dict[str, list[str]] = {}
        writes: list[tuple[Change, Field, Channel | None]] = []
        for entity_id, errands in lessons.items():
            entity = read[EntityType.CONTACT, entity_id]
            if not isinstance(entity, Entity):
                word = await self._not_read(load, errands, entity)
            else:
                word = await self._decide(portal_crm, entity, errands, marks, writes)
            for one in errands:
                words.setdefault(one.id, []).append(word)
        results = await self._send(portal_crm, writes)
        for entity_id, error in results.items():
            for one in lessons[entity_id]:
                if error is not None:
                    settling.failed(load, one, error)
        for one in load.of(ErrandKind.LEARNED):
            load.end(one, _worst(words.get(one.id, [ends.NOBODY])))

    async def _not_read(self, load: Load, errands: Sequence[Taken], error: errors.PortalError | None) -> str:
        if error is not None:
            for one in errands:
                settling.failed(load, one, error)
        return ends.GONE

    async def _decide(
        self,
        portal_crm: ProviderCrm,
        entity: Entity,
        errands: Sequence[Taken],
        marks: Mapping[Field, Mark],
        writes: list[tuple[Change, Field, Channel | None]],
    ) -> str:
        """What is to be written to one contact, or the word for why nothing is."""
        kind, region = EntityType.CONTACT, self._settings.default_region
        field = Field(kind, entity.entity_id, portal_crm.names.channel)
        msisdns = entities.msisdns(entity, default_region=region)
        if not any(one.errand.phone in msisdns for one in errands):
            return ends.NOBODY  # the portal compares less exactly than we do
        shown = portal_crm.channel(kind, entity)
        if shown is not None and shown not in marks[field].ours:
            await self.seen(portal_crm, kind, entity, msisdns)
            return ends.BY_HAND
        known = await self._preferences.get(portal_crm.provider.uid, msisdns)
        wanted = Channel.SMS if Channel.SMS in known.values() else None
        changes = portal_crm.channel_changes(kind, entity, wanted)
        if not changes:
            return ends.UNCHANGED
        writes.append((Change(kind, entity.entity_id, changes), field, wanted))
        return ends.DONE

    async def _send(
        self, portal_crm: ProviderCrm, writes: Sequence[tuple[Change, Field, Channel | None]]
    ) -> dict[int, errors.PortalError | None]:
        portal = portal_crm.api.portal
        await self._marks.begin(portal, [(field, channel) for _, field, channel in writes])
        changes = [change for change, _, _ in writes]
        results = await self._updates.write(portal_crm, changes, priority=_PRIORITY)
        ends_ = list(zip(writes, results, strict=True))
        await self._marks.wrote(portal, [write[1] for write, result in ends_ if result.error is None])
        undone = [write[1] for write, result in ends_ if not may_be_done(result.error)]
        await self._marks.failed(portal, undone)
        return {write[0].entity_id: result.error for write, result in ends_}


async def read_entities(
    portal_crm: ProviderCrm, refs: Sequence[Ref]
) -> dict[Ref, Entity | errors.PortalError | None]:
    """Each entity, the error of reading it, or None where it is gone."""
    commands = [crm.get_command(kind, entity_id) for kind, entity_id in refs]
    results = await run(portal_crm.api, commands, priority=_PRIORITY)
    found: dict[Ref, Entity | errors.PortalError | None] = {}
    for ref, result in zip(refs, results, strict=True):
        found[ref] = None if crm.is_gone(result.error) else result.error or crm.read(result.value)
    return found


def _worst(words: Sequence[str]) -> str:
    """Of several contacts: that something was written counts most."""
    order = (ends.DONE, ends.BY_HAND, ends.UNCHANGED, ends.GONE, ends.NOBODY)
    return min(words, key=order.index)
