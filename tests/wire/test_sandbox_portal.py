"""The portal stand-in: its methods and their errors, as documented."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.wire import sandbox_portal
from tests.wire.sandbox_portal import ADMIN, DOMAIN, EMPLOYEE, HANDLER, SENDER, STATUS, Rest, refused


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


INVALID = "ERROR_SENDER_VALIDATION_FAILURE"
SENDER_CALLS = [
    # method after `messageservice.sender.`, parameters, status, error or result; "smsc" is registered
    ("list", {}, 200, ["smsc"]),
    ("add", SENDER | {"CODE": "Other.Code_1-2"}, 200, True),
    ("add", {"code": "c", "type": "SMS", "handler": HANDLER, "name": {"RU": "Имя"}}, 200, True),
    ("add", {}, 400, (INVALID, "Empty data!")),
    ("add", SENDER | {"CODE": ""}, 400, (INVALID, "Empty sender code!")),
    ("add", SENDER | {"CODE": "кириллица"}, 400, (INVALID, "Wrong sender code!")),
    (
        "add",
        SENDER | {"HANDLER": "https://localhost/x"},
        400,
        ("ERROR_WRONG_HANDLER_URL", "Wrong handler URL"),
    ),
    (
        "add",
        SENDER | {"HANDLER": "ftp://example.com/x"},
        400,
        ("ERROR_UNSUPPORTED_PROTOCOL", "Unsupported handler protocol"),
    ),
    ("add", SENDER | {"NAME": ""}, 400, (INVALID, "Empty sender NAME!")),
    ("add", SENDER | {"TYPE": ""}, 400, (INVALID, "Empty sender message TYPE!")),
    ("add", SENDER | {"TYPE": "sms"}, 400, (INVALID, "Unknown sender message TYPE!")),
    ("add", SENDER, 400, ("ERROR_SENDER_ALREADY_INSTALLED", "Sender already installed!")),
    ("add", SENDER | {"CODE": "c" * 129}, 400, ("ERROR_SENDER_ADD_FAILURE", "Sender save error!")),
    ("update", SENDER | {"TYPE": "ignored"}, 200, True),
    ("update", {"CODE": ""}, 400, ("ERROR_SENDER_CODE_REQUIRED", "CODE is required!")),
    (
        "update",
        {"CODE": "smsc", "TYPE": "SMS"},
        400,
        ("ERROR_SENDER_OTHER_PARAMS_REQUIRED", "At least one other parameter is required!"),
    ),
    ("update", {"CODE": "nope", "NAME": "x"}, 400, ("ERROR_SENDER_NOT_FOUND", "Sender not found!")),
    (
        "update",
        {"CODE": "smsc", "NAME": "x" * 501},
        400,
        ("ERROR_SENDER_UPDATE_FAILURE", "Sender update error!"),
    ),
    ("delete", {"CODE": "smsc"}, 200, True),
    ("delete", {"CODE": "nope"}, 400, ("ERROR_SENDER_NOT_FOUND", "Sender not found!")),
    ("delete", {}, 400, (INVALID, "Empty sender code!")),
]


@pytest.mark.parametrize(("method", "parameters", "status", "answer"), SENDER_CALLS)
async def test_senders(rest: Rest, method: str, parameters: dict[str, Any], status: int, answer: Any) -> None:
    assert (await rest.call("messageservice.sender.add", SENDER))[0] == 200
    got = await rest.call(f"messageservice.sender.{method}", parameters)
    if status == 200:
        assert (got[0], got[1]["result"]) == (200, answer)
    else:
        assert got == (status, refused(*answer))


@pytest.mark.parametrize("method", ["add", "update", "delete", "list"])
async def test_senders_are_for_administrators(rest: Rest, method: str) -> None:
    token = rest.pair(EMPLOYEE).access_token
    got = await rest.call(f"messageservice.sender.{method}", SENDER, token=token)
    assert got == (403, refused("ACCESS_DENIED", "Access denied!"))


async def test_a_description_of_another_kind_than_the_name_is_lost(rest: Rest) -> None:
    await rest.call("messageservice.sender.add", SENDER | {"DESCRIPTION": {"ru": "Описание"}})
    assert rest.application.senders["smsc"].description is None


NOT_FOUND = ("ERROR_MESSAGE_NOT_FOUND", "Message not found!")
STATUS_CALLS = [
    # parameters, user, status, error or result; author of m1 is the employee
    ({}, ADMIN, 200, True),
    ({}, EMPLOYEE, 200, True),
    ({"MESSAGE_ID": "m2"}, EMPLOYEE, 403, ("ACCESS_DENIED", "Access denied!")),
    ({"CODE": "another"}, ADMIN, 200, True),  # the code is ignored by the search
    ({"CODE": ""}, ADMIN, 400, (INVALID, "Empty sender code!")),
    ({"MESSAGE_ID": ""}, ADMIN, 400, NOT_FOUND),
    ({"MESSAGE_ID": "", "STATUS": "read"}, ADMIN, 400, NOT_FOUND),
    ({"MESSAGE_ID": "unknown"}, EMPLOYEE, 400, NOT_FOUND),
    ({"STATUS": "read"}, ADMIN, 400, ("ERROR_MESSAGE_STATUS_INCORRECT", "Message status incorrect!")),
    ({"STATUS": "Delivered"}, ADMIN, 400, ("ERROR_MESSAGE_STATUS_INCORRECT", "Message status incorrect!")),
]


@pytest.mark.parametrize(("parameters", "user_id", "status", "answer"), STATUS_CALLS)
async def test_status_update(
    rest: Rest, parameters: dict[str, Any], user_id: int, status: int, answer: Any
) -> None:
    rest.row("m1", author_id=EMPLOYEE)
    rest.row("m2", author_id=ADMIN)
    given = {"CODE": "smsc", "MESSAGE_ID": "m1", "STATUS": "delivered"} | parameters
    got = await rest.call(STATUS, given, token=rest.pair(user_id).access_token)
    if status == 200:
        assert (got[0], got[1]["result"]) == (200, answer)
        assert rest.portal.rows["m1"].status == "delivered"
    else:
        assert got == (status, refused(*answer))
        assert rest.portal.rows["m1"].status == "sent"


async def test_statuses_go_backwards_and_rows_are_forgotten_after_fourteen_days(rest: Rest) -> None:
    rest.row("m1")
    update = {"CODE": "smsc", "MESSAGE_ID": "m1"}
    for status in ("delivered", "sent", "sent", "failed"):
        assert (await rest.call(STATUS, update | {"STATUS": status}))[0] == 200
    row = rest.portal.rows["m1"]
    assert [(status, by) for _, status, by in row.history] == [
        ("sent", "portal"),
        ("delivered", "app"),
        ("sent", "app"),
        ("failed", "app"),
    ]
    assert row.writes == 4
    rest.sandbox.clock.advance(14 * 86400 + 1)
    got = await rest.call(STATUS, update | {"STATUS": "sent"}, token=rest.pair(ADMIN).access_token)
    assert got == (400, refused(*NOT_FOUND))


async def test_status_get_wants_the_internal_number(rest: Rest) -> None:
    rest.row("m1")
    got = await rest.call("messageservice.message.status.get", {"MESSAGE_ID": 1})
    assert got[1]["result"] == "Sent"
    assert await rest.call("messageservice.message.status.get", {"MESSAGE_ID": "m1"}) == (
        400,
        refused(*NOT_FOUND),
    )


async def test_every_answer_has_its_time_and_a_suffix_or_a_form_changes_nothing(rest: Rest) -> None:
    url = rest.sandbox.portal_url(DOMAIN) + "user.admin.json"
    async with rest.session.post(url, data={"auth": rest.admin.access_token}) as response:
        answer = await response.json()
    assert answer["result"] is True
    assert set(answer["time"]) == {
        *("start", "finish", "duration", "processing", "date_start", "date_finish"),
        *("operating_reset_at", "operating"),
    }
    assert answer["time"]["date_start"].endswith("+03:00")


SMALL_CALLS = [
    ("app.info", "INSTALLED", True),
    ("profile", "ADMIN", True),
    ("user.current", "ID", "1"),
]


@pytest.mark.parametrize(("method", "key", "value"), SMALL_CALLS)
async def test_small_methods(rest: Rest, method: str, key: str, value: Any) -> None:
    assert (await rest.call(method))[1]["result"][key] == value


async def test_scope_and_method_get(rest: Rest) -> None:
    assert (await rest.call("scope"))[1]["result"] == ["crm", "bizproc", "messageservice", "placement"]
    got = await rest.call("method.get", {"name": STATUS})
    assert got[1]["result"] == {"isExisting": True, "isAvailable": True}
    got = await rest.call("method.get", {"name": "no.such"})
    assert got[1]["result"] == {"isExisting": False, "isAvailable": False}


async def test_events_are_bound_listed_and_unbound(rest: Rest) -> None:
    bound = {"event": "OnAppUninstall", "handler": HANDLER}
    assert (await rest.call("event.bind", bound))[1]["result"] is True
    assert (await rest.call("event.bind", bound))[0] == 400
    listed = (await rest.call("event.get"))[1]["result"]
    assert listed == [{"event": "ONAPPUNINSTALL", "handler": HANDLER, "auth_type": "0", "offline": "0"}]
    assert (await rest.call("event.unbind", bound))[1]["result"] == {"count": 1}
    assert (await rest.call("event.get"))[1]["result"] == []
