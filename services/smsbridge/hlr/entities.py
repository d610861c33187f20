"""A provider's CRM as hlr works with it: its custom fields as they are there, and what facts mean in them.

Only what changes is written: an update sets off the portal's automation, and events that come back to us.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from smsbridge.bitrix24 import client, forms, limiter, userfields
from smsbridge.bitrix24.crm import Entity
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.installation import Installation
from smsbridge.core.message import Channel
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.core.provider import Provider
from smsbridge.provisioning import fields, sections, spec
from smsbridge.smsc import numbers

_FIELDS_KEPT_SECONDS = 600.0
_LACKING_KEPT_SECONDS = 20.0  # what is missing is about to be made, or mended by hand
# An entity of several phones is as reachable as its best one.
_BEST_FIRST = (Reachability.ACTIVE, Reachability.UNAVAILABLE, Reachability.UNKNOWN, Reachability.ABSENT)


class Installations(Protocol):
    def for_provider(self, provider: Provider) -> Installation | None: ...

    async def refresh(self) -> None: ...


class PortalApis(Protocol):
    def api(self, provider: Provider, member_id: str) -> client.PortalApi: ...


@dataclass(frozen=True, slots=True)
class ProviderCrm:
    """`fields`: of each entity type, by name, those that are there and of the right type."""

    provider: Provider
    api: client.PortalApi
    names: spec.Fields
    fields: Mapping[EntityType, Mapping[str, userfields.UserField]]

    def select(self, entity: EntityType) -> list[str]:
        return list(self.fields[entity])

    def facts_changes(self, kind: EntityType, entity: Entity, facts: Facts) -> dict[str, forms.Param]:
        """What must be written so that the entity shows these facts; what they do not tell stays."""
        if facts.state is not LookupState.KNOWN:
            return {}
        wanted: dict[str, str] = {
            self.names.operator: facts.carrier,
            self.names.region: facts.region,
            self.names.reachability: self._item(kind, self.names.reachability, facts.reachability.value),
        }
        known = self.fields[kind]
        changes: dict[str, forms.Param] = {
            name: value
            for name, value in wanted.items()
            if name in known and value and entity.text(name) != value
        }
        at = self.names.checked_at
        if at in known and facts.checked_at_ms and _seconds(entity.text(at)) != facts.checked_at_ms // 1000:
            changes[at] = datetime.fromtimestamp(facts.checked_at_ms // 1000, UTC).isoformat()
        return changes

    def channel(self, kind: EntityType, entity: Entity) -> Channel | None:
        """The preferred channel that the entity shows."""
        field = self.fields[kind].get(self.names.channel)
        word = field.option_of(entity.fields.get(self.names.channel)) if field is not None else ""
        return next((channel for channel in Channel if channel.value == word), None)

    def channel_changes(
        self, kind: EntityType, entity: Entity, channel: Channel | None
    ) -> dict[str, forms.Param]:
        """What must be written so that it shows this one; None empties the field."""
        if self.names.channel not in self.fields[kind] or self.channel(kind, entity) is channel:
            return {}
        return {self.names.channel: self._item(kind, self.names.channel, channel.value) if channel else ""}

    def _item(self, kind: EntityType, name: str, word: str) -> str:
        """The id of an enumeration's item; empty where the field is not there."""
        field = self.fields[kind].get(name)
        return field.options.get(word, "") if field is not None else ""


class Crms:
    """The CRMs of all providers. What fields a portal has is looked at again every ten minutes, and sooner
    where some are missing.
    """

    def __init__(
        self,
        apis: PortalApis,
        installations: Installations,
        entries: sections.Entries,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apis = apis
        self._installations = installations
        self._entries = entries
        self._monotonic = monotonic
        self._known: dict[tuple[str, str, spec.Fields], tuple[float, ProviderCrm]] = {}

    def portal(self, uid: str) -> str:
        """The member_id of a provider's portal; empty where we may not call it now, or nobody knows it."""
        entry = self._entries.entry(uid)
        if entry is None or entry.provider.removed:
            return ""
        found = self._installations.for_provider(entry.provider)
        return found.member_id if found is not None and found.works else ""

    async def look_again(self, uid: str) -> None:
        """Nothing seen of this provider before counts any more. Raises StoreAway."""
        await self._installations.refresh()
        self._forget(uid)

    async def of(self, uid: str, *, priority: limiter.Priority) -> ProviderCrm | None:
        """None where the application is not installed or the provider is gone. Raises a PortalError."""
        member_id, entry = self.portal(uid), self._entries.entry(uid)
        if not member_id or entry is None:
            return None
        names = fields.names_of(entry.sections)
        key = (uid, member_id, names)
        until, known = self._known.get(key, (0.0, None))
        api = self._apis.api(entry.provider, member_id)
        if known is not None and self._monotonic() < until:
            return replace(known, provider=entry.provider, api=api)  # only what the portal has is remembered
        found = await _fields(api, names, priority=priority)
        self._forget(uid)
        crm = ProviderCrm(entry.provider, api, names, found)
        whole = sum(map(len, found.values())) == len(fields.wanted(names))
        kept_seconds = _FIELDS_KEPT_SECONDS if whole else _LACKING_KEPT_SECONDS
        self._known[key] = (self._monotonic() + kept_seconds, crm)
        return crm

    def _forget(self, uid: str) -> None:
        self._known = {key: value for key, value in self._known.items() if key[0] != uid}


async def _fields(
    api: client.PortalApi, names: spec.Fields, *, priority: limiter.Priority
) -> dict[EntityType, dict[str, userfields.UserField]]:
    """Raises a PortalError."""
    found: dict[EntityType, dict[str, userfields.UserField]] = {kind: {} for kind in EntityType}
    answer = await api.batch(fields.look(names), priority=priority)
    for wanted, result in zip(fields.wanted(names), answer.results, strict=True):
        if isinstance(result.error, errors.Away):
            raise result.error
        field = userfields.read(result.value, wanted.spec.name) if result.ok else None
        if field is not None and field.type == wanted.spec.type.value and not field.multiple:
            found[wanted.entity][wanted.spec.name] = field
    return found


def msisdns(entity: Entity, *, default_region: str) -> list[str]:
    """The entity's phones as numbers, each once, in its order; what is none is left out."""
    typed = (numbers.normalise(phone, default_region=default_region) for phone in entity.phones)
    return list(dict.fromkeys(number for number in typed if number))


def best(facts: Iterable[Facts]) -> Facts | None:
    """Of what is known of an entity's phones, the best one's: of equals the first."""
    known: Sequence[Facts] = [one for one in facts if one.state is LookupState.KNOWN]
    return min(known, key=lambda one: _BEST_FIRST.index(one.reachability), default=None)


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return None
