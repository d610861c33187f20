"""The portal's CRM: contacts, leads and companies, read page by page, found by phone, changed.

Commands for batches, and how to read their results. Which entities, which fields, and what becomes of an
answer is the caller's knowledge. An update sets off the portal's automation and its events, also those that
come back to us: write only what changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smsbridge.bitrix24 import answers, batch, client, errors, forms, limiter
from smsbridge.core.errand import EntityType

PAGE = 50  # fixed by the portal
_LOWER_BOUND = ">ID"
_NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Entity:
    """`phones` as they were saved, in the portal's order; `fields`: what else was asked for, as it came."""

    entity_id: int
    phones: tuple[str, ...] = field(default=(), repr=False)
    fields: Mapping[str, object] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """Of a field; empty where it is not set: the portal has many words for that."""
        return answers.text_of(self.fields.get(name))


@dataclass(frozen=True, slots=True)
class Page:
    """`last`: nothing follows. `after`: where the next one begins."""

    entities: tuple[Entity, ...]
    last: bool
    after: int


def page_command(
    entity: EntityType,
    *,
    after: int = 0,
    select: Sequence[str] = (),
    where: Mapping[str, forms.Param] | None = None,
) -> batch.Command:
    """The next entities behind the id `after`, with phones and the fields of `select`; without counting them,
    which takes the portal a minute where they are many. `where`: a filter in the portal's words.
    """
    narrowed = {name: value for name, value in (where or {}).items() if name.upper() != _LOWER_BOUND}
    bounds = [value for name, value in (where or {}).items() if name.upper() == _LOWER_BOUND]
    after = max([after, *(int(value) for value in map(_digits, bounds) if value)])
    return batch.Command(
        f"crm.{entity}.list",
        {
            "select": ["ID", "PHONE", *select],
            "filter": {**narrowed, _LOWER_BOUND: after},
            "order": {"ID": "ASC"},
            "start": -1,
        },
    )


def read_page(listed: object, *, after: int) -> Page:
    items = answers.as_list(listed)
    entities = tuple(entity for entity in map(read, items) if entity is not None)
    return Page(
        entities,
        last=len(items) < PAGE or not entities,
        after=max([after, *(entity.entity_id for entity in entities)]),
    )


def get_command(entity: EntityType, entity_id: int) -> batch.Command:
    """All fields of one."""
    return batch.Command(f"crm.{entity}.get", {"id": entity_id})


def read(item: object) -> Entity | None:
    """One entity of a list, or the result of `get_command`; None where it is no entity."""
    fields = answers.as_map(item)
    entity_id = _digits(fields.get("ID"))
    if not entity_id:
        return None
    phones = (answers.text_of(answers.as_map(p).get("VALUE")) for p in answers.as_list(fields.get("PHONE")))
    rest = {name: value for name, value in fields.items() if name not in {"ID", "PHONE"}}
    return Entity(int(entity_id), tuple(phone for phone in phones if phone), rest)


def update_command(entity: EntityType, entity_id: int, fields: Mapping[str, forms.Param]) -> batch.Command:
    """Fields that the portal does not know are passed over there. An empty text empties one."""
    return batch.Command(f"crm.{entity}.update", {"id": entity_id, "fields": fields})


def find_command(phone: str, entity: EntityType | None = None) -> batch.Command:
    """Who has this phone. One phone a command: ids of several would come pooled."""
    params: dict[str, forms.Param] = {"type": "PHONE", "values": [phone]}
    if entity is not None:
        params["entity_type"] = entity.upper()
    return batch.Command("crm.duplicate.findbycomm", params)


def read_found(found: object) -> dict[EntityType, tuple[int, ...]]:
    """Ids by type; at most 20 of each."""
    by_type = answers.as_map(found)
    ids = {entity: _ids(by_type.get(entity.upper())) for entity in EntityType}
    return {entity: numbers for entity, numbers in ids.items() if numbers}


def is_gone(error: errors.PortalError | None) -> bool:
    """Whether a command on one entity failed because there is none (any more): it has no code of its own."""
    if not isinstance(error, errors.PortalRefused) or error.rest_code:
        return False
    return error.description.strip().lower().startswith(_NOT_FOUND)


async def get(
    api: client.PortalApi, entity: EntityType, entity_id: int, *, priority: limiter.Priority
) -> Entity | None:
    """None where there is none (any more). Raises a PortalError."""
    command = get_command(entity, entity_id)
    try:
        answer = await api.call(command.method, command.params, priority=priority)
    except errors.PortalRefused as error:
        if is_gone(error):
            return None
        raise
    return read(answer.result)


async def page(
    api: client.PortalApi,
    entity: EntityType,
    *,
    priority: limiter.Priority,
    after: int = 0,
    select: Sequence[str] = (),
    where: Mapping[str, forms.Param] | None = None,
) -> Page:
    """Raises a PortalError."""
    command = page_command(entity, after=after, select=select, where=where)
    answer = await api.call(command.method, command.params, priority=priority)
    return read_page(answer.result, after=after)


def _ids(value: object) -> tuple[int, ...]:
    return tuple(int(number) for number in map(_digits, answers.as_list(value)) if number)


def _digits(value: object) -> str:
    text = answers.text_of(value)
    return text if text.isascii() and text.isdigit() and len(text) < 16 else ""
