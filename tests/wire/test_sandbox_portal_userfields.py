"""The portal stand-in: user fields of contacts, leads and companies."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from smsbridge.sandbox.crm import Kind
from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import EMPLOYEE, Rest, refused

REACH = {
    "FIELD_NAME": "UF_CRM_REACH",
    "USER_TYPE_ID": "enumeration",
    "XML_ID": "reach",
    "EDIT_FORM_LABEL": {"ru": "Доступность", "en": "Reachability"},
    "LABEL": "reach",
    "LIST": [
        {"VALUE": "да", "XML_ID": "active", "SORT": 10},
        {"VALUE": "нет", "XML_ID": "absent", "DEF": "Y"},
    ],
}


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


async def add(rest: Rest, fields: Any, *, kind: str = "contact", token: str | None = None) -> tuple[int, Any]:
    status, answer = await rest.call(f"crm.{kind}.userfield.add", {"fields": fields}, token=token)
    return status, answer.get("result", answer)


async def test_a_field_is_added_and_listed_with_the_ids_of_its_items(rest: Rest) -> None:
    status, number = await add(rest, REACH)
    assert (status, type(number)) == (200, int)
    _, answer = await rest.call("crm.contact.userfield.list", {"filter": {"FIELD_NAME": "UF_CRM_REACH"}})
    (field,) = answer["result"]
    first, second = (item.pop("ID") for item in field["LIST"])
    assert first.isdigit()
    assert first != second
    assert field == {
        "ID": str(number),
        "ENTITY_ID": "CRM_CONTACT",
        "FIELD_NAME": "UF_CRM_REACH",
        "USER_TYPE_ID": "enumeration",
        "XML_ID": "reach",
        "SORT": "100",
        "MULTIPLE": "N",
        "MANDATORY": "N",
        "SHOW_FILTER": "N",
        "SHOW_IN_LIST": "Y",
        "EDIT_IN_LIST": "Y",
        "SETTINGS": [],
        "LIST": [
            {"SORT": "10", "VALUE": "да", "DEF": "N", "XML_ID": "active"},
            {"SORT": "500", "VALUE": "нет", "DEF": "Y", "XML_ID": "absent"},
        ],
    }


async def test_labels_are_read_one_field_at_a_time(rest: Rest) -> None:
    _, number = await add(rest, REACH)
    _, answer = await rest.call("crm.contact.userfield.get", {"id": number})
    field = answer["result"]
    assert field["EDIT_FORM_LABEL"] == {"ru": "Доступность", "en": "Reachability"}
    assert field["LIST_COLUMN_LABEL"] == {"ru": "reach", "en": "reach"}
    _, missing = await rest.call("crm.lead.userfield.get", {"id": number})
    assert missing == refused("", f"The entity with ID '{number}' is not found.")


async def test_it_is_added_from_a_batch_as_from_a_body(rest: Rest) -> None:
    fields = {
        "fields[FIELD_NAME]": "UF_CRM_REACH",
        "fields[USER_TYPE_ID]": "enumeration",
        "fields[EDIT_FORM_LABEL][ru]": "Доступность",
        "fields[LIST][0][VALUE]": "да",
        "fields[LIST][0][XML_ID]": "active",
    }
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in fields.items())
    await rest.batch({"a": f"crm.lead.userfield.add?{query}"})
    (field,) = rest.portal.crm.fields[Kind.LEAD].values()
    assert (field.name, field.labels["EDIT_FORM_LABEL"]) == ("UF_CRM_REACH", {"ru": "Доступность"})
    assert [(item.value, item.xml_id) for item in field.items] == [("да", "active")]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("UF_CRM_X", "UF_CRM_X"),
        ("UF_X", "UF_CRM_X"),
        ("X", "UF_CRM_X"),
        ("uf_crm_x_1", "UF_CRM_X_1"),
        ("A" * 43, "UF_CRM_" + "A" * 43),
    ],
)
async def test_names_get_their_prefix_and_capitals(rest: Rest, given: str, kept: str) -> None:
    assert (await add(rest, {"FIELD_NAME": given, "USER_TYPE_ID": "string"}))[0] == 200
    _, answer = await rest.call("crm.contact.userfield.list")
    assert [field["FIELD_NAME"] for field in answer["result"]] == [kept]


TOO_LONG = "The field name is too long. The maximum length is 50 characters."
INVALID = "The field name contains invalid characters. Use A-Z, 0-9 and _."
REFUSALS = [
    ([], "", "The parameter 'fields' must be array."),
    ({"FIELD_NAME": "X"}, "", "The 'USER_TYPE_ID' field is not found."),
    ({"USER_TYPE_ID": "string"}, "", "The 'FIELD_NAME' field is not found."),
    ({"FIELD_NAME": "A" * 44, "USER_TYPE_ID": "string"}, "ERROR_CORE", TOO_LONG),
    ({"FIELD_NAME": "Я-" * 30, "USER_TYPE_ID": "string"}, "ERROR_CORE", f"{TOO_LONG}\n{INVALID}"),
    ({"FIELD_NAME": "X", "USER_TYPE_ID": "text"}, "ERROR_CORE", "An invalid user type is specified."),
    (
        {"FIELD_NAME": "UF_REACH", "USER_TYPE_ID": "string"},
        "ERROR_CORE",
        "Field UF_CRM_REACH for object CRM_CONTACT already exists.",
    ),
]


@pytest.mark.parametrize(("fields", "error", "sentence"), REFUSALS)
async def test_what_is_refused(rest: Rest, fields: Any, error: str, sentence: str) -> None:
    await add(rest, REACH)
    assert await add(rest, fields) == (400, refused(error, sentence))


async def test_each_entity_has_its_own_fields(rest: Rest) -> None:
    for kind in ("contact", "lead", "company"):
        assert (await add(rest, REACH, kind=kind))[0] == 200
        assert (await add(rest, REACH, kind=kind))[0] == 400


async def test_only_an_administrator_may(rest: Rest) -> None:
    token = rest.pair(EMPLOYEE).access_token
    denied = (400, refused("", "Access denied."))
    assert await add(rest, REACH, token=token) == denied
    assert await rest.call("crm.contact.userfield.list", token=token) == denied


async def test_only_an_application_with_the_scope_may(rest: Rest) -> None:
    rest.application.settings.scope = ["messageservice"]
    status, answer = await rest.call("crm.contact.userfield.list")
    assert (status, answer["error"]) == (403, "insufficient_scope")


async def test_a_removed_field_takes_its_values_along(rest: Rest) -> None:
    _, number = await add(rest, {"FIELD_NAME": "X", "USER_TYPE_ID": "string"})
    _, made = await rest.call("crm.contact.add", {"fields": {"NAME": "A", "UF_CRM_X": "1"}})
    for _ in range(2):
        _, read = await rest.call("crm.contact.get", {"id": made["result"]})
        assert read["result"]["UF_CRM_X"] == "1"
    assert (await rest.call("crm.contact.userfield.delete", {"id": number}))[1]["result"] is True
    _, read = await rest.call("crm.contact.get", {"id": made["result"]})
    assert "UF_CRM_X" not in read["result"]


async def test_method_get_knows_them(rest: Rest) -> None:
    asked = {"name": "crm.company.userfield.add"}
    assert (await rest.call("method.get", asked))[1]["result"] == {"isExisting": True, "isAvailable": True}
    rest.application.settings.scope = []
    assert (await rest.call("method.get", asked))[1]["result"] == {"isExisting": True, "isAvailable": False}
