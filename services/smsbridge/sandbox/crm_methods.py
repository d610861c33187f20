"""Leads, contacts and companies of a portal over REST: read page by page, changed, found by phone.

Errors of these methods have an empty code. What a filter or an update names and the portal does not know is
passed over without a word.
"""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any

from smsbridge.sandbox import php
from smsbridge.sandbox.crm import Crm, Entity, Kind
from smsbridge.sandbox.portal_methods import Caller, Method, Page, Registered, RestError

PAGE = 50
_MAX_DUPLICATES = 20
_MAX_VALUES = 20
_OPERATOR = re.compile(r"(>=|<=|!=|!|>|<|=|%|@)?(.*)\Z", re.DOTALL)

Test = Callable[[Entity], bool]


def _list(caller: Caller, parameters: dict[str, Any], kind: Kind) -> Page:
    """With `start=-1` nothing is counted."""
    crm = caller.portal.crm
    tests = list(_tests(crm, kind, php.as_map(parameters.get("FILTER"))))
    found: Iterable[Entity] = (e for e in crm.entities[kind].values() if all(test(e) for test in tests))
    order = php.as_map(parameters.get("ORDER"))
    for name, way in reversed(order.items()):
        field, down = name.upper(), php.scalar(way).upper() == "DESC"
        if (field, down) != ("ID", False) or len(order) > 1:  # they are kept by id
            found = sorted(found, key=lambda entity: _key(entity.shown(field)), reverse=down)
    names = _selected(crm, kind, php.as_map(parameters.get("SELECT")).values())
    start = php.integer(parameters.get("START"))
    if start == -1:
        return Page([_shown(entity, names) for entity in itertools.islice(found, PAGE)])
    everything = list(found)
    page = [_shown(entity, names) for entity in everything[start : start + PAGE]]
    following = start + PAGE if start + PAGE < len(everything) else None
    return Page(page, total=len(everything), next=following)


def _tests(crm: Crm, kind: Kind, given: dict[str, Any]) -> Iterable[Test]:
    known = {*crm.names(kind), *crm.fields[kind]}
    for key, value in given.items():
        found = _OPERATOR.match(key)
        operator, name = (found[1] or "=", found[2].upper()) if found else ("=", key)
        if name == "PHONE":
            wanted = set(_texts(value))
            yield lambda entity, wanted=wanted: any(phone.value in wanted for phone in entity.phones)  # type: ignore[misc]
        elif name in known:
            yield _test(name, operator, _texts(value))


def _test(name: str, operator: str, wanted: list[str]) -> Test:
    if operator in {">", "<", ">=", "<="}:
        bound = _key(wanted[0] if wanted else "")

        def beyond(entity: Entity) -> bool:
            key = (entity.entity_id, "") if name == "ID" else _key(entity.shown(name))
            if operator[0] == ">":
                return key > bound or (key == bound and operator == ">=")
            return key < bound or (key == bound and operator == "<=")

        return beyond
    if operator == "%":
        return lambda entity: any(
            part.lower() in text.lower() for text in _texts(entity.shown(name)) for part in wanted
        )
    equal = not operator.startswith("!")
    return lambda entity: (not set(_texts(entity.shown(name))).isdisjoint(wanted)) is equal


def _texts(value: Any) -> list[str]:
    """Of a list each; an empty value is an empty text."""
    if isinstance(value, dict | list):
        return [php.scalar(item) for item in php.as_map(value).values()] or [""]
    return [php.scalar(value)]


def _key(value: Any) -> tuple[int, str]:
    """Whole numbers by their value, all else as texts: dates are written so that they sort."""
    text = php.scalar(value)
    return (int(text), "") if text.isascii() and text.isdigit() else (0, text)


def _selected(crm: Crm, kind: Kind, given: Iterable[Any]) -> list[str]:
    """Without a word everything but users' fields and phones: these must be named."""
    asked = [php.scalar(name).upper() for name in given] or ["*"]
    names = ["ID"]
    for name in asked:
        if name == "*":
            names += crm.names(kind)
        elif name == "UF_*":
            names += crm.fields[kind]
        elif name == "PHONE" or name in crm.fields[kind] or name in crm.names(kind):
            names.append(name)
    return list(dict.fromkeys(names))


def _shown(entity: Entity, names: Iterable[str]) -> dict[str, Any]:
    return {name: entity.shown(name) for name in names if name != "PHONE" or entity.phones}


def _found(caller: Caller, parameters: dict[str, Any], kind: Kind) -> Entity:
    number = php.integer(parameters.get("ID"))
    if number <= 0:
        raise RestError("", "ID is not defined or invalid.")
    entity = caller.portal.crm.entities[kind].get(number)
    if entity is None:
        raise RestError("", "Not found")
    return entity


def _get(caller: Caller, parameters: dict[str, Any], kind: Kind) -> dict[str, Any]:
    entity = _found(caller, parameters, kind)
    crm = caller.portal.crm
    return _shown(entity, [*crm.names(kind), *crm.fields[kind], "PHONE"])


def _fields(parameters: dict[str, Any]) -> dict[str, Any]:
    given = parameters.get("FIELDS")
    if not isinstance(given, dict | list):
        raise RestError("", "Parameter 'fields' must be array.")
    return {name.upper(): value for name, value in php.as_map(given).items()}


def _add(caller: Caller, parameters: dict[str, Any], kind: Kind) -> int:
    entity = caller.portal.crm.add(
        kind, _fields(parameters), by=caller.user_id, now=caller.now, depth=caller.depth
    )
    return entity.entity_id


def _update(caller: Caller, parameters: dict[str, Any], kind: Kind) -> bool:
    entity = _found(caller, parameters, kind)
    caller.portal.crm.update(
        entity, _fields(parameters), by=caller.user_id, now=caller.now, depth=caller.depth
    )
    return True


def _normal(phone: str) -> str:
    """As duplicates are compared: digits, without an extension; Russian numbers from 7 on."""
    digits = "".join(char for char in re.split(r"[,;#x]|доб|ext", phone.lower())[0] if char.isdigit())
    return "7" + digits[1:] if len(digits) == 11 and digits[0] == "8" else digits


def _find_by_comm(caller: Caller, parameters: dict[str, Any]) -> Any:
    """Ids are pooled over all values; when a type has its most, later types stay empty."""
    if php.scalar(parameters.get("TYPE")).upper() not in {"PHONE", "EMAIL"}:
        raise RestError("", "Communication type is not defined.")
    values = [text for text in _texts(parameters.get("VALUES")) if text][:_MAX_VALUES]
    if not values:
        raise RestError("", "Communication values is not defined.")
    asked = php.scalar(parameters.get("ENTITY_TYPE")).upper()
    wanted = {_normal(value) for value in values} if parameters["TYPE"].upper() == "PHONE" else set()
    answer: dict[str, list[int]] = {}
    for kind in Kind:
        if asked and asked != kind.upper():
            continue
        matches = (
            entity.entity_id
            for entity in caller.portal.crm.entities[kind].values()
            if any(_normal(phone.value) in wanted for phone in entity.phones)
        )
        if found := list(itertools.islice(matches, _MAX_DUPLICATES)):
            answer[kind.upper()] = found
        if len(found) == _MAX_DUPLICATES:
            break
    return php.array(answer)


def _of(kind: Kind) -> dict[str, Registered]:
    def bound(run: Any) -> Method:
        return lambda caller, parameters: run(caller, parameters, kind)

    verbs = {"list": _list, "get": _get, "add": _add, "update": _update}
    return {f"crm.{kind}.{verb}": Registered(bound(run), "crm") for verb, run in verbs.items()}


METHODS = {
    **{name: method for kind in Kind for name, method in _of(kind).items()},
    "crm.duplicate.findbycomm": Registered(_find_by_comm, "crm"),
}
