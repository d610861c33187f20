"""Robots and activities as they go over the wire, their registration, and the answers to their steps."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from smsbridge.bitrix24 import batch, bizproc, client, errors, limiter, transport
from smsbridge.bitrix24.bizproc import Property, PropertyType, StepKind, StepSpec
from smsbridge.core import errors as core_errors
from smsbridge.sandbox.orders import RunOrder
from tests.wire import sandbox_portal, sandbox_world
from tests.wire.sandbox_portal import HANDLER, Rest
from tests.wire.sandbox_world import DOMAIN, World

CHECK = StepSpec(
    code="smsc.hlr",
    handler=HANDLER,
    name={"RU": "Проверить номер", "en": "Check number"},
    description="HLR",
    waits=True,
    user_id=1,
    properties={
        "phone": Property({"ru": "Телефон", "en": "Phone"}, required=True, default="{=Document:PHONE}"),
        "mode": Property("Mode", PropertyType.SELECT, options={"hlr": "HLR", "info": "Info"}),
    },
    returns={"reachability": Property("Reachability")},
    document_type=("crm", "CCrmDocumentLead", "LEAD"),
    only_for=(("crm", "CCrmDocumentLead"), ("crm", "CCrmDocumentDeal")),
)
SETTINGS: dict[str, Any] = {
    "HANDLER": HANDLER,
    "NAME": {"ru": "Проверить номер", "en": "Check number"},
    "AUTH_USER_ID": 1,
    "USE_SUBSCRIPTION": "Y",
    "PROPERTIES": {
        "phone": {
            "Name": {"ru": "Телефон", "en": "Phone"},
            "Type": "string",
            "Required": "Y",
            "Multiple": "N",
            "Default": "{=Document:PHONE}",
        },
        "mode": {
            "Name": "Mode",
            "Type": "select",
            "Required": "N",
            "Multiple": "N",
            "Options": {"hlr": "HLR", "info": "Info"},
        },
    },
    "RETURN_PROPERTIES": {
        "reachability": {"Name": "Reachability", "Type": "string", "Required": "N", "Multiple": "N"}
    },
    "DESCRIPTION": "HLR",
    "DOCUMENT_TYPE": ["crm", "CCrmDocumentLead", "LEAD"],
    "FILTER": {"INCLUDE": [["crm", "CCrmDocumentLead"], ["crm", "CCrmDocumentDeal"]]},
}
PLAIN = StepSpec(code="smsc.send", handler=HANDLER, name="Send", waits=False)
PLAIN_SETTINGS: dict[str, Any] = {
    "HANDLER": HANDLER,
    "NAME": "Send",
    "AUTH_USER_ID": 0,
    "USE_SUBSCRIPTION": "N",
    "PROPERTIES": {},
    "RETURN_PROPERTIES": {},
}
TOKENS = limiter.Priority.TOKENS

COMMANDS: list[tuple[batch.Command, str, dict[str, Any]]] = [
    (bizproc.list_command(StepKind.ROBOT), "bizproc.robot.list", {}),
    (bizproc.add_command(StepKind.ROBOT, CHECK), "bizproc.robot.add", {"CODE": "smsc.hlr", **SETTINGS}),
    (
        bizproc.add_command(StepKind.ACTIVITY, PLAIN),
        "bizproc.activity.add",
        {"CODE": "smsc.send", **PLAIN_SETTINGS},
    ),
    (
        bizproc.update_command(StepKind.ACTIVITY, CHECK),
        "bizproc.activity.update",
        {"CODE": "smsc.hlr", "FIELDS": SETTINGS},
    ),
    (bizproc.delete_command(StepKind.ROBOT, "smsc.hlr"), "bizproc.robot.delete", {"CODE": "smsc.hlr"}),
    (
        bizproc.answer_command("t|1", {"status": "delivered"}, log="done"),
        "bizproc.event.send",
        {"EVENT_TOKEN": "t|1", "RETURN_VALUES": {"status": "delivered"}, "LOG_MESSAGE": "done"},
    ),
    (
        bizproc.log_command("t|1", "queued"),
        "bizproc.activity.log",
        {"EVENT_TOKEN": "t|1", "LOG_MESSAGE": "queued"},
    ),
]


@pytest.mark.parametrize(("command", "method", "params"), COMMANDS)
def test_a_command(command: batch.Command, method: str, params: dict[str, Any]) -> None:
    assert (command.method, command.params) == (method, params)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"code": ""}, "code"),
    ({"code": "a b"}, "code"),
    ({"code": "a" * 129}, "code"),
    ({"name": ""}, "name"),
    ({"name": {"ru": ""}}, "name"),
    ({"name": {}}, "name"),
    ({"properties": {"1st": Property("x")}}, "properties.1st"),
    ({"returns": {"имя": Property("x")}}, "properties.имя"),
    ({"returns": {"a": Property("")}}, "name"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_what_the_portal_would_refuse_is_not_sent(change: dict[str, Any], field: str) -> None:
    with pytest.raises(core_errors.InputError) as caught:
        bizproc.add_command(StepKind.ROBOT, replace(CHECK, **change))
    assert caught.value.field == field


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


@pytest.fixture
async def api(rest: Rest) -> AsyncIterator[client.PortalApi]:
    async with transport.Transport() as http:
        yield portal_api(http, rest.sandbox.portal_url(sandbox_portal.DOMAIN), rest.admin.access_token)


def portal_api(http: transport.Transport, endpoint: str, token: str) -> client.PortalApi:
    caller = client.Bitrix24Client(http, limiter.LocalLimiter(), client.ClientSettings(sandbox=True))
    return client.PortalApi(caller, "m1", client.FixedToken(client.Token(token, 0, endpoint)))


async def told(api: client.PortalApi, *commands: batch.Command) -> list[errors.PortalError | None]:
    """What the portal refuses, command by command."""
    return [result.error for result in (await api.batch(commands, priority=TOKENS)).results]


@pytest.mark.parametrize("kind", list(StepKind))
async def test_it_is_added_then_updated_then_taken_away(
    rest: Rest, api: client.PortalApi, kind: StepKind
) -> None:
    changed = replace(CHECK, name="New", waits=False, properties={"number": Property("Number")})
    adding, updating = bizproc.add_command(kind, CHECK), bizproc.update_command(kind, changed)
    assert await told(api, adding, updating) == [None, None]
    kept = rest.application.activities["smsc.hlr"]
    assert (kept.robot, kept.name) == (kind is StepKind.ROBOT, "New")
    assert (kept.use_subscription, list(kept.properties)) == ("N", ["number"])
    deleting = bizproc.delete_command(kind, "smsc.hlr")
    done, missing = await told(api, deleting, deleting)
    assert done is None
    assert bizproc.is_missing(missing)


async def test_a_code_of_the_other_kind_is_an_error(api: client.PortalApi) -> None:
    first, second = await told(
        api, bizproc.add_command(StepKind.ROBOT, CHECK), bizproc.add_command(StepKind.ACTIVITY, CHECK)
    )
    assert first is None
    assert isinstance(second, errors.PortalRefused)
    assert second.rest_code == "ERROR_ACTIVITY_ALREADY_INSTALLED"


async def test_all_arrives_from_a_batch_as_well(rest: Rest, api: client.PortalApi) -> None:
    adding = bizproc.add_command(StepKind.ROBOT, CHECK)
    (added, listed) = (
        await api.batch([adding, bizproc.list_command(StepKind.ROBOT)], priority=TOKENS)
    ).results
    assert added.value is True
    assert bizproc.read_codes(listed.value) == ("smsc.hlr",)
    kept = rest.application.activities["smsc.hlr"]
    assert kept.properties["phone"] == {
        "NAME": {"ru": "Телефон", "en": "Phone"},
        "TYPE": "string",
        "REQUIRED": "Y",
        "MULTIPLE": "N",
        "DEFAULT": "{=Document:PHONE}",
    }
    assert kept.document_type == ["crm", "CCrmDocumentLead", "LEAD"]


async def test_an_answer_ends_a_step_once() -> None:
    async with sandbox_world.living() as world, transport.Transport() as http:
        api = await registered(world, http)
        step = await world.client.run(DOMAIN, RunOrder(code="smsc.hlr"))
        answers = [
            bizproc.log_command(step.token, "asked"),
            bizproc.answer_command(step.token, {"reachability": "active", "price": "0.5"}, log="done"),
            bizproc.answer_command(step.token, {"reachability": "absent"}),
            bizproc.answer_command("5a0d|A1|forged", {}),
        ]
        results = (await api.batch(answers, priority=limiter.Priority.ROBOTS)).results
        (kept,) = await world.client.steps(DOMAIN)
    assert [result.ok for result in results] == [True, True, True, False]
    assert [bizproc.is_over(result.error) for result in results] == [False, False, False, True]
    assert (kept.values, kept.log, kept.waits) == ({"reachability": "active"}, ["asked", "done"], False)


async def registered(world: World, http: transport.Transport) -> client.PortalApi:
    await world.ready()
    api = portal_api(http, world.sandbox.portal_url(DOMAIN), world.token)
    handler = world.listener.url + "/robots/smsc.hlr"
    assert await told(api, bizproc.add_command(StepKind.ROBOT, replace(CHECK, handler=handler))) == [None]
    return api


def test_a_missing_scope_is_no_ended_step() -> None:
    assert not bizproc.is_over(errors.InsufficientScope("x", rest_code="insufficient_scope"))
    assert not bizproc.is_over(errors.PortalAway("x", after_first_byte=True))
    assert not bizproc.is_over(None)
