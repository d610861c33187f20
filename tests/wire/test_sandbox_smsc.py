"""The SMSC stand-in answers, limits and calls back as `facts` says: exact requests, exact replies."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from aiohttp import web

from smsbridge.core import text
from smsbridge.sandbox.faults import Fault, FaultKind, StatusDown
from smsbridge.sandbox.server import Sandbox
from smsbridge.sandbox.settings import (
    AccountSettings,
    DuplicateScope,
    Profile,
    SandboxSettings,
    SmscSettings,
    Timing,
)

GUIDE = {"login": "guide", "psw": "secret-guide"}
HTTP = {"login": "http", "psw": "secret-http"}
ONE = {"phones": "79990000001", "mes": "Hello", "fmt": "3", "charset": "utf-8"}
TIMING = Timing(handover_seconds=10, delivery_seconds=100, jitter_seconds=0, read_seconds=1000)


class Handler:
    """A status handler that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.calls.put_nowait((request.method, request.rel_url.raw_query_string, await request.read()))
        return web.Response()

    async def form(self) -> dict[str, str]:
        _, _, body = await asyncio.wait_for(self.calls.get(), 5)
        return dict(parse_qsl(body.decode(), keep_blank_values=True))


class Smsc:
    """The stand-in and somebody who calls it."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session

    async def text(self, script: str, *parts: dict[str, str]) -> str:
        form = {name: value for part in parts for name, value in part.items()}
        async with self.session.post(f"{self.sandbox.smsc_url}/sys/{script}.php", data=form) as response:
            assert response.status == 200
            return (await response.read()).decode(response.charset or "utf-8")

    async def json(self, script: str, *parts: dict[str, str]) -> Any:
        form = {name: value for part in parts for name, value in part.items()}
        async with self.session.post(f"{self.sandbox.smsc_url}/sys/{script}.php", data=form) as response:
            return await response.json()

    async def known(self, account: dict[str, str], client_id: str, phone: str) -> int:
        answer = await self.json("status", account, {"id": client_id, "phone": phone, "fmt": "3"})
        return int(answer["status"])


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    accounts = [
        AccountSettings(login="guide", password="secret-guide", timing=TIMING),
        AccountSettings(login="http", password="secret-http", profile=Profile.HTTP, timing=TIMING),
    ]
    settings = SandboxSettings(accounts=accounts, smsc=SmscSettings(callback_connections=1))
    async with Sandbox.running(settings) as sandbox, aiohttp.ClientSession() as session:
        yield Smsc(sandbox, session)


@pytest.fixture
async def handler() -> AsyncIterator[Handler]:
    handler = Handler()
    application = web.Application()
    application.router.add_route("*", "/callback", handler.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    handler.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    yield handler
    await runner.cleanup()


def error(code: int, sentence: str, smsc_id: int | str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"error": sentence, "error_code": code}
    return answer if smsc_id is None else answer | {"id": smsc_id}


LONG = "я" * 71  # two segments
HUNDRED = ",".join(str(79990000100 + n) for n in range(100) if n < 80)
REJECTED_ID = {"id": "01J0CLIENT"}

SENDS = [
    # account, parameters over ONE, exact answer
    (HTTP, {}, {"id": 1, "cnt": 1}),
    (HTTP, {"id": "0"}, {"id": 1, "cnt": 1}),
    (HTTP, {"id": "2147483647"}, {"id": 2147483647, "cnt": 1}),
    (HTTP, {"id": "2147483648"}, {"id": "2147483648", "cnt": 1}),
    (HTTP, {"id": "01J0A.b_c-d"}, {"id": "01J0A.b_c-d", "cnt": 1}),
    (HTTP, {"cost": "2"}, {"id": 1, "cnt": 1, "cost": "4.00"}),
    (HTTP, {"cost": "3", "mes": LONG}, {"id": 1, "cnt": 2, "cost": "8.00", "balance": "999992.00"}),
    (HTTP, {"cost": "1", "mes": LONG}, {"cost": "8.00", "cnt": 2}),
    (HTTP, {"viber": "1", "cost": "2"}, {"id": 1, "cnt": 1, "cost": "2.30"}),
    (HTTP, {"hlr": "1", "cost": "2"}, {"id": 1, "cnt": 1, "cost": "0.50"}),
    (HTTP, {"viber": "1", "viber_timeout": "1"}, {"id": 1, "cnt": 1}),  # an unknown name is ignored
    (HTTP, {"valid": "00:01"}, {"id": 1, "cnt": 1}),
    (HTTP, {"valid": "24"}, {"id": 1, "cnt": 1}),
    (
        HTTP,
        {"op": "1", "cost": "2", "phones": "79990100001;+79990100193"},
        {
            "id": 1,
            "cnt": 2,
            "cost": "8.00",
            "phones": [
                {"phone": "79990100001", "mccmnc": "25001", "cost": "4.00"},
                {"phone": "79990100193", "mccmnc": "25002", "status": "23", "error": "253"},
            ],
        },
    ),
    (
        HTTP,
        {"op": "1", "phones": "89990100001,79990100001"},  # the same number twice, once to be repaired
        {
            "id": 1,
            "cnt": 2,
            "phones": [
                {"phone": "79990100001", "mccmnc": "25001", "cost": "4.00"},
                {"phone": "79990100001", "mccmnc": "25001", "status": "23", "error": "251"},
            ],
        },
    ),
    (
        HTTP,
        {"err": "1", "phones": "79990100001,79990100193"},
        {
            "id": 1,
            "cnt": 2,
            "phones": [{"phone": "79990100193", "mccmnc": "25002", "status": "23", "error": "253"}],
        },
    ),
    (GUIDE, {"phones": HUNDRED}, {"id": 1, "cnt": 80}),
    (GUIDE, {"cost": "3"}, {"id": 1, "cnt": 1}),  # the guide reports no price
    (GUIDE, {"viber": "1", "viber_timeout": "60"}, {"id": 1, "cnt": 1}),
    (
        GUIDE,
        {"op": "1", "id": "batch-1"},
        {"id": "batch-1", "cnt": 1, "phones": [{"phone": "79990000001", "mccmnc": "25001"}]},
    ),
    # errors
    (HTTP, {"mes": ""}, error(1, "parameters error")),
    (HTTP, {"phones": " , "}, error(1, "parameters error")),
    (HTTP, {"mes": "x" * 1001}, error(1, "parameters error")),
    (HTTP, {"id": "no spaces"}, error(1, "parameters error")),
    (HTTP, {"id": "x" * 41}, error(1, "parameters error")),
    (HTTP, {"cost": "4"}, error(1, "parameters error")),
    (HTTP, {"valid": "25"}, error(1, "parameters error")),
    (HTTP, {"valid": "00:00"}, error(1, "parameters error")),
    (HTTP, {"time": "tomorrow"}, error(5, "invalid date format")),
    (HTTP, {"phones": "123456"}, error(7, "invalid number", 1)),
    (HTTP, {"phones": "7999000000100001"}, error(7, "invalid number", 1)),
    (HTTP, {"phones": "abcdefghi"}, error(7, "invalid number", 1)),
    (HTTP, {"phones": "79990000001,79990000094"} | REJECTED_ID, error(7, "invalid number", "01J0CLIENT")),
    (HTTP, {"phones": "79990000095"} | REJECTED_ID, error(8, "can't to deliver", "01J0CLIENT")),
    (HTTP, {"phones": "79990000096"} | REJECTED_ID, error(6, "message is denied", "01J0CLIENT")),
    (HTTP, {"cost": "1", "phones": "79990000094"}, error(7, "invalid number")),
    (GUIDE, {"phones": ",".join(str(79990000000 + n) for n in range(101))}, error(1, "parameters error")),
    (GUIDE, {"list": "79990000001:text"}, error(1, "parameters error")),
    (GUIDE, {"hlr": "1"}, error(1, "parameters error")),
    (GUIDE, {"cost": "1"}, error(1, "parameters error")),
    (GUIDE, {"viber": "1", "viber_timeout": "59"}, error(1, "parameters error")),
    (GUIDE, {"viber": "1", "viber_timeout": "86401"}, error(1, "parameters error")),
    (HTTP | {"psw": "wrong"}, {}, error(2, "authorise error")),
    ({"login": "nobody", "psw": "x"}, {}, error(2, "authorise error")),
]


@pytest.mark.parametrize(("account", "parameters", "answer"), SENDS)
async def test_send_answers_exactly(
    smsc: Smsc, account: dict[str, str], parameters: dict[str, str], answer: dict[str, Any]
) -> None:
    assert await smsc.json("send", account, ONE, parameters) == answer


LINES = [
    # script, parameters, body
    ("send", {"fmt": "0"}, "OK - 1 SMS, ID - 1"),
    ("send", {"fmt": "1"}, "1,1"),
    ("send", {"fmt": "1", "cost": "2"}, "1,1,4.00"),
    ("send", {"fmt": "1", "cost": "3"}, "1,1,4.00,999996.00"),
    ("send", {"fmt": "1", "cost": "1"}, "4.00,1"),
    ("send", {"fmt": "0", "mes": ""}, "ERROR = 1 (parameters error)"),
    ("send", {"fmt": "1", "mes": ""}, "0,-1"),
    ("send", {"fmt": "0", "phones": "1"}, "ERROR = 7 (invalid number), ID - 1"),
    ("send", {"fmt": "1", "phones": "1", "id": "77"}, "77,-7"),
    (
        "send",
        {"fmt": "2", "mes": ""},
        "<result><error>parameters error</error><error_code>1</error_code></result>",
    ),
    ("balance", {"fmt": "0"}, "1000000.00"),
    ("balance", {"fmt": "3"}, '{"balance":"1000000.00"}'),
    ("balance", {"fmt": "3", "cur": "1"}, '{"balance":"1000000.00","currency":"RUR"}'),
    ("senders", {"fmt": "3", "get": "1"}, "[]"),
    ("status", {"fmt": "3", "id": "5", "phone": "79990000001"}, '{"status":-3}'),
    (
        "status",
        {"fmt": "3", "id": "138,", "phone": "89990000001,"},
        '[{"status":-3,"id":138,"phone":"89990000001"}]',
    ),
    (
        "info",
        {"fmt": "3", "get_operator": "1", "phone": "79990100001"},
        '{"phone":"79990100001","country":"Россия","operator":"MTS","region":"Москва","mcc":"250","mnc":"01"}',
    ),
    (
        "info",
        {"fmt": "3", "get_operator": "1", "phone": "123"},
        '{"error":"operator not found","error_code":3}',
    ),
]


@pytest.mark.parametrize(("script", "parameters", "body"), LINES)
async def test_bodies_are_exact_in_every_format(
    smsc: Smsc, script: str, parameters: dict[str, str], body: str
) -> None:
    assert await smsc.text(script, HTTP, ONE, parameters) == body


async def test_password_may_be_its_md5_and_a_key_may_stand_for_both(smsc: Smsc) -> None:
    smsc.sandbox.smsc.add(AccountSettings(login="keyed", api_key="the-key"))
    digest = hashlib.md5(b"secret-http").hexdigest()  # noqa: S324 - SMSC's way
    for account in ({"login": "http", "psw": digest}, {"apikey": "the-key"}, {"login": "", "psw": "the-key"}):
        assert (await smsc.json("balance", account, {"fmt": "3"}))["balance"] == "1000000.00"
    wrong = {"login": "http", "psw": digest.upper(), "fmt": "3"}
    assert await smsc.json("balance", wrong) == error(2, "authorise error")


async def test_charset_is_windows_1251_unless_asked_otherwise(smsc: Smsc) -> None:
    await smsc.json("send", HTTP, {"phones": "79990000001", "mes": "Привет", "fmt": "3"})
    await smsc.json("send", HTTP, {"phones": "79990000002", "mes": "Привет", "fmt": "3", "charset": "utf-8"})
    digests = [sent.text_digests[0] for sent in smsc.sandbox.smsc.accounts["http"].sends]
    assert digests == [text.digest("Привет".encode().decode("cp1251", "replace")), text.digest("Привет")]
    query = HTTP | {"get_operator": "1", "phone": "79990100001", "fmt": "3"}
    async with smsc.session.post(smsc.sandbox.smsc_url + "/sys/info.php", data=query) as response:
        assert "Москва".encode("cp1251") in await response.read()


async def test_rest_send_takes_json_in_utf8(smsc: Smsc) -> None:
    document = HTTP | {"phones": "79990000001", "mes": "Привет", "cost": 3}
    async with smsc.session.post(smsc.sandbox.smsc_url + "/rest/send/", json=document) as response:
        assert await response.json() == {"id": 1, "cnt": 1, "cost": "4.00", "balance": "999996.00"}


async def test_list_carries_a_text_for_each_number(smsc: Smsc) -> None:
    lines = "79990000001:one\\nmore\nsms,3|79990000002,79990000003:two: three"
    answer = await smsc.json("send", HTTP, {"list": lines, "fmt": "3", "charset": "utf-8"})
    assert answer == {"id": 1, "cnt": 3}
    (sent,) = smsc.sandbox.smsc.accounts["http"].sends
    assert sent.phones == ["79990000001", "79990000002", "79990000003"]
    assert sent.text_digests == [text.digest(body) for body in ("one\nmore", "two: three", "two: three")]


async def test_statuses_echo_the_phone_as_asked_and_err_is_absent_for_a_delivered_sms(smsc: Smsc) -> None:
    await smsc.json("send", HTTP, ONE, {"id": "7", "phones": "79990000001,79990000087"})
    smsc.sandbox.clock.advance(110)
    asked = {"id": "7,7,8", "phone": "89990000001,+79990000087,79990000001", "fmt": "3"}
    rows = await smsc.json("status", HTTP, asked)
    dates = [(row.pop("last_date", None), row.pop("last_timestamp", None)) for row in rows]
    assert rows == [
        {"status": 1, "id": 7, "phone": "89990000001"},
        {"status": 20, "err": 1, "id": 7, "phone": "+79990000087"},
        {"status": -3, "id": 8, "phone": "79990000001"},
    ]
    assert isinstance(dates[0][1], int)
    assert dates[2] == (None, None)


async def test_a_refused_request_leaves_failed_records_under_its_id(smsc: Smsc) -> None:
    await smsc.json("send", HTTP, ONE, {"id": "r1", "phones": "79990000001,79990000094"})
    await smsc.json("send", GUIDE, ONE, {"id": "r1", "phones": "79990000001,79990000094"})
    assert await smsc.known(HTTP, "r1", "79990000001") == 22
    assert await smsc.known(GUIDE, "r1", "79990000001") == 2
    assert smsc.sandbox.smsc.accounts["http"].messages[0].accepted is False


async def test_status_lag_hides_an_accepted_message_for_a_while(smsc: Smsc) -> None:
    smsc.sandbox.smsc.accounts["http"].settings.timing.status_lag_seconds = 30
    await smsc.json("send", HTTP, ONE, {"id": "lag"})
    assert await smsc.known(HTTP, "lag", "79990000001") == -3
    smsc.sandbox.clock.advance(30)
    assert await smsc.known(HTTP, "lag", "79990000001") >= -1


REPEATS = [
    # scope, second request, refused
    ("request", {}, True),
    ("request", {"id": "other"}, True),  # the id is not compared
    ("request", {"phones": "79990000002,79990000001"}, True),  # order does not matter
    ("request", {"phones": "79990000001"}, False),
    ("request", {"mes": "Other"}, False),
    ("request", {"viber": "1"}, False),
    ("number", {"phones": "79990000001,79990000003"}, True),
    ("number", {"phones": "79990000003"}, False),
    ("number", {"mes": "Other"}, False),
]


@pytest.mark.parametrize(("scope", "second", "refused"), REPEATS)
async def test_repeats_are_refused_for_a_minute(
    smsc: Smsc, scope: str, second: dict[str, str], refused: bool
) -> None:
    account = smsc.sandbox.smsc.accounts["http"]
    account.settings = account.settings.model_copy(update={"duplicate_scope": DuplicateScope(scope)})
    first = ONE | {"phones": "79990000001,79990000002"}
    await smsc.json("send", HTTP, first)
    answer = await smsc.json("send", HTTP, first, second)
    assert (answer == error(9, "duplicate request, wait a minute")) is refused
    smsc.sandbox.clock.advance(60)
    assert "id" in await smsc.json("send", HTTP, first, second)


async def test_no_money_has_an_id_only_where_a_record_is_made(smsc: Smsc) -> None:
    account = smsc.sandbox.smsc.accounts["http"]
    account.balance = account.settings.prices.sms - 1
    assert await smsc.json("send", HTTP, ONE, {"id": "m1"}) == error(3, "no money")
    assert await smsc.known(HTTP, "m1", "79990000001") == -3
    account.settings.no_money_creates_record = True
    assert await smsc.json("send", HTTP, ONE, {"id": "m1"}) == error(3, "no money", "m1")
    assert await smsc.known(HTTP, "m1", "79990000001") == 24


async def test_unregistered_sender_is_denied(smsc: Smsc) -> None:
    smsc.sandbox.smsc.accounts["http"].settings.senders = ["ACME"]
    assert "error_code" not in await smsc.json("send", HTTP, ONE, {"sender": "ACME"})
    denied = await smsc.json("send", HTTP, ONE, {"sender": "OTHER", "id": "s1"})
    assert denied == error(6, "message is denied", "s1")


LIMITS = [
    # script, parameters, calls that pass, answer of the next
    ("status", {"id": "1", "phone": "79990000001"}, 5, error(9, "duplicate request, wait a minute")),
    ("balance", {}, 10, error(9, "duplicate request, wait a minute")),
    ("info", {"get_operator": "1", "phone": "79990000001"}, 3, error(9, "duplicate request, wait a minute")),
    ("send", {"cost": "1"}, 5, error(9, "duplicate request, wait a minute")),
]


@pytest.mark.parametrize(("script", "parameters", "passing", "refusal"), LIMITS)
async def test_calls_a_minute_are_limited(
    smsc: Smsc, script: str, parameters: dict[str, str], passing: int, refusal: dict[str, Any]
) -> None:
    answers = [await smsc.json(script, HTTP, ONE, parameters) for _ in range(passing + 1)]
    assert [answer.get("error_code") for answer in answers[:-1]] == [None] * passing
    assert answers[-1] == refusal
    smsc.sandbox.clock.advance(60)
    assert "error_code" not in await smsc.json(script, HTTP, ONE, parameters)


async def test_the_fifteenth_simultaneous_request_is_refused(smsc: Smsc) -> None:
    account = smsc.sandbox.smsc.accounts["http"]
    account.settings.latency_ms = 1_000_000
    waiting = [
        asyncio.create_task(smsc.json("send", HTTP, ONE, {"phones": str(79990000001 + n)})) for n in range(14)
    ]
    while account.inflight < 14:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.002)
    assert await smsc.json("balance", HTTP, {"fmt": "3"}) == error(9, "too many connections")
    smsc.sandbox.clock.advance(1000)
    assert all(answer["cnt"] == 1 for answer in await asyncio.gather(*waiting))
    assert account.totals.max_simultaneous == 15


async def test_five_wrong_logins_block_the_address_for_every_account(smsc: Smsc) -> None:
    wrong = HTTP | {"psw": "wrong", "fmt": "3"}
    answers = [await smsc.json("balance", wrong) for _ in range(6)]
    assert [answer["error_code"] for answer in answers] == [2, 2, 2, 2, 2, 4]
    assert await smsc.json("send", GUIDE, ONE) == error(4, "ip is blocked")
    smsc.sandbox.clock.advance(1800)
    assert await smsc.json("send", GUIDE, ONE) == {"id": 1, "cnt": 1}


async def test_a_hundred_bad_sends_in_a_row_block_the_address(smsc: Smsc) -> None:
    bad = ONE | {"mes": ""}
    for _ in range(99):
        await smsc.json("send", HTTP, bad)
    await smsc.json("send", HTTP, ONE)  # a good one in between starts the count anew
    codes = [(await smsc.json("send", HTTP, bad))["error_code"] for _ in range(101)]
    assert codes == [1] * 100 + [4]
    smsc.sandbox.clock.advance(600)
    assert (await smsc.json("send", HTTP, bad))["error_code"] == 1


HLR = [("79990100001", 0), ("79990100098", 1), ("79990100097", 2)]


@pytest.mark.parametrize(("phone", "status"), HLR)
async def test_hlr_php_answers_at_once_in_profile_guide(smsc: Smsc, phone: str, status: int) -> None:
    answer = await smsc.json("hlr", GUIDE, {"phones": phone, "fmt": "3", "charset": "utf-8"})
    assert answer == {"status": status, "operator": "MTS", "region": "Москва"}
    two = await smsc.json("hlr", GUIDE, {"phones": phone + ",79990000002", "fmt": "3"})
    assert two == error(1, "parameters error")


async def test_hlr_php_does_not_exist_in_profile_http(smsc: Smsc) -> None:
    async with smsc.session.post(smsc.sandbox.smsc_url + "/sys/hlr.php", data=HTTP) as response:
        assert response.status == 404


CASCADE = {"viber": "1", "viber_timeout": "3600"}
VIBER = {"viber": "1", "valid": "01:00"}
LIVES = [
    # account, request, last digits, callbacks (status, err), final status
    (GUIDE, {}, "00", [1], 1),
    (GUIDE, {}, "87", [2], 2),
    (GUIDE, {}, "88", [3], 3),
    (GUIDE, {}, "91", [], 0),
    (GUIDE, {}, "92", [], 1),
    (GUIDE, {}, "99", [1, 1], 1),
    (GUIDE, CASCADE, "00", [20], 20),
    (GUIDE, CASCADE, "80", [22, 1], 1),
    (GUIDE, CASCADE, "85", [22, 1], 1),
    (GUIDE, CASCADE, "87", [22, 2], 2),
    (GUIDE, CASCADE, "98", [22, 3], 3),
    (GUIDE, CASCADE, "99", [1, 22, 1, 22], 1),
    (GUIDE, {"viber": "1"}, "00", [20], 20),
    (GUIDE, {"viber": "1"}, "80", [2], 2),
    (GUIDE, {"viber": "1"}, "86", [], 0),
    (HTTP, {}, "00", [0, 1], 1),
    (HTTP, {}, "80", [0, 1], 1),
    (HTTP, {}, "87", [0, 20], 20),
    (HTTP, {}, "88", [0, 3], 3),
    (HTTP, {}, "89", [23, 0, 1], 1),
    (HTTP, {}, "90", [0, 25], 25),
    (HTTP, {}, "91", [], 0),
    (HTTP, {}, "92", [], 1),
    (HTTP, {}, "97", [0, 20], 20),
    (HTTP, {}, "99", [1, 0, 1, 0], 1),
    (HTTP, VIBER, "00", [0, 1, 2], 2),
    (HTTP, VIBER, "80", [0, 20], 20),
    (HTTP, VIBER, "85", [0, 3], 3),
    (HTTP, VIBER, "86", [0], 0),
    (HTTP, {"hlr": "1"}, "00", [0, 1], 1),
    (HTTP, {"hlr": "1"}, "97", [0, 20], 20),
]


@pytest.mark.parametrize(("account", "request_", "ending", "told", "final"), LIVES)
async def test_the_last_digits_decide_what_becomes_of_a_message(
    smsc: Smsc,
    handler: Handler,
    account: dict[str, str],
    request_: dict[str, str],
    ending: str,
    told: list[int],
    final: int,
) -> None:
    smsc.sandbox.smsc.accounts[account["login"]].settings.callback.url = handler.url + "?charset=utf-8"
    phone = "799900000" + ending
    await smsc.json("send", account, ONE, request_, {"phones": phone, "id": "life"})
    smsc.sandbox.clock.advance(10_000)
    smsc.sandbox.smsc.callbacks.send(smsc.sandbox.smsc.accounts[account["login"]], {"mes": "the last one"})
    seen: list[int] = []
    while "mes" not in (call := await handler.form()):
        assert (call["id"], call["phone"]) == ("life", phone)
        seen.append(int(call["status"]))
    assert seen == told
    assert await smsc.known(account, "life", phone) == final


async def test_a_receipt_of_profile_http_has_all_fields_and_a_signature(smsc: Smsc, handler: Handler) -> None:
    smsc.sandbox.smsc.accounts["http"].settings.callback.url = handler.url + "?charset=utf-8&sha1=s3cret"
    await smsc.json("send", HTTP, ONE, {"id": "cb1", "phones": "79990000087"})
    smsc.sandbox.clock.advance(10)
    await handler.form()
    smsc.sandbox.clock.advance(100)
    call = await handler.form()
    assert call.pop("sha1") == hashlib.sha1(b"cb1:79990000087:20:s3cret").hexdigest()  # noqa: S324 - SMSC's way
    assert abs(int(call.pop("ts")) - smsc.sandbox.clock.now()) < 5
    assert len(call.pop("time")) == len("28.12.2019 19:20:22")
    assert call == {"id": "cb1", "phone": "79990000087", "status": "20", "err": "1", "type": "0"}


async def test_an_hlr_receipt_tells_the_network(smsc: Smsc, handler: Handler) -> None:
    smsc.sandbox.smsc.accounts["http"].settings.callback.url = handler.url
    await smsc.json("send", HTTP, {"hlr": "1", "phones": "79990100001", "id": "h1", "fmt": "3"})
    smsc.sandbox.clock.advance(10)
    await handler.form()
    smsc.sandbox.clock.advance(100)
    call = await handler.form()
    names = ("status", "err", "type", "imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet")
    assert [call[name] for name in names] == [
        *("1", "0", "4", "250019990100001", "79000100001", "250", "01", "Russia", "MTS", "", "")
    ]


SIGNED = "inc:79990000001:1:key"
CALLS = [
    # options in the handler URL, settings, how it is called
    ("", {"method": "form"}, "POST", b"id=inc&status=1&phone=79990000001"),
    ("", {"method": "form", "with_phone": False}, "POST", b"id=inc&status=1"),
    ("", {"method": "get"}, "GET", b""),
    ("", {"method": "json"}, "POST", b'{"id": "inc", "status": "1", "phone": "79990000001"}'),
    ("?fmt=3", {}, "POST", b'{"id": "inc", "status": "1", "phone": "79990000001"}'),
    (
        "?crc32=key",
        {},
        "POST",
        b"crc32=%08x&id=inc&status=1&phone=79990000001" % zlib.crc32(SIGNED.encode()),
    ),
]


@pytest.mark.parametrize(("options", "callback", "method", "body"), CALLS)
async def test_the_handler_is_called_as_its_account_says(
    smsc: Smsc, handler: Handler, options: str, callback: dict[str, Any], method: str, body: bytes
) -> None:
    account = smsc.sandbox.smsc.accounts["guide"]
    changed = callback | {"url": handler.url + options}
    account.settings = AccountSettings.model_validate(account.settings.model_dump() | {"callback": changed})
    await smsc.json("send", GUIDE, ONE, {"id": "inc"})
    smsc.sandbox.clock.advance(110)
    called = await asyncio.wait_for(handler.calls.get(), 5)
    query = "id=inc&status=1&phone=79990000001" if method == "GET" else options.removeprefix("?")
    assert called == (method, query, body)


async def test_a_number_may_have_its_own_id_in_profile_guide(smsc: Smsc, handler: Handler) -> None:
    account = smsc.sandbox.smsc.accounts["guide"]
    changes = {"ids": "per_number", "callback": {"url": handler.url}}
    account.settings = AccountSettings.model_validate(account.settings.model_dump() | changes)
    answer = await smsc.json("send", GUIDE, ONE, {"op": "1", "id": "b", "phones": "79990100001,79990100002"})
    assert [(row["phone"], row["id"]) for row in answer["phones"]] == [
        ("79990100001", "1"),
        ("79990100002", "2"),
    ]
    smsc.sandbox.clock.advance(110)
    calls = [await handler.form(), await handler.form()]
    assert sorted(call["id"] for call in calls) == ["1", "2"]
    assert await smsc.known(GUIDE, "2", "79990100002") == await smsc.known(GUIDE, "b", "79990100002") == 1


CALLBACK_FAULTS = [
    # fault, order of what arrives for three receipts
    (Fault(kind=FaultKind.LOSE_CALLBACKS, count=1), ["b", "c"]),
    (Fault(kind=FaultKind.DUPLICATE_CALLBACKS, count=1), ["a", "a", "b", "c"]),
    (Fault(kind=FaultKind.REORDER_CALLBACKS, count=1), ["b", "a", "c"]),
    (Fault(kind=FaultKind.DELAY_CALLBACKS, count=1, seconds=60), ["b", "c", "a"]),
]


@pytest.mark.parametrize(("fault", "arriving"), CALLBACK_FAULTS)
async def test_callbacks_can_be_lost_repeated_reordered_and_late(
    smsc: Smsc, handler: Handler, fault: Fault, arriving: list[str]
) -> None:
    account = smsc.sandbox.smsc.accounts["guide"]
    account.settings.callback.url = handler.url
    account.faults.add(fault)
    for name in ("a", "b", "c"):
        smsc.sandbox.smsc.callbacks.send(account, {"id": name})
    smsc.sandbox.clock.advance(60)
    assert [(await handler.form())["id"] for _ in arriving] == arriving
    assert handler.calls.empty()


BROKEN = [
    # fault, what the caller sees, whether it was accepted at once
    (FaultKind.RESET_BEFORE_ACCEPT, "reset", False),
    (FaultKind.RESET_AFTER_ACCEPT, "reset", True),
    (FaultKind.TIMEOUT_BEFORE_ACCEPT, "reset", False),
    (FaultKind.TIMEOUT_AFTER_ACCEPT, "reset", True),
    (FaultKind.HTTP_502_AFTER_ACCEPT, "502 text/html", True),
    (FaultKind.HTTP_502_THEN_ACCEPT_AFTER, "502 text/html", False),
    (FaultKind.HTTP_500, "500 text/html", False),
    (FaultKind.HTML, "200 text/html", False),
    (FaultKind.EMPTY, "200 application/octet-stream", False),
    (FaultKind.NON_JSON, "200 text/plain", False),
    (FaultKind.REDIRECT_302, "302 application/octet-stream", False),
]


@pytest.mark.parametrize(("kind", "seen", "accepted"), BROKEN)
async def test_faults_break_the_answer_before_or_after_accepting(
    smsc: Smsc, kind: FaultKind, seen: str, accepted: bool
) -> None:
    smsc.sandbox.smsc.accounts["http"].faults.add(Fault(kind=kind, count=1, seconds=0.01))
    url = smsc.sandbox.smsc_url + "/sys/send.php"
    try:
        async with smsc.session.post(url, data=HTTP | ONE | {"id": "f"}, allow_redirects=False) as response:
            await response.read()
            result = f"{response.status} {response.content_type}"
    except aiohttp.ClientError:
        result = "reset"
    assert result == seen
    assert (len(smsc.sandbox.smsc.accounts["http"].sends) == 1) is accepted
    if kind is FaultKind.HTTP_502_THEN_ACCEPT_AFTER:
        smsc.sandbox.clock.advance(1)
        assert await smsc.known(HTTP, "f", "79990000001") == -1


async def test_faults_without_accepting_can_accept_first(smsc: Smsc) -> None:
    account = smsc.sandbox.smsc.accounts["http"]
    account.faults.add(Fault(kind=FaultKind.HTML, count=1, accept=True))
    assert (await smsc.text("send", HTTP, ONE, {"id": "f"})).startswith("<html>")
    assert [sent.client_id for sent in account.sends] == ["f"]


async def test_orders_for_money_blocks_missing_members_and_a_status_page(smsc: Smsc) -> None:
    faults = smsc.sandbox.smsc.accounts["http"].faults
    for fault in (
        Fault(kind=FaultKind.NO_MONEY, count=1),
        Fault(kind=FaultKind.MEMBER_MISSING, count=1),
        Fault(kind=FaultKind.STATUS_DOWN, count=1, mode=StatusDown.ERROR_9),
    ):
        faults.add(fault)
    assert await smsc.json("send", HTTP, ONE) == error(3, "no money")
    pair = {"op": "1", "id": "pair", "phones": "79990000001,79990000002"}
    assert [row["phone"] for row in (await smsc.json("send", HTTP, ONE, pair))["phones"]] == ["79990000001"]
    asked = {"id": "pair", "phone": "79990000002", "fmt": "3"}
    assert await smsc.json("status", HTTP, asked) == error(9, "duplicate request, wait a minute")
    assert (await smsc.json("status", HTTP, asked))["status"] == -1  # it was accepted all the same
    faults.add(Fault(kind=FaultKind.BLOCK_IP, count=1, seconds=600))
    assert await smsc.json("send", HTTP, ONE) == error(4, "ip is blocked")
    assert await smsc.json("balance", GUIDE, {"fmt": "3"}) == error(4, "ip is blocked")


async def test_the_ledger_tells_repeats_from_cascades_and_secrets_in_urls(smsc: Smsc) -> None:
    async with smsc.session.get(smsc.sandbox.smsc_url + "/sys/send.php", params=HTTP | ONE) as response:
        assert response.status == 200
    await smsc.json("send", HTTP, ONE, {"viber": "1"})  # the client's own cascade: another channel
    smsc.sandbox.clock.advance(60)
    await smsc.json("send", HTTP, ONE, {"phones": "79990000001,79990000002", "id": "again"})
    account = smsc.sandbox.smsc.accounts["http"]
    ledger = account.ledger(smsc.sandbox.smsc.callbacks.report(account))
    assert (ledger.get_requests, ledger.secrets_in_url) == (1, 1)
    assert (ledger.accepted_requests, ledger.messages, ledger.distinct_phone_text) == (3, 4, 2)
    assert (ledger.sent_twice, ledger.by_channel) == (1, {"sms": 3, "viber": 1})
    assert [repeat.client_ids for repeat in ledger.duplicates] == [["1", "2", "again"]]
    assert ledger.by_numbers_per_request == {1: 2, 2: 1}
    assert str(ledger.charged) == "14.30"


async def test_a_fallback_is_charged_as_sms_instead_of_viber(smsc: Smsc) -> None:
    await smsc.json("send", GUIDE, ONE, CASCADE, {"phones": "79990000001,79990000080"})
    smsc.sandbox.clock.advance(500)
    account = smsc.sandbox.smsc.accounts["guide"]
    ledger = account.ledger(smsc.sandbox.smsc.callbacks.report(account))
    assert ledger.delivered_by == {"viber": 1, "sms": 1}
    assert str(ledger.charged) == "6.30"
