"""The CRM of one portal in memory: leads, contacts and companies with phones and user fields.

State, and what a change does to it. The REST methods are in `crm_methods` and `crm_userfields`; who is told
of a change is decided in `portal_crm_events`.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from smsbridge.sandbox import php
from smsbridge.sandbox.clock import iso

_MAX_DEPTH = 3  # HANDLER_SESSION_TTL


class Kind(StrEnum):
    """In the order in which duplicates are looked for."""

    LEAD = "lead"
    CONTACT = "contact"
    COMPANY = "company"


@dataclass(slots=True)
class ListItem:
    item_id: int
    value: str
    sort: int
    default: bool
    xml_id: str

    def shown(self) -> dict[str, str]:
        return {
            "ID": str(self.item_id),
            "SORT": str(self.sort),
            "VALUE": self.value,
            "DEF": "Y" if self.default else "N",
            "XML_ID": self.xml_id,
        }


@dataclass(slots=True)
class UserField:
    field_id: int
    kind: Kind
    name: str
    type: str
    flags: dict[str, str]  # MULTIPLE, MANDATORY and the like: Y or N
    labels: dict[str, dict[str, str]]  # EDIT_FORM_LABEL and the like, by language
    sort: int
    xml_id: str
    settings: dict[str, Any]
    items: list[ListItem]

    @property
    def multiple(self) -> bool:
        return self.flags["MULTIPLE"] == "Y"

    def stored(self, value: Any) -> Any:
        """What is kept of a written value: what does not fit the type becomes empty, without a word."""
        if self.multiple:
            kept = [self._one(item) for item in php.as_map(value).values()]
            return [item for item in kept if item is not None]
        return self._one(value)

    def _one(self, value: Any) -> Any:
        text = php.scalar(value)
        if not text:
            return None
        if self.type == "enumeration":
            return text if any(str(item.item_id) == text for item in self.items) else None
        if self.type == "datetime":
            return _instant(text)
        return text


def _instant(text: str) -> str | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return iso(at.timestamp())


@dataclass(slots=True)
class Phone:
    phone_id: int
    value: str
    value_type: str = "WORK"

    def shown(self) -> dict[str, str]:
        return {
            "ID": str(self.phone_id),
            "VALUE_TYPE": self.value_type,
            "VALUE": self.value,
            "TYPE_ID": "PHONE",
        }


@dataclass(slots=True)
class Entity:
    kind: Kind
    entity_id: int
    values: dict[str, Any]  # fields by name; those of users (UF_) too
    phones: list[Phone] = field(default_factory=list)

    def shown(self, name: str) -> Any:
        """A field as JSON has it; None where the entity has none of that name."""
        if name == "ID":
            return str(self.entity_id)
        if name == "HAS_PHONE":
            return "Y" if self.phones else "N"
        if name == "PHONE":
            return [phone.shown() for phone in self.phones]
        return self.values.get(name)


@dataclass(frozen=True, slots=True)
class Raised:
    """Something that handlers may be told of. `depth`: how many events its own cause stands behind."""

    event: str
    entity_id: int
    user_id: int = 0
    depth: int = 0


OWN_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.LEAD: ("TITLE", "NAME", "LAST_NAME", "STATUS_ID", "SOURCE_ID", "SOURCE_DESCRIPTION", "OPENED"),
    Kind.CONTACT: ("NAME", "LAST_NAME", "TYPE_ID", "SOURCE_ID", "SOURCE_DESCRIPTION", "OPENED"),
    Kind.COMPANY: ("TITLE", "COMPANY_TYPE", "INDUSTRY", "OPENED"),
}
COMMON_FIELDS = ("COMMENTS", "ASSIGNED_BY_ID")
READ_ONLY_FIELDS = ("ID", "HAS_PHONE", "DATE_CREATE", "DATE_MODIFY", "CREATED_BY_ID")


class Crm:
    def __init__(self) -> None:
        self.entities: dict[Kind, dict[int, Entity]] = {kind: {} for kind in Kind}
        self.fields: dict[Kind, dict[str, UserField]] = {kind: {} for kind in Kind}
        self.raised: list[Raised] = []
        self.told: Counter[tuple[str, str]] = Counter()  # event and HTTP status of each post
        self._entity_ids = {kind: itertools.count(1) for kind in Kind}
        self._numbers = itertools.count(1)  # phones, user fields and list items have ids of their own

    def number(self) -> int:
        return next(self._numbers)

    def names(self, kind: Kind) -> Iterator[str]:
        """Every field but the user's and the phones."""
        return itertools.chain(READ_ONLY_FIELDS, OWN_FIELDS[kind], COMMON_FIELDS)

    def add(
        self,
        kind: Kind,
        fields: Mapping[str, Any],
        *,
        phones: Iterable[str] = (),
        by: int,
        now: float,
        depth: int = 0,
    ) -> Entity:
        entity = Entity(kind, next(self._entity_ids[kind]), {})
        entity.values |= {"DATE_CREATE": iso(now), "DATE_MODIFY": iso(now)}
        entity.values |= {"CREATED_BY_ID": str(by or 1), "ASSIGNED_BY_ID": str(by or 1), "OPENED": "N"}
        self._write(entity, fields)
        entity.phones.extend(Phone(self.number(), phone) for phone in phones)
        self.entities[kind][entity.entity_id] = entity
        self._raise(Raised(f"ONCRM{kind.upper()}ADD", entity.entity_id, by, depth))
        return entity

    def update(
        self, entity: Entity, fields: Mapping[str, Any], *, by: int, now: float, depth: int = 0
    ) -> bool:
        """False where nothing changed: then nothing is saved and nobody is told."""
        if not self._write(entity, fields):
            return False
        entity.values["DATE_MODIFY"] = iso(now)
        self._raise(Raised(f"ONCRM{entity.kind.upper()}UPDATE", entity.entity_id, by, depth))
        return True

    def _raise(self, raised: Raised) -> None:
        """A call with an event's own token goes on raising events only so often: the portal's loop guard."""
        if raised.depth < _MAX_DEPTH:
            self.raised.append(raised)

    def take_raised(self) -> list[Raised]:
        """What handlers have not been told of yet; once."""
        taken, self.raised = self.raised, []
        return taken

    def _write(self, entity: Entity, fields: Mapping[str, Any]) -> bool:
        """Unknown and read-only fields are passed over, as the portal does."""
        changed = False
        writable = {*OWN_FIELDS[entity.kind], *COMMON_FIELDS}
        for name, value in fields.items():
            if name == "PHONE":
                changed |= self._write_phones(entity, php.as_map(value).values())
                continue
            users = self.fields[entity.kind].get(name)
            if users is None and name not in writable:
                continue
            kept = users.stored(value) if users is not None else php.scalar(value)
            if entity.values.get(name) != kept:
                entity.values[name] = kept
                changed = True
        return changed

    def _write_phones(self, entity: Entity, given: Iterable[Any]) -> bool:
        """With an ID the phone is changed, or deleted where nothing is left of it; without one it is new."""
        before = [phone.shown() for phone in entity.phones]
        known = {str(phone.phone_id): phone for phone in entity.phones}
        for item in map(php.as_map, given):
            value = php.scalar(item.get("VALUE"))
            phone = known.get(php.scalar(item.get("ID")))
            if phone is None:
                if value:
                    kind = php.scalar(item.get("VALUE_TYPE")) or "WORK"
                    entity.phones.append(Phone(self.number(), value, kind))
            elif php.scalar(item.get("DELETE")) == "Y" or ("VALUE" in item and not value):
                entity.phones.remove(phone)
            else:
                phone.value = value or phone.value
                phone.value_type = php.scalar(item.get("VALUE_TYPE")) or phone.value_type
        return before != [phone.shown() for phone in entity.phones]
