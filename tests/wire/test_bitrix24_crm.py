"""The CRM's commands as they go over the wire, and their results; then the same against the stand-in."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest

from smsbridge.bitrix24 import batch, client, crm, errors, limiter, transport, userfields
from smsbridge.bitrix24.crm import Entity, EntityType, Page
from smsbridge.bitrix24.userfields import FieldSpec, FieldType, UserField
from smsbridge.sandbox.crm import Kind
from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import EMPLOYEE, Rest

REACH = FieldSpec(
    "UF_CRM_REACH",
    FieldType.ENUMERATION,
    {"ru": "Доступность", "en": "Reachability"},
    {"active": "Да & yes", "absent": "Нет"},
)
CHECKED = FieldSpec("UF_CRM_CHECKED", FieldType.DATETIME, {"ru": "Проверен"})
VERIFICATION = limiter.Priority.VERIFICATION

COMMANDS: list[tuple[batch.Command, str]] = [
    (
        crm.page_command(EntityType.CONTACT),
        "crm.contact.list?select[0]=ID&select[1]=PHONE&filter[>ID]=0&order[ID]=ASC&start=-1",
    ),
    (
        crm.page_command(
            EntityType.LEAD, after=50, select=["UF_CRM_X"], where={"SOURCE_ID": ["CALL", "WEB"]}
        ),
        "crm.lead.list?select[0]=ID&select[1]=PHONE&select[2]=UF_CRM_X&filter[SOURCE_ID][0]=CALL"
        "&filter[SOURCE_ID][1]=WEB&filter[>ID]=50&order[ID]=ASC&start=-1",
    ),
    (
        crm.page_command(EntityType.COMPANY, after=50, where={">ID": "70"}),
        "crm.company.list?select[0]=ID&select[1]=PHONE&filter[>ID]=70&order[ID]=ASC&start=-1",
    ),
    (
        crm.page_command(EntityType.COMPANY, after=90, where={">id": 70}),
        "crm.company.list?select[0]=ID&select[1]=PHONE&filter[>ID]=90&order[ID]=ASC&start=-1",
    ),
    (crm.get_command(EntityType.LEAD, 7), "crm.lead.get?id=7"),
    (
        crm.update_command(EntityType.CONTACT, 7, {"UF_CRM_OPERATOR": "A & B", "UF_CRM_REGION": ""}),
        "crm.contact.update?id=7&fields[UF_CRM_OPERATOR]=A & B&fields[UF_CRM_REGION]=",
    ),
    (crm.find_command("+79990000001"), "crm.duplicate.findbycomm?type=PHONE&values[0]=+79990000001"),
    (
        crm.find_command("+79990000001", EntityType.CONTACT),
        "crm.duplicate.findbycomm?type=PHONE&values[0]=+79990000001&entity_type=CONTACT",
    ),
    (
        userfields.list_command(EntityType.LEAD, "UF_CRM_X"),
        "crm.lead.userfield.list?filter[FIELD_NAME]=UF_CRM_X",
    ),
    (
        userfields.add_command(EntityType.COMPANY, CHECKED),
        "crm.company.userfield.add?fields[FIELD_NAME]=UF_CRM_CHECKED&fields[USER_TYPE_ID]=datetime"
        "&fields[XML_ID]=UF_CRM_CHECKED&fields[MULTIPLE]=N&fields[MANDATORY]=N&fields[SHOW_FILTER]=Y"
        "&fields[EDIT_FORM_LABEL][ru]=Проверен&fields[LIST_COLUMN_LABEL][ru]=Проверен"
        "&fields[LIST_FILTER_LABEL][ru]=Проверен",
    ),
    (
        userfields.add_command(EntityType.CONTACT, REACH),
        "crm.contact.userfield.add?fields[FIELD_NAME]=UF_CRM_REACH&fields[USER_TYPE_ID]=enumeration"
        "&fields[XML_ID]=UF_CRM_REACH&fields[MULTIPLE]=N&fields[MANDATORY]=N&fields[SHOW_FILTER]=Y"
        "&fields[EDIT_FORM_LABEL][ru]=Доступность&fields[EDIT_FORM_LABEL][en]=Reachability"
        "&fields[LIST_COLUMN_LABEL][ru]=Доступность&fields[LIST_COLUMN_LABEL][en]=Reachability"
        "&fields[LIST_FILTER_LABEL][ru]=Доступность&fields[LIST_FILTER_LABEL][en]=Reachability"
        "&fields[LIST][0][VALUE]=Да & yes&fields[LIST][0][XML_ID]=active&fields[LIST][0][SORT]=100"
        "&fields[LIST][1][VALUE]=Нет&fields[LIST][1][XML_ID]=absent&fields[LIST][1][SORT]=200",
    ),
]


@pytest.mark.parametrize(("command", "line"), COMMANDS)
def test_a_command_as_a_batch_has_it(command: batch.Command, line: str) -> None:
    (encoded,) = batch.encode([command]).values()
    assert unquote(encoded) == line
    assert not set(" &#?[]>") & set(encoded.partition("?")[2].replace("&", ""))  # each encoded once


ENTITIES: list[tuple[object, Entity | None]] = [
    ({"ID": "7", "TITLE": "T"}, Entity(7, (), {"TITLE": "T"})),
    (
        {"ID": 7, "PHONE": [{"ID": "1", "VALUE": "+71"}, {"ID": "2", "VALUE": ""}, {"VALUE": 72}]},
        Entity(7, ("+71", "72")),
    ),
    ({"ID": "7", "PHONE": {"1": {"VALUE": "+71"}}}, Entity(7, ("+71",))),
    ({"ID": "7", "PHONE": None, "UF_CRM_X": False}, Entity(7, (), {"UF_CRM_X": False})),
    ({"TITLE": "T"}, None),
    ({"ID": "x"}, None),
    ([], None),
    (None, None),
]


@pytest.mark.parametrize(("item", "expected"), ENTITIES)
def test_an_entity_is_read(item: object, expected: Entity | None) -> None:
    assert crm.read(item) == expected


@pytest.mark.parametrize("value", [None, False, "", [], {}])
def test_a_field_that_is_not_set_is_empty(value: object) -> None:
    assert Entity(1, (), {"UF_CRM_X": value}).text("UF_CRM_X") == ""
    assert Entity(1).text("UF_CRM_X") == ""


@pytest.mark.parametrize(
    ("count", "last", "after"), [(0, True, 10), (1, True, 11), (49, True, 59), (50, False, 60)]
)
def test_a_page_says_where_the_next_begins(count: int, last: bool, after: int) -> None:
    page = crm.read_page([{"ID": str(10 + n)} for n in range(1, count + 1)], after=10)
    assert (len(page.entities), page.last, page.after) == (count, last, after)


def test_a_page_without_one_entity_in_it_is_the_last() -> None:
    assert crm.read_page([{"NAME": "x"}] * 50, after=10) == Page((), last=True, after=10)


FOUND: list[tuple[object, dict[EntityType, tuple[int, ...]]]] = [
    ([], {}),
    ({"CONTACT": [275, "2297"]}, {EntityType.CONTACT: (275, 2297)}),
    ({"LEAD": {"0": 1, "2": 3}, "COMPANY": []}, {EntityType.LEAD: (1, 3)}),
    ({"DEAL": [1]}, {}),
    ("nonsense", {}),
]


@pytest.mark.parametrize(("result", "expected"), FOUND)
def test_who_was_found(result: object, expected: dict[EntityType, tuple[int, ...]]) -> None:
    assert crm.read_found(result) == expected


LISTED: list[tuple[object, UserField | None]] = [
    ([], None),
    ([{"FIELD_NAME": "UF_CRM_OTHER", "USER_TYPE_ID": "string"}], None),
    (
        [{"FIELD_NAME": "UF_CRM_X", "USER_TYPE_ID": "string", "MULTIPLE": "N"}],
        UserField("UF_CRM_X", "string"),
    ),
    (
        [{"FIELD_NAME": "UF_CRM_X", "USER_TYPE_ID": "integer", "MULTIPLE": "Y"}],
        UserField("UF_CRM_X", "integer", multiple=True),
    ),
    (
        {
            "0": {
                "FIELD_NAME": "UF_CRM_X",
                "USER_TYPE_ID": "enumeration",
                "LIST": [{"ID": "59", "XML_ID": "active"}, {"ID": 60, "XML_ID": "absent"}, {"ID": "61"}],
            }
        },
        UserField("UF_CRM_X", "enumeration", options={"active": "59", "absent": "60"}),
    ),
]


@pytest.mark.parametrize(("listed", "expected"), LISTED)
def test_a_users_field_is_read(listed: object, expected: UserField | None) -> None:
    assert userfields.read(listed, "UF_CRM_X") == expected


@pytest.mark.parametrize(("value", "option"), [("59", "active"), (60, "absent"), ("61", ""), (None, "")])
def test_which_option_is_chosen(value: object, option: str) -> None:
    field = UserField("UF_CRM_X", "enumeration", options={"active": "59", "absent": "60"})
    assert field.option_of(value) == option


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


@pytest.fixture
async def api(rest: Rest) -> AsyncIterator[client.PortalApi]:
    async with transport.Transport() as http:
        yield portal_api(rest, http, rest.admin.access_token)


def portal_api(rest: Rest, http: transport.Transport, token: str) -> client.PortalApi:
    settings = client.ClientSettings(sandbox=True)
    caller = client.Bitrix24Client(http, limiter.LocalLimiter(), settings)
    endpoint = rest.sandbox.portal_url(sandbox_portal.DOMAIN)
    return client.PortalApi(caller, "m1", client.FixedToken(client.Token(token, 0, endpoint)))


async def run(api: client.PortalApi, *commands: batch.Command) -> list[Any]:
    results = (await api.batch(commands, priority=VERIFICATION)).results
    assert [result.error for result in results] == [None] * len(commands)
    return [result.value for result in results]


async def test_a_field_is_made_read_and_written_by_its_option(rest: Rest, api: client.PortalApi) -> None:
    asked = userfields.list_command(EntityType.CONTACT, REACH.name)
    before, _, after = await run(api, asked, userfields.add_command(EntityType.CONTACT, REACH), asked)
    assert userfields.read(before, REACH.name) is None
    field = userfields.read(after, REACH.name)
    assert field is not None
    assert (field.type, field.multiple, list(field.options)) == ("enumeration", False, ["active", "absent"])
    (kept,) = rest.portal.crm.fields[Kind.CONTACT].values()
    assert kept.labels["LIST_FILTER_LABEL"] == {"ru": "Доступность", "en": "Reachability"}
    assert [item.value for item in kept.items] == ["Да & yes", "Нет"]

    rest.portal.crm.add(Kind.CONTACT, {}, phones=["+71"], by=1, now=0)
    await run(api, crm.update_command(EntityType.CONTACT, 1, {REACH.name: field.options["absent"]}))
    contact = await crm.get(api, EntityType.CONTACT, 1, priority=VERIFICATION)
    assert contact is not None
    assert field.option_of(contact.fields[REACH.name]) == "absent"
    await run(api, crm.update_command(EntityType.CONTACT, 1, {REACH.name: ""}))
    contact = await crm.get(api, EntityType.CONTACT, 1, priority=VERIFICATION)
    assert contact is not None
    assert contact.text(REACH.name) == ""


async def test_a_second_time_the_portal_refuses_in_its_own_words(api: client.PortalApi) -> None:
    adding = userfields.add_command(EntityType.LEAD, REACH)
    await run(api, adding)
    (result,) = (await api.batch([adding], priority=VERIFICATION)).results
    assert type(result.error) is errors.PortalRefused
    assert result.error.description == "Field UF_CRM_REACH for object CRM_LEAD already exists."
    assert "already exists" not in result.error.sentence


async def test_all_are_read_by_page(rest: Rest, api: client.PortalApi) -> None:
    for number in range(120):
        source = "CALL" if number % 2 else "WEB"
        rest.portal.crm.add(Kind.LEAD, {"SOURCE_ID": source}, phones=[f"+7{number}", "8"], by=1, now=0)
    seen: list[Entity] = []
    after, last = 0, False
    while not last:
        where = {"SOURCE_ID": "CALL"}
        page = await crm.page(
            api, EntityType.LEAD, priority=VERIFICATION, after=after, select=["SOURCE_ID"], where=where
        )
        seen += page.entities
        after, last = page.after, page.last
    assert [entity.entity_id for entity in seen] == list(range(2, 121, 2))
    assert seen[0] == Entity(2, ("+71", "8"), {"SOURCE_ID": "CALL"})
    assert rest.portal.seen.methods["crm.lead.list"] == 2


async def test_what_is_gone_is_told_from_what_is_refused(rest: Rest, api: client.PortalApi) -> None:
    commands = [
        crm.get_command(EntityType.CONTACT, 99),
        crm.update_command(EntityType.CONTACT, 99, {"NAME": "x"}),
        batch.Command("crm.contact.update", {"id": 99, "fields": "nonsense"}),
        batch.Command("crm.contact.get"),
        batch.Command("crm.no.such"),
    ]
    results = (await api.batch(commands, priority=VERIFICATION)).results
    assert [crm.is_gone(result.error) for result in results] == [True, True, True, False, False]
    assert not crm.is_gone(None)
    assert await crm.get(api, EntityType.CONTACT, 99, priority=VERIFICATION) is None
    rest.application.settings.scope = []
    with pytest.raises(errors.InsufficientScope):
        await crm.get(api, EntityType.CONTACT, 99, priority=VERIFICATION)


async def test_who_has_a_phone(rest: Rest, api: client.PortalApi) -> None:
    for kind in (Kind.CONTACT, Kind.CONTACT, Kind.COMPANY):
        rest.portal.crm.add(kind, {}, phones=["8 (999) 000-00-01"], by=1, now=0)
    results = await run(api, *(crm.find_command(phone) for phone in ("+79990000001", "+79990000002")))
    assert [crm.read_found(result) for result in results] == [
        {EntityType.CONTACT: (1, 2), EntityType.COMPANY: (1,)},
        {},
    ]


async def test_an_employee_makes_no_fields(rest: Rest) -> None:
    async with transport.Transport() as http:
        api = portal_api(rest, http, rest.pair(EMPLOYEE).access_token)
        adding = userfields.add_command(EntityType.LEAD, CHECKED)
        (result,) = (await api.batch([adding], priority=VERIFICATION)).results
    assert result.error is not None
    assert (result.error.rest_code, result.error.description) == ("", "Access denied.")
