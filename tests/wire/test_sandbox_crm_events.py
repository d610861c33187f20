"""The sandbox's CRM from outside: entities made and read over the control API, handlers told of changes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from smsbridge.core import errors
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.orders import EntitiesOrder, EntityOrder, PhoneRange, UninstallOrder
from tests.wire import sandbox_world
from tests.wire.sandbox_world import DOMAIN, World

EVENTS = ("ONCRMLEADADD", "ONCRMCONTACTADD", "ONCRMCONTACTUPDATE")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with sandbox_world.living() as world:
        yield world


async def bind(world: World, *events: str) -> None:
    await world.ready()
    for event in events:
        bound = await world.rest("event.bind", event=event, handler=world.listener.url + "/events")
        assert bound["result"] is True


async def told(world: World, count: int) -> dict[str, dict[str, int]]:
    """Once `count` posts are over."""
    async with asyncio.timeout(10):
        while True:
            counts = await world.client.crm_events(DOMAIN)
            if sum(sum(by_status.values()) for by_status in counts.values()) >= count:
                return counts
            await asyncio.sleep(0.01)


async def make(world: World, kind: str, *phones: str, **more: Any) -> int:
    order = EntitiesOrder(phones=[list(phones)], **more)
    (entity_id,) = await world.client.create_entities(DOMAIN, kind, order)
    return entity_id


async def test_a_new_lead_is_told_by_its_id(world: World) -> None:
    await bind(world, *EVENTS)
    lead = await make(world, "lead", "+79990000001", fields={"SOURCE_ID": "CALL"})
    assert await told(world, 1) == {"ONCRMLEADADD": {"200": 1}}
    assert world.listener.last.startswith("event=ONCRMLEADADD&event_handler_id=1&")
    assert world.listener.field("data[FIELDS][ID]") == str(lead)
    assert world.listener.field("auth[application_token]")
    assert "access_token" not in world.listener.last  # telephony made it


async def test_what_a_person_did_brings_a_token(world: World) -> None:
    await bind(world, *EVENTS)
    await make(world, "contact", "+79990000001", user_id=7)
    await told(world, 1)
    assert world.listener.field("auth[user_id]") == "7"
    token = world.listener.field("auth[access_token]")
    world.token = token
    assert (await world.rest("crm.contact.get", id=1))["result"]["NAME"] is None


async def test_an_update_is_told_where_something_changed(world: World) -> None:
    await bind(world, *EVENTS)
    contact = await make(world, "contact", "+79990000001", quiet=True)
    for name in ("A", "A", "B"):
        await world.rest("crm.contact.update", id=contact, fields={"NAME": name})
    await world.client.change_entity(DOMAIN, "contact", contact, EntityOrder(fields={"NAME": "B"}))
    await world.client.change_entity(DOMAIN, "contact", contact, EntityOrder(fields={"NAME": "C"}))
    assert await told(world, 3) == {"ONCRMCONTACTUPDATE": {"200": 3}}
    await asyncio.sleep(0.1)
    assert len([post for post in world.listener.posts if post[0] == "/events"]) == 3


async def test_an_events_own_token_goes_round_three_times(world: World) -> None:
    await bind(world, "ONCRMCONTACTUPDATE")
    contact = await make(world, "contact", "+79990000001")
    for number in range(1, 4):
        changed = await world.rest("crm.contact.update", id=contact, fields={"NAME": str(number)})
        assert changed["result"] is True
        await told(world, number)
        world.token = world.listener.field("auth[access_token]")
    assert (await world.rest("crm.contact.update", id=contact, fields={"NAME": "last"}))["result"] is True
    await asyncio.sleep(0.1)
    assert await world.client.crm_events(DOMAIN) == {"ONCRMCONTACTUPDATE": {"200": 3}}


async def test_the_applications_own_token_has_no_such_guard(world: World) -> None:
    await bind(world, "ONCRMCONTACTUPDATE")
    contact = await make(world, "contact", "+79990000001")
    for number in range(6):
        await world.rest("crm.contact.update", id=contact, fields={"NAME": str(number)})
    assert await told(world, 6) == {"ONCRMCONTACTUPDATE": {"200": 6}}


async def test_a_storm_is_posted_lead_by_lead_and_never_again(world: World) -> None:
    await bind(world, *EVENTS)
    world.listener.status = 503
    order = EntitiesOrder(range=PhoneRange(count=300))
    ids = await world.client.create_entities(DOMAIN, "lead", order)
    assert ids == list(range(1, 301))
    assert await told(world, 300) == {"ONCRMLEADADD": {"503": 300}}


async def test_nobody_is_told_who_did_not_ask_or_is_not_there(world: World) -> None:
    await bind(world, "ONCRMLEADADD")
    await make(world, "contact", "+79990000001")
    await make(world, "lead", "+79990000001", quiet=True)
    await world.client.uninstall(DOMAIN, UninstallOrder())
    await make(world, "lead", "+79990000001")
    await asyncio.sleep(0.1)
    assert await world.client.crm_events(DOMAIN) == {}


async def test_an_unknown_event_is_not_bound(world: World) -> None:
    await world.ready()
    answer = await world.rest("event.bind", event="ONCRMTHING", handler=world.listener.url)
    assert answer["error"] == "ERROR_EVENT_NOT_FOUND"


async def test_entities_are_read_back_with_their_users_fields(world: World) -> None:
    await world.ready()
    reach = {
        "FIELD_NAME": "REACH",
        "USER_TYPE_ID": "enumeration",
        "LIST": [{"VALUE": "да", "XML_ID": "active"}],
    }
    region = {"FIELD_NAME": "REGION", "USER_TYPE_ID": "string"}
    for field in (reach, region):
        await world.rest("crm.contact.userfield.add", fields=field)
    await make(
        world,
        "contact",
        "+79990000001",
        "8 999 2",
        fields={"NAME": "A", "UF_CRM_REACH": "active", "UF_CRM_REGION": "Москва"},
    )
    await make(world, "contact")
    first, second = await world.client.entities(DOMAIN, "contact")
    assert (first.entity_id, first.phones) == (1, ["+79990000001", "8 999 2"])
    assert first.fields["NAME"] == "A"
    assert first.user_fields == {"UF_CRM_REACH": "active", "UF_CRM_REGION": "Москва"}
    assert (second.phones, second.user_fields) == ([], {})
    changed = await world.client.change_entity(
        DOMAIN, "contact", 2, EntityOrder(fields={"UF_CRM_REACH": "active", "PHONE": [{"VALUE": "+71"}]})
    )
    assert (changed.phones, changed.user_fields) == (["+71"], {"UF_CRM_REACH": "active"})
    await world.client.delete_entity(DOMAIN, "contact", 1)
    assert [item.entity_id for item in await world.client.entities(DOMAIN, "contact")] == [2]
    assert (await world.rest("crm.contact.get", id=1))["error_description"] == "Not found"


Mistake = Callable[[SandboxClient], Awaitable[object]]
ONE = EntitiesOrder(phones=[[]])
MISTAKES: list[tuple[Mistake, str]] = [
    (lambda c: c.create_entities("nowhere.ru", "lead", ONE), "domain: there is no portal with this domain"),
    (lambda c: c.create_entities(DOMAIN, "deal", ONE), "kind: must be lead, contact or company"),
    (
        lambda c: c.create_entities(DOMAIN, "lead", EntitiesOrder(phones=[[]], user_id=99)),
        "user_id: the portal has no such user",
    ),
    (lambda c: c.delete_entity(DOMAIN, "lead", 5), "id: the CRM has none with this id"),
]


@pytest.mark.parametrize(("mistake", "sentence"), MISTAKES)
async def test_a_wrong_order_is_refused_with_a_sentence(
    world: World, mistake: Mistake, sentence: str
) -> None:
    with pytest.raises(errors.InputError) as caught:
        await mistake(world.client)
    assert str(caught.value) == sentence
