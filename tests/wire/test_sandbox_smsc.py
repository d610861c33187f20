"""The SMSC stand-in answers as documented: exact requests, exact replies."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from smsbridge.core import text
from smsbridge.sandbox.settings import (
    AccountSettings,
)
from tests.wire import sandbox_smsc
from tests.wire.sandbox_smsc import GUIDE, HTTP, ONE, Smsc, error


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    async with sandbox_smsc.calling() as smsc:
        yield smsc


LONG = "я" * 71  # two segments
EIGHTY = ",".join(str(79990000100 + n) for n in range(80))
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
    (GUIDE, {"phones": EIGHTY}, {"id": 1, "cnt": 80}),
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
