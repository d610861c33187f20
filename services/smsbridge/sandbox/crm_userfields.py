"""User fields of a portal's CRM over REST: add, get, list, delete, for leads, contacts and companies.

Errors have an empty code, or ERROR_CORE where several messages may come at once, each in a line of its own.
"""

import re
from typing import Any

from smsbridge.sandbox import php
from smsbridge.sandbox.crm import Kind, ListItem, UserField
from smsbridge.sandbox.portal_methods import Caller, Method, Registered, RestError

_PREFIX = "UF_CRM_"
_MAX_NAME = 50
_NAME = re.compile(r"[A-Z0-9_]+\Z")
_FLAGS = {"MULTIPLE": "N", "MANDATORY": "N", "SHOW_FILTER": "N", "SHOW_IN_LIST": "Y", "EDIT_IN_LIST": "Y"}
_LABELS = ("EDIT_FORM_LABEL", "LIST_COLUMN_LABEL", "LIST_FILTER_LABEL")
_LANGUAGES = ("ru", "en")
_TYPES = frozenset(
    {
        "string",
        "integer",
        "double",
        "boolean",
        "datetime",
        "date",
        "money",
        "url",
        "address",
        "enumeration",
        "file",
        "employee",
        "crm_status",
        "iblock_section",
        "iblock_element",
        "crm",
    }
)


def _refused(sentence: str) -> RestError:
    return RestError("", sentence)


def _require_crm_admin(caller: Caller) -> None:
    if not caller.admin:
        raise _refused("Access denied.")


def full_name(given: str) -> str:
    """`x`, `UF_X` and `UF_CRM_X` are the same field."""
    name = given.upper()
    if name.startswith(_PREFIX):
        return name
    return _PREFIX + name.removeprefix("UF_")


def _add(caller: Caller, parameters: dict[str, Any], kind: Kind) -> int:
    _require_crm_admin(caller)
    given = {name.upper(): value for name, value in php.as_map(parameters.get("FIELDS")).items()}
    if not given:
        raise _refused("The parameter 'fields' must be array.")
    type_ = php.scalar(given.get("USER_TYPE_ID"))
    if not type_:
        raise _refused("The 'USER_TYPE_ID' field is not found.")
    if not php.scalar(given.get("FIELD_NAME")):
        raise _refused("The 'FIELD_NAME' field is not found.")
    name = full_name(php.scalar(given["FIELD_NAME"]))
    crm = caller.portal.crm
    wrong = list(_mistakes(name, type_, known=name in crm.fields[kind], entity=_entity_id(kind)))
    if wrong:
        raise RestError("ERROR_CORE", "\n".join(wrong))
    flags = {flag: php.scalar(given.get(flag)) or default for flag, default in _FLAGS.items()}
    field = UserField(
        field_id=crm.number(),
        kind=kind,
        name=name,
        type=type_,
        flags={flag: "Y" if value == "Y" else "N" for flag, value in flags.items()},
        labels={label: _texts(given.get(label, given.get("LABEL"))) for label in _LABELS},
        sort=php.integer(given.get("SORT")) or 100,
        xml_id=php.scalar(given.get("XML_ID")),
        settings=php.as_map(given.get("SETTINGS")),
        items=[],
    )
    if type_ == "enumeration":
        field.items = [_item(crm.number(), item) for item in php.as_map(given.get("LIST")).values()]
    crm.fields[kind][name] = field
    return field.field_id


def _mistakes(name: str, type_: str, *, known: bool, entity: str) -> list[str]:
    found = []
    if len(name) > _MAX_NAME:
        found.append(f"The field name is too long. The maximum length is {_MAX_NAME} characters.")
    if not _NAME.match(name):
        found.append("The field name contains invalid characters. Use A-Z, 0-9 and _.")
    if type_ not in _TYPES:
        found.append("An invalid user type is specified.")
    if known:
        found.append(f"Field {name} for object {entity} already exists.")
    return found


def _item(number: int, given: Any) -> ListItem:
    fields = {name.upper(): value for name, value in php.as_map(given).items()}
    return ListItem(
        item_id=number,
        value=php.scalar(fields.get("VALUE")),
        sort=php.integer(fields.get("SORT")) or 500,
        default=php.scalar(fields.get("DEF")) == "Y",
        xml_id=php.scalar(fields.get("XML_ID")),
    )


def _texts(value: Any) -> dict[str, str]:
    """A text counts for every language."""
    if isinstance(value, dict):
        return {language: php.scalar(text) for language, text in value.items()}
    return dict.fromkeys(_LANGUAGES, php.scalar(value))


def _entity_id(kind: Kind) -> str:
    return f"CRM_{kind.upper()}"


def _shown(field: UserField) -> dict[str, Any]:
    """As a list has it: without labels."""
    shown: dict[str, Any] = {
        "ID": str(field.field_id),
        "ENTITY_ID": _entity_id(field.kind),
        "FIELD_NAME": field.name,
        "USER_TYPE_ID": field.type,
        "XML_ID": field.xml_id or None,
        "SORT": str(field.sort),
        **field.flags,
        "SETTINGS": php.array(field.settings),
    }
    if field.type == "enumeration":
        shown["LIST"] = [item.shown() for item in field.items]
    return shown


def _list(caller: Caller, parameters: dict[str, Any], kind: Kind) -> list[dict[str, Any]]:
    """All of them at once; FILTER by equality of what is shown."""
    _require_crm_admin(caller)
    wanted = {name.upper(): php.scalar(value) for name, value in php.as_map(parameters.get("FILTER")).items()}
    shown = [_shown(field) for field in caller.portal.crm.fields[kind].values()]
    found = [item for item in shown if all(php.scalar(item.get(k)) == v for k, v in wanted.items())]
    for name, way in reversed(php.as_map(parameters.get("ORDER")).items()):
        found.sort(
            key=lambda item: _sort_key(item.get(name.upper())), reverse=php.scalar(way).upper() == "DESC"
        )
    return found


def _sort_key(value: Any) -> tuple[int, str]:
    text = php.scalar(value)
    return (int(text), "") if text.isdigit() else (0, text)


def _found(caller: Caller, parameters: dict[str, Any], kind: Kind) -> UserField:
    _require_crm_admin(caller)
    number = php.scalar(parameters.get("ID"))
    for field in caller.portal.crm.fields[kind].values():
        if str(field.field_id) == number:
            return field
    raise _refused(f"The entity with ID '{number}' is not found.")


def _get(caller: Caller, parameters: dict[str, Any], kind: Kind) -> dict[str, Any]:
    field = _found(caller, parameters, kind)
    return _shown(field) | {label: php.array(texts) for label, texts in field.labels.items()}


def _delete(caller: Caller, parameters: dict[str, Any], kind: Kind) -> bool:
    """The values go with it."""
    field = _found(caller, parameters, kind)
    del caller.portal.crm.fields[kind][field.name]
    for entity in caller.portal.crm.entities[kind].values():
        entity.values.pop(field.name, None)
    return True


def _of(kind: Kind) -> dict[str, Registered]:
    def bound(run: Any) -> Method:
        return lambda caller, parameters: run(caller, parameters, kind)

    verbs = {"add": _add, "get": _get, "list": _list, "delete": _delete}
    return {f"crm.{kind}.userfield.{verb}": Registered(bound(run), "crm") for verb, run in verbs.items()}


METHODS = {name: method for kind in Kind for name, method in _of(kind).items()}
