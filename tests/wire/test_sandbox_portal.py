"""The Bitrix24 stand-in: methods, errors, batch, limits and tokens as `facts` says."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.portal import Portal
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import ApplicationSettings, PortalSettings, SandboxSettings
from smsbridge.sandbox.tokens import Grant, Pair

DOMAIN = "example.bitrix24.ru"
ADMIN, EMPLOYEE = 1, 7
CLIENT, SECRET = "local.1", "the-secret"
HANDLER = "https://sms.example.com/handler?key=k"
SENDER = {"CODE": "smsc", "TYPE": "SMS", "HANDLER": HANDLER, "NAME": "SMSC"}
STATUS = "messageservice.message.status.update"


class Rest:
    """The stand-in and an installed application that calls it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.application = self.portal.applications[CLIENT]
        self.application.present = self.application.installed = True
        self.admin = self.pair(ADMIN)

    @property
    def portal(self) -> Portal:
        return next(iter(self.sandbox.portals.by_domain.values()))

    def pair(self, user_id: int) -> Pair:
        granted = Grant(CLIENT, self.portal.member_id, user_id)
        return self.sandbox.portals.tokens.issue(granted, now=self.sandbox.clock.now(), seconds=3600)

    def row(self, message_id: str, *, author_id: int = 0) -> None:
        now = self.sandbox.clock.now()
        row = self.portal.new_row(
            message_id=message_id, phone="+79990000001", origin="card", author_id=author_id, now=now
        )
        self.portal.insert(row, status="sent", now=now)

    async def call(
        self, method: str, parameters: dict[str, Any] | None = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        body = {"auth": self.admin.access_token if token is None else token} | (parameters or {})
        url = self.sandbox.portal_url(self.portal.domain) + method
        async with self.session.post(url, json=body, allow_redirects=False) as response:
            return response.status, await response.json()

    async def batch(self, commands: Any, **more: Any) -> Any:
        status, answer = await self.call("batch", {"cmd": commands} | more)
        assert status == 200
        return answer["result"]

    async def token(self, verb: str = "GET", **changes: str) -> tuple[int, Any]:
        query = {
            "grant_type": "refresh_token",
            "client_id": CLIENT,
            "client_secret": SECRET,
            "refresh_token": self.admin.refresh_token,
        }
        url = self.sandbox.oauth_url + "/oauth/token/"
        # aiohttp repeats a GET by itself when its connection is reset; a POST it does not.
        async with self.session.request(verb, url, params=query | changes) as response:
            return response.status, await response.json()


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    application = ApplicationSettings(client_id=CLIENT, client_secret=SECRET)
    settings = SandboxSettings(portals=[PortalSettings(domain=DOMAIN, applications=[application])])
    async with Sandbox.running(settings) as sandbox, aiohttp.ClientSession() as session:
        yield Rest(sandbox, session)


def refused(error: str, description: str) -> dict[str, str]:
    return {"error": error, "error_description": description}


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


def update_command(message_id: str, status: str = "delivered") -> str:
    return f"{STATUS}?CODE=smsc&MESSAGE_ID={message_id}&STATUS={status}"


async def test_batch_is_200_with_a_result_or_an_error_for_each_command(rest: Rest) -> None:
    rest.row("m1")
    result = await rest.batch({"m_1": update_command("m1"), "m_2": update_command("none")}, halt=0)
    assert result["result"] == {"m_1": True}
    assert result["result_error"] == {"m_2": refused(*NOT_FOUND)}
    assert (result["result_total"], result["result_next"]) == ([], [])
    assert set(result["result_time"]) == {"m_1"}
    assert result["result_time"]["m_1"]["operating"] == 0.02


BATCHES = [
    # commands, more, result, result_error
    ({}, {}, [], []),
    ({"a": "user.admin"}, {}, {"a": True}, []),
    ({"0": "user.admin", "1": "user.admin"}, {}, [True, True], []),  # numeric keys make a list
    (["user.admin", "no.such"], {}, [True], {"1": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")}),
    ({"1": "user.admin"}, {}, {"1": True}, []),
    (
        {"a": "batch?cmd[x]=user.admin"},
        {},
        [],
        {"a": refused("ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")},
    ),
    (
        {"a": "no.such", "b": "user.admin"},
        {"halt": "false"},  # the string is true
        [],
        {"a": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")},
    ),
    (
        {"a": "no.such", "b": "user.admin"},
        {"halt": False},
        {"b": True},
        {"a": refused("ERROR_METHOD_NOT_FOUND", "Method not found!")},
    ),
]


@pytest.mark.parametrize(("commands", "more", "result", "errors"), BATCHES)
async def test_batch_shapes(
    rest: Rest, commands: Any, more: dict[str, Any], result: Any, errors: Any
) -> None:
    answer = await rest.batch(commands, **more)
    assert (answer["result"], answer["result_error"]) == (result, errors)


async def test_the_fifty_first_command_fails_alone(rest: Rest) -> None:
    answer = await rest.batch({f"m_{n}": "user.admin" for n in range(51)})
    assert len(answer["result"]) == 50
    assert answer["result_error"] == {
        "m_50": refused("ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    }


async def test_batch_values_are_decoded_once_from_json_and_twice_from_a_form(rest: Rest) -> None:
    name = "10% & + #1? Имя"
    command = f"messageservice.sender.add?CODE={{}}&TYPE=SMS&HANDLER={quote(HANDLER, safe='')}&NAME="
    await rest.batch({"a": command.format("once") + quote(name, safe="")})
    form = {
        "cmd[a]": command.format("form") + quote(name, safe=""),
        "auth": rest.admin.access_token,
    }
    async with rest.session.post(rest.sandbox.portal_url(DOMAIN) + "batch", data=form) as response:
        assert (await response.json())["result"]["result"] == {"a": True}
    assert {code: sender.name for code, sender in rest.application.senders.items()} == {
        "once": name,
        "form": name,
    }
    await rest.batch({"a": command.format("cut") + "before#after"})
    assert rest.application.senders["cut"].name == "before"


async def test_batch_fills_in_earlier_results(rest: Rest) -> None:
    commands = {
        "me": "user.current",
        "bind": f"event.bind?EVENT=ONAPPUPDATE&HANDLER={quote(HANDLER, safe='')}%26u%3D$result[me][ID]",
    }
    assert (await rest.batch(commands))["result"]["bind"] is True
    assert rest.application.bindings[0]["handler"] == HANDLER + "&u=1"


async def test_fifty_requests_then_two_a_second(rest: Rest) -> None:
    too_many = (503, refused("QUERY_LIMIT_EXCEEDED", "Too many requests"))
    portal = rest.portal
    for _ in range(50):
        assert portal.requests.admit("127.0.0.1", rest.sandbox.clock.now())
    assert await rest.call("user.admin") == too_many
    rest.sandbox.clock.advance(1)
    statuses = [(await rest.call("user.admin"))[0] for _ in range(3)]
    assert statuses == [200, 200, 503]
    assert (portal.seen.status_503, portal.seen.errors["QUERY_LIMIT_EXCEEDED"]) == (2, 2)


async def test_operating_time_stops_one_method_until_it_leaves_the_window(rest: Rest) -> None:
    limit = {"enabled": True, "limit_seconds": 0.04, "default_cost_ms": 0}
    changed = PortalSettings.model_validate(rest.portal.settings.model_dump() | {"operating": limit})
    rest.portal.reconfigure(changed)
    rest.row("m1")
    update = {"CODE": "smsc", "MESSAGE_ID": "m1", "STATUS": "delivered"}
    spent = [(await rest.call(STATUS, update))[1]["time"]["operating"] for _ in range(2)]
    assert spent == [0.02, 0.04]
    over = refused("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")
    assert await rest.call(STATUS, update) == (429, over)
    answer = await rest.batch({"a": update_command("m1"), "b": "user.admin"})
    assert (answer["result"], answer["result_error"]) == ({"b": True}, {"a": over})
    reset_at = rest.portal.operating.reset_at(CLIENT, STATUS, rest.sandbox.clock.now())
    rest.sandbox.clock.advance(reset_at - rest.sandbox.clock.now())
    assert (await rest.call(STATUS, update))[0] == 200


TOKENS = [
    ("", 401, ("NO_AUTH_FOUND", "Wrong authorization data")),
    ("unknown", 401, ("invalid_token", "Unable to get application by token")),
]


@pytest.mark.parametrize(("token", "status", "answer"), TOKENS)
async def test_bad_tokens(rest: Rest, token: str, status: int, answer: tuple[str, str]) -> None:
    assert await rest.call("user.admin", token=token) == (status, refused(*answer))


EXPIRED = (401, refused("expired_token", "The access token provided has expired."))


async def test_access_tokens_live_an_hour(rest: Rest) -> None:
    rest.sandbox.clock.advance(3590)
    assert (await rest.call("user.admin"))[0] == 200
    rest.sandbox.clock.advance(10)
    assert await rest.call("user.admin") == EXPIRED


async def test_a_refresh_gives_a_pair_and_ends_the_old_one(rest: Rest) -> None:
    old = rest.admin
    status, answer = await rest.token()
    assert status == 200
    new = {name: answer.pop(name) for name in ("access_token", "refresh_token", "expires")}
    assert answer == {
        "expires_in": 3600,
        "client_endpoint": rest.sandbox.portal_url(DOMAIN),
        "server_endpoint": rest.sandbox.oauth_url + "/rest/",
        "domain": "oauth.bitrix.info",
        "member_id": rest.portal.member_id,
        "scope": "crm,bizproc,messageservice,placement",
        "status": "L",
        "user_id": ADMIN,
    }
    assert await rest.call("user.admin", token=old.access_token) == EXPIRED
    assert (await rest.call("user.admin", token=new["access_token"]))[0] == 200


async def test_a_refresh_token_used_twice_kills_its_chain(rest: Rest) -> None:
    new = (await rest.token())[1]
    assert (await rest.token())[1]["error"] == "invalid_grant"
    assert (await rest.token(refresh_token=new["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await rest.call("user.admin", token=new["access_token"]))[1]["error"] == "invalid_token"
    assert rest.sandbox.portals.tokens.results == {"ok": 1, "invalid_grant": 2}


REFRESHES = [
    ({"client_secret": "wrong"}, 401, "invalid_client"),
    ({"client_id": "nobody"}, 401, "invalid_client"),
    ({"refresh_token": "unknown"}, 400, "invalid_grant"),
    ({"grant_type": "password"}, 400, "invalid_request"),
]


@pytest.mark.parametrize(("changes", "status", "error"), REFRESHES)
async def test_refused_refreshes(rest: Rest, changes: dict[str, str], status: int, error: str) -> None:
    got = await rest.token(**changes)
    assert (got[0], got[1]["error"]) == (status, error)


async def test_app_info_at_the_oauth_host_proves_a_token(rest: Rest) -> None:
    url = rest.sandbox.oauth_url + "/rest/app.info"
    async with rest.session.get(url, params={"auth": rest.admin.access_token}) as response:
        result = (await response.json())["result"]
    assert (result["client_id"], result["user_id"]) == (CLIENT, ADMIN)
    assert result["install"]["member_id"] == rest.portal.member_id
    assert result["install"]["client_endpoint"] == rest.sandbox.portal_url(DOMAIN)
    async with rest.session.get(url, params={"auth": "unknown"}) as response:
        assert (response.status, (await response.json())["error"]) == (401, "invalid_token")


async def test_a_renamed_portal_answers_302_at_its_old_domain(rest: Rest) -> None:
    old = rest.sandbox.portal_url(DOMAIN)
    rest.sandbox.portals.rename(rest.portal, "renamed.bitrix24.ru")
    async with rest.session.post(old + "user.admin", json={}, allow_redirects=False) as response:
        new = rest.sandbox.portal_url("renamed.bitrix24.ru")
        assert (response.status, response.headers["Location"]) == (302, new + "user.admin")
    assert (await rest.call("user.admin"))[0] == 200


async def test_an_application_that_was_removed_is_not_installed(rest: Rest) -> None:
    rest.application.present = rest.application.installed = False
    assert await rest.call("user.admin") == (401, refused("NOT_INSTALLED", "Application not installed"))
    assert (await rest.token())[1]["error"] == "invalid_client"


async def test_a_scope_that_was_not_granted(rest: Rest) -> None:
    rest.application.settings.scope = ["crm"]
    status, answer = await rest.call("messageservice.sender.list")
    assert (status, answer["error"]) == (403, "insufficient_scope")


FAULTS = [
    (FaultKind.QUERY_LIMIT, 503, "QUERY_LIMIT_EXCEEDED"),
    (FaultKind.OVERLOAD, 503, "OVERLOAD_LIMIT"),
    (FaultKind.OPERATION_TIME_LIMIT, 429, "OPERATION_TIME_LIMIT"),
    (FaultKind.NOT_INSTALLED, 401, "NOT_INSTALLED"),
    (FaultKind.APPLICATION_NOT_FOUND, 401, "APPLICATION_NOT_FOUND"),
    (FaultKind.PAYMENT_REQUIRED, 401, "PAYMENT_REQUIRED"),
    (FaultKind.INSUFFICIENT_SCOPE, 403, "insufficient_scope"),
    (FaultKind.EXPIRED_TOKEN, 401, "expired_token"),
    (FaultKind.PORTAL_DELETED, 410, "PORTAL_DELETED"),
    (FaultKind.COMMAND_ERROR, 400, "ERROR_MESSAGE_NOT_FOUND"),
]


@pytest.mark.parametrize(("kind", "status", "error"), FAULTS)
async def test_faults_strike_as_often_as_ordered(
    rest: Rest, kind: FaultKind, status: int, error: str
) -> None:
    rest.portal.faults.add(Fault(kind=kind, count=1))
    got = await rest.call("user.admin")
    assert (got[0], got[1]["error"]) == (status, error)
    assert (await rest.call("user.admin"))[0] == 200


async def test_an_answer_can_be_lost_after_the_work_was_done(rest: Rest) -> None:
    rest.portal.faults.add(Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1, call="batch"))
    rest.row("m1")
    with pytest.raises(aiohttp.ClientError):
        await rest.batch({"a": update_command("m1")})
    assert rest.portal.rows["m1"].status == "delivered"
    rest.sandbox.oauth.faults.add(Fault(kind=FaultKind.RESET_AFTER_ACCEPT, count=1))
    with pytest.raises(aiohttp.ClientError):
        await rest.token("POST")
    assert (await rest.token())[1]["error"] == "invalid_grant"  # the lost answer had the only good token


async def test_oauth_faults(rest: Rest) -> None:
    rest.sandbox.oauth.faults.add(Fault(kind=FaultKind.WRONG_CLIENT, count=1))
    status, answer = await rest.token()
    assert (status, answer["error"]) == (200, "wrong_client")
    assert (await rest.token())[0] == 200
