"""The portal stand-in: contacts, leads and companies are listed by page, read, changed, found by phone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from smsbridge.sandbox.crm import Kind
from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import EMPLOYEE, Rest, refused


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


def fill(rest: Rest, count: int, *, kind: Kind = Kind.CONTACT, **fields: str) -> None:
    for number in range(count):
        given = {"NAME": f"N{number}", **fields}
        rest.portal.crm.add(kind, given, phones=[f"+7999000{number:04d}"], by=1, now=0)


async def listed(rest: Rest, kind: str = "contact", **parameters: Any) -> Any:
    status, answer = await rest.call(f"crm.{kind}.list", parameters)
    assert status == 200
    del answer["time"]
    return answer


async def ids(rest: Rest, **parameters: Any) -> list[str]:
    return [entity["ID"] for entity in (await listed(rest, **parameters))["result"]]


async def test_fifty_a_page_with_what_follows(rest: Rest) -> None:
    fill(rest, 120)
    first = await listed(rest, select=["ID"])
    assert first == {"result": [{"ID": str(n)} for n in range(1, 51)], "next": 50, "total": 120}
    last = await listed(rest, select=["ID"], start=100)
    assert last == {"result": [{"ID": str(n)} for n in range(101, 121)], "total": 120}


async def test_without_counting_it_is_told_neither_total_nor_next(rest: Rest) -> None:
    fill(rest, 120)
    seen: list[str] = []
    while True:
        page = await listed(
            rest, select=["ID"], start=-1, order={"ID": "ASC"}, filter={">ID": seen[-1] if seen else 0}
        )
        assert set(page) == {"result"}
        seen += [entity["ID"] for entity in page["result"]]
        if len(page["result"]) < 50:
            break
    assert seen == [str(n) for n in range(1, 121)]


async def test_in_a_batch_totals_stand_beside_the_results(rest: Rest) -> None:
    fill(rest, 51)
    answer = await rest.batch(
        {
            "counted": "crm.contact.list?select[]=ID",
            "not": "crm.contact.list?select[]=ID&start=-1&filter%5B%3EID%5D=49",
            "none": "crm.company.list",
        }
    )
    assert answer["result"]["not"] == [{"ID": "50"}, {"ID": "51"}]
    assert len(answer["result"]["counted"]) == 50
    assert answer["result"]["none"] == []
    assert (answer["result_total"], answer["result_next"]) == ({"counted": 51, "none": 0}, {"counted": 50})


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["1", "2", "3", "4"]),
    ({"ID": 2}, ["2"]),
    ({"ID": [2, 4]}, ["2", "4"]),
    ({"@ID": [1, 9]}, ["1"]),
    ({">ID": 2}, ["3", "4"]),
    ({">=ID": 2, "<ID": 4}, ["2", "3"]),
    ({"!ID": 1}, ["2", "3", "4"]),
    ({"SOURCE_ID": "CALL"}, ["1", "3"]),
    ({"=SOURCE_ID": "CALL", ">ID": 1}, ["3"]),
    ({"!SOURCE_ID": "CALL"}, ["2", "4"]),
    ({"%NAME": "n3"}, ["4"]),
    ({"HAS_PHONE": "N"}, ["4"]),
    ({"PHONE": "8 (999) 1"}, ["2"]),
    ({"PHONE": "89991"}, []),  # only as it was saved
    ({"NO_SUCH_FIELD": "x"}, ["1", "2", "3", "4"]),
    ({"UF_CRM_X": "7"}, ["3"]),
    ({"!UF_CRM_X": ""}, ["3"]),
]


@pytest.mark.parametrize(("given", "expected"), FILTERS)
async def test_filters(rest: Rest, given: dict[str, Any], expected: list[str]) -> None:
    await rest.call(
        "crm.contact.userfield.add", {"fields": {"FIELD_NAME": "UF_CRM_X", "USER_TYPE_ID": "string"}}
    )
    crm = rest.portal.crm
    crm.add(Kind.CONTACT, {"NAME": "N0", "SOURCE_ID": "CALL"}, phones=["+79990000000"], by=1, now=0)
    crm.add(Kind.CONTACT, {"NAME": "N1", "SOURCE_ID": "WEB"}, phones=["8 (999) 1"], by=1, now=0)
    crm.add(Kind.CONTACT, {"NAME": "N2", "SOURCE_ID": "CALL", "UF_CRM_X": "7"}, phones=["1"], by=1, now=0)
    crm.add(Kind.CONTACT, {"NAME": "N3"}, by=1, now=0)
    assert await ids(rest, filter=given) == expected
    assert await ids(rest, filter=given, start=-1) == expected


async def test_order(rest: Rest) -> None:
    fill(rest, 3, SOURCE_ID="B")
    fill(rest, 2, SOURCE_ID="A")
    assert await ids(rest, order={"ID": "DESC"}) == ["5", "4", "3", "2", "1"]
    assert await ids(rest, order={"SOURCE_ID": "ASC", "ID": "DESC"}) == ["5", "4", "3", "2", "1"]
    assert await ids(rest, order={"SOURCE_ID": "DESC", "ID": "ASC"}, start=-1) == ["1", "2", "3", "4", "5"]


async def test_phones_and_users_fields_must_be_named(rest: Rest) -> None:
    await rest.call("crm.lead.userfield.add", {"fields": {"FIELD_NAME": "X", "USER_TYPE_ID": "string"}})
    fill(rest, 1, kind=Kind.LEAD, TITLE="T", UF_CRM_X="x")
    (plain,) = (await listed(rest, "lead"))["result"]
    assert (plain["ID"], plain["TITLE"], plain["HAS_PHONE"]) == ("1", "T", "Y")
    assert not {"PHONE", "UF_CRM_X"} & set(plain)
    (named,) = (await listed(rest, "lead", select=["UF_*", "PHONE", "NO_SUCH"]))["result"]
    assert named.pop("PHONE") == [
        {"ID": "2", "VALUE_TYPE": "WORK", "VALUE": "+79990000000", "TYPE_ID": "PHONE"}
    ]
    assert named == {"ID": "1", "UF_CRM_X": "x"}


async def test_one_without_phones_has_no_such_key(rest: Rest) -> None:
    rest.portal.crm.add(Kind.COMPANY, {"TITLE": "T"}, by=1, now=0)
    (company,) = (await listed(rest, "company", select=["PHONE", "HAS_PHONE"]))["result"]
    assert company == {"ID": "1", "HAS_PHONE": "N"}
    _, answer = await rest.call("crm.company.get", {"id": 1})
    assert "PHONE" not in answer["result"]


async def test_an_update_changes_what_is_known_and_passes_over_the_rest(rest: Rest) -> None:
    fill(rest, 1)
    rest.sandbox.clock.advance(60)
    change = {"fields": {"LAST_NAME": "L", "NO_SUCH": "x", "ID": 5, "UF_CRM_NONE": "x"}}
    assert (await rest.call("crm.contact.update", {"id": 1, **change}))[1]["result"] is True
    _, answer = await rest.call("crm.contact.get", {"id": "1"})
    contact = answer["result"]
    assert (contact["ID"], contact["NAME"], contact["LAST_NAME"]) == ("1", "N0", "L")
    assert not {"NO_SUCH", "UF_CRM_NONE"} & set(contact)
    assert contact["DATE_MODIFY"] > contact["DATE_CREATE"]


async def test_an_update_that_changes_nothing_saves_nothing(rest: Rest) -> None:
    fill(rest, 1)
    before = rest.portal.crm.entities[Kind.CONTACT][1].values["DATE_MODIFY"]
    rest.sandbox.clock.advance(60)
    assert (await rest.call("crm.contact.update", {"id": 1, "fields": {"NAME": "N0"}}))[1]["result"] is True
    assert rest.portal.crm.entities[Kind.CONTACT][1].values["DATE_MODIFY"] == before


async def test_phones_are_changed_by_id_and_added_without(rest: Rest) -> None:
    crm = rest.portal.crm
    crm.add(Kind.CONTACT, {}, phones=["+71", "+72", "+73"], by=1, now=0)
    phones = [
        {"ID": "1", "VALUE": "+79", "VALUE_TYPE": "MOBILE"},
        {"ID": "2", "VALUE": ""},
        {"ID": "3", "DELETE": "Y"},
        {"VALUE": "+74"},
        {"VALUE": ""},
    ]
    await rest.call("crm.contact.update", {"id": 1, "fields": {"PHONE": phones}})
    assert [phone.shown() for phone in crm.entities[Kind.CONTACT][1].phones] == [
        {"ID": "1", "VALUE_TYPE": "MOBILE", "VALUE": "+79", "TYPE_ID": "PHONE"},
        {"ID": "4", "VALUE_TYPE": "WORK", "VALUE": "+74", "TYPE_ID": "PHONE"},
    ]


VALUES = [
    ("string", "x", "x"),
    ("string", "", None),
    ("datetime", "2025-03-25T10:00:00+03:00", "2025-03-25T10:00:00+03:00"),
    ("datetime", "2025-03-25T07:00:00Z", "2025-03-25T10:00:00+03:00"),
    ("datetime", "yesterday", None),
    ("enumeration", "active", None),  # a list wants the id of its item
    ("enumeration", "999", None),
]


@pytest.mark.parametrize(("type_", "written", "read"), VALUES)
async def test_a_users_field_keeps_what_fits_its_type(
    rest: Rest, type_: str, written: str, read: str | None
) -> None:
    field = {"FIELD_NAME": "X", "USER_TYPE_ID": type_, "LIST": [{"VALUE": "active", "XML_ID": "active"}]}
    await rest.call("crm.contact.userfield.add", {"fields": field})
    fill(rest, 1)
    await rest.call("crm.contact.update", {"id": 1, "fields": {"UF_CRM_X": written}})
    assert (await rest.call("crm.contact.get", {"id": 1}))[1]["result"]["UF_CRM_X"] == read


async def test_a_list_keeps_the_id_of_its_item(rest: Rest) -> None:
    field = {"FIELD_NAME": "X", "USER_TYPE_ID": "enumeration", "LIST": [{"VALUE": "a"}, {"VALUE": "b"}]}
    await rest.call("crm.contact.userfield.add", {"fields": field})
    fill(rest, 1)
    (kept,) = rest.portal.crm.fields[Kind.CONTACT].values()
    wanted = str(kept.items[1].item_id)
    await rest.call("crm.contact.update", {"id": 1, "fields": {"UF_CRM_X": wanted}})
    assert (await rest.call("crm.contact.get", {"id": 1}))[1]["result"]["UF_CRM_X"] == wanted


REFUSALS = [
    ("crm.contact.get", {}, "ID is not defined or invalid."),
    ("crm.contact.get", {"id": "x"}, "ID is not defined or invalid."),
    ("crm.contact.get", {"id": 99}, "Not found"),
    ("crm.lead.update", {"id": 99, "fields": {"NAME": "x"}}, "Not found"),
    ("crm.contact.update", {"id": 1}, "Parameter 'fields' must be array."),
    ("crm.contact.add", {"fields": "x"}, "Parameter 'fields' must be array."),
    ("crm.duplicate.findbycomm", {"values": ["1"]}, "Communication type is not defined."),
    ("crm.duplicate.findbycomm", {"type": "PHONE", "values": []}, "Communication values is not defined."),
]


@pytest.mark.parametrize(("method", "parameters", "sentence"), REFUSALS)
async def test_errors_have_no_code(
    rest: Rest, method: str, parameters: dict[str, Any], sentence: str
) -> None:
    fill(rest, 1)
    assert await rest.call(method, parameters) == (400, refused("", sentence))


async def test_an_employee_reads_and_writes(rest: Rest) -> None:
    fill(rest, 1)
    token = rest.pair(EMPLOYEE).access_token
    assert (await rest.call("crm.contact.get", {"id": 1}, token=token))[0] == 200
    assert (await rest.call("crm.contact.update", {"id": 1, "fields": {"NAME": "x"}}, token=token))[0] == 200


async def found(rest: Rest, values: list[str], **more: str) -> Any:
    _, answer = await rest.call("crm.duplicate.findbycomm", {"type": "PHONE", "values": values, **more})
    return answer["result"]


async def test_duplicates_are_pooled_over_all_values(rest: Rest) -> None:
    crm = rest.portal.crm
    for kind, phones in (
        (Kind.CONTACT, ["8 (999) 000-00-01"]),
        (Kind.LEAD, ["+79990000001"]),
        (Kind.CONTACT, ["+79990000002", "+79990000001"]),
        (Kind.CONTACT, ["+79990000003 доб. 12"]),
    ):
        crm.add(kind, {}, phones=phones, by=1, now=0)
    assert await found(rest, ["+79990000001"]) == {"LEAD": [1], "CONTACT": [1, 2]}
    assert await found(rest, ["+79990000003", "89990000002"]) == {"CONTACT": [2, 3]}
    assert await found(rest, ["+79990000001"], entity_type="LEAD") == {"LEAD": [1]}
    assert await found(rest, ["+79990000009"]) == []


async def test_duplicates_end_at_twenty_and_so_do_values(rest: Rest) -> None:
    for kind in (Kind.LEAD, Kind.LEAD, Kind.CONTACT):
        for _ in range(12):
            rest.portal.crm.add(kind, {}, phones=["+79990000001"], by=1, now=0)
    assert await found(rest, ["+79990000001"]) == {"LEAD": list(range(1, 21))}
    assert await found(rest, [*(f"+7888{n:07d}" for n in range(20)), "+79990000001"]) == []
