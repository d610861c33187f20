"""The custom fields of `spec.crm.fields`: which there must be, what is wrong with them, made where missing.

They belong to the portal, not to a provider: of several providers that find one missing the first makes it.
"""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from smsbridge.bitrix24 import batch, limiter, userfields
from smsbridge.bitrix24 import client as bitrix24
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24.userfields import FieldSpec, FieldType
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.provisioning import conditions, spec
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type

log = structlog.get_logger()

REACHABILITY = {
    "active": "Доступен / Active",
    "unavailable": "Недоступен / Unavailable",
    "absent": "Не существует / Absent",
    "unknown": "Неизвестно / Unknown",
}
CHANNELS = {"sms": "SMS", "viber": "Viber"}


@dataclass(frozen=True, slots=True)
class Wanted:
    entity: EntityType
    spec: FieldSpec

    def __str__(self) -> str:
        return f"{self.spec.name} of a {self.entity}"


def wanted(names: spec.Fields) -> list[Wanted]:
    """Fifteen: an enumeration's items have one text for all languages."""
    specs = (
        FieldSpec(names.operator, FieldType.STRING, {"ru": "Оператор связи", "en": "Mobile operator"}),
        FieldSpec(names.region, FieldType.STRING, {"ru": "Регион номера", "en": "Region of the number"}),
        FieldSpec(
            names.reachability,
            FieldType.ENUMERATION,
            {"ru": "Доступность номера", "en": "Number's reachability"},
            REACHABILITY,
        ),
        FieldSpec(names.checked_at, FieldType.DATETIME, {"ru": "Номер проверен", "en": "Number checked at"}),
        FieldSpec(
            names.channel,
            FieldType.ENUMERATION,
            {"ru": "Предпочтительный канал", "en": "Preferred channel"},
            CHANNELS,
        ),
    )
    return [Wanted(entity, item) for entity in EntityType for item in specs]


def names_of(sections: Mapping[str, Any]) -> spec.Fields:
    """From a registry entry; what another version wrote and we do not know is passed over."""
    given = sections.get("crm", {}).get("fields", {})
    known = [item.alias or name for name, item in spec.Fields.model_fields.items()]
    return spec.Fields.model_validate({name: given[name] for name in known if name in given})


def look(names: spec.Fields) -> list[batch.Command]:
    """Commands that tell what there is, in the order of `wanted`."""
    return [userfields.list_command(item.entity, item.spec.name) for item in wanted(names)]


@dataclass(slots=True)
class _Portal:
    """`failed`: when an attempt came to nothing at last, and why."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failed: tuple[int, portal_errors.PortalError] | None = None
    tried: dict[tuple[EntityType, str, FieldType], tuple[int, str]] = field(default_factory=dict)


class Maker:
    """Makes what is missing, once a portal for all of its providers. One serves a process.

    A look that began before somebody else's attempt ended has not seen what came of it: it counts as its own.
    """

    def __init__(self) -> None:
        self._moments = itertools.count(1)
        self._portals: dict[str, _Portal] = {}

    def moment(self) -> int:
        """Taken before a look begins."""
        return next(self._moments)

    async def make(self, api: bitrix24.PortalApi, missing: Sequence[Wanted], *, looked_at: int) -> list[str]:
        """Why the portal refuses, a sentence each; empty where all is there. Raises a PortalError."""
        portal = self._portals.setdefault(api.portal, _Portal())
        async with portal.lock:
            if portal.failed is not None and portal.failed[0] > looked_at:
                raise portal.failed[
                    1
                ]  # a portal that hangs hangs once, not for each of its providers in turn
            left = [item for item in missing if portal.tried.get(_key(item), (0, ""))[0] < looked_at]
            if left:
                try:
                    await self._try(api, portal, left)
                except portal_errors.PortalError as error:
                    portal.failed = self.moment(), error
                    raise
            said = (portal.tried[_key(item)][1] for item in missing)
            return [sentence for sentence in said if sentence]

    async def _try(self, api: bitrix24.PortalApi, portal: _Portal, left: Sequence[Wanted]) -> None:
        commands = [userfields.add_command(item.entity, item.spec) for item in left]
        answer = await api.batch(commands, priority=limiter.Priority.TOKENS)
        refusals = [_refusal(item, result) for item, result in zip(left, answer.results, strict=True)]
        at = self.moment()
        portal.tried |= {_key(item): (at, refusal) for item, refusal in zip(left, refusals, strict=True)}
        if made := refusals.count(""):
            log.info("fields_created", portal=api.portal, count=made)


def _key(item: Wanted) -> tuple[EntityType, str, FieldType]:
    return item.entity, item.spec.name, item.spec.type


def _refusal(item: Wanted, result: batch.CommandResult) -> str:
    """Empty where it was made. Raises a PortalError that is no word about this field."""
    if result.error is None:
        return ""
    if isinstance(result.error, errors.Away):
        raise result.error
    return f"{item}: {result.error.description or result.error.sentence}"


def are_managed(looked: Sequence[batch.CommandResult]) -> bool:
    """Whether the application has the scope, by the results of `look`."""
    return not any(isinstance(result.error, portal_errors.InsufficientScope) for result in looked)


def waiting() -> Condition:
    return conditions.condition(Type.FIELDS_READY, Status.UNKNOWN, Reason.WAITING_FOR_PORTAL)


async def settle(
    api: bitrix24.PortalApi,
    names: spec.Fields,
    looked: Sequence[batch.CommandResult],
    *,
    maker: Maker,
    looked_at: int,
) -> Condition:
    """FieldsReady, from the results of `look`; what is missing is made. Raises a PortalUnavailable."""
    wrong: list[str] = []
    missing: list[Wanted] = []
    for item, result in zip(wanted(names), looked, strict=True):
        if isinstance(result.error, portal_errors.InsufficientScope):
            return conditions.condition(Type.FIELDS_READY, Status.TRUE, Reason.NOT_MANAGED)
        if isinstance(result.error, errors.Away):
            raise result.error
        if result.error is not None:
            return _refused(f"{item}: {result.error.description or result.error.sentence}")
        found = userfields.read(result.value, item.spec.name)
        if found is None:
            missing.append(item)
        else:
            wrong += _faults(item, found)
    refusals = await maker.make(api, missing, looked_at=looked_at) if missing else []
    if wrong:
        return _not_ready(Reason.FIELD_TYPE_WRONG, wrong)
    if refusals:
        return _not_ready(Reason.FIELDS_REFUSED, refusals)
    return conditions.condition(Type.FIELDS_READY, Status.TRUE, Reason.FIELDS_PRESENT)


def _faults(item: Wanted, found: userfields.UserField) -> Iterator[str]:
    if found.type != item.spec.type.value:
        yield f"{item} is of type {found.type}, not {item.spec.type}"
    elif found.multiple:
        yield f"{item} takes several values"
    elif lacking := [name for name in item.spec.options if name not in found.options]:
        yield f"{item} has no values with the XML_ID {', '.join(lacking)}"


def _refused(detail: str) -> Condition:
    return _not_ready(Reason.FIELDS_REFUSED, [detail])


def _not_ready(reason: Reason, details: Sequence[str]) -> Condition:
    """The first tells enough: the others mostly say the same of other entities."""
    more = f"; and {len(details) - 1} more" if len(details) > 1 else ""
    return conditions.condition(Type.FIELDS_READY, Status.FALSE, reason, detail=details[0] + more)
