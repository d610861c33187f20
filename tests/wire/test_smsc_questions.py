"""Status, balance and price: what is asked, and what is raised where no answer comes."""

from decimal import Decimal

import pytest

from smsbridge.core.errors import InputError
from smsbridge.core.number import Carrier
from smsbridge.core.provider import Profile
from smsbridge.smsc import errors
from smsbridge.smsc.answers import Balance, StatusAnswer
from tests.wire.smsc_server import (
    OK,
    PHONE,
    account,
    answer,
    closed_port,
    connected,
    reset,
    running,
    silence,
)


async def test_questions_are_posts_too():
    states = answer(b'[{"status":1,"id":"01J","phone":"79991234567"}]')
    balance, cost = answer(b'{"balance":"178,10"}'), answer(b'{"cost":"1.40"}')
    async with running(states, balance, cost) as far, connected() as client:
        to = account(far.url, Profile.HTTP)
        assert await client.status(to, [("01J", PHONE)]) == [StatusAnswer("01J", PHONE, 1)]
        assert await client.balance(to) == Balance(Decimal("178.10"))
        assert await client.cost(to, msisdn=PHONE, text="x") == Decimal("1.40")
        assert await client.status(to, []) == []
    assert [line for line, _, _ in far.requests] == [
        "POST /sys/status.php HTTP/1.1",
        "POST /sys/balance.php HTTP/1.1",
        "POST /sys/send.php HTTP/1.1",
    ]
    assert all(body.endswith(b"&login=acme&psw=secret-word") for _, _, body in far.requests)
    assert b"cost=1&" in far.requests[2][2]


async def test_profile_guide_is_never_asked_for_a_price():
    async with running(answer(OK)) as far, connected() as client:
        with pytest.raises(InputError):
            await client.cost(account(far.url), msisdn=PHONE, text="x")
        assert far.requests == []


AWAY = [
    (answer(b"", status="500 Oops"), "http_500"),
    (answer(b"", status="302 Found", head="Location: /\r\n"), "redirect"),
    (answer(b"<html>"), "html"),
    (answer(b""), "empty"),
    (answer(b"[]"), "short"),
    (reset, "reset"),
    (silence, "timeout"),
]


@pytest.mark.parametrize(("behaviour", "reason"), AWAY, ids=[row[1] for row in AWAY])
async def test_a_status_question_without_an_answer(behaviour, reason):
    async with running(behaviour) as far, connected(status_timeout_seconds=0.3) as client:
        with pytest.raises(errors.SmscAway) as away:
            await client.status(account(far.url), [("01J", PHONE)])
    assert away.value.reason == reason
    assert PHONE not in str(away.value)


async def test_a_status_question_that_is_refused():
    too_often = answer(b'{"error":"duplicate request, wait a minute","error_code":9}')
    async with running(too_often) as far, connected() as client:
        with pytest.raises(errors.SmscRejected) as refusal:
            await client.status(account(far.url), [("01J", PHONE)])
    assert refusal.value.error_code == 9


async def test_a_question_where_nobody_listens():
    async with connected() as client:
        with pytest.raises(errors.SmscAway) as away:
            await client.balance(account(f"http://127.0.0.1:{closed_port()}"))
    assert away.value.reason == "connect_refused"


CARRIERS: list[tuple[bytes, dict[str, Carrier]]] = [
    (
        '[{"country":"Россия","operator":"МТС","region":"Москва","phone":"79991234567"}]'.encode(),
        {PHONE: Carrier("МТС", "Москва")},
    ),
    ('{"operator":"МТС","region":"."}'.encode(), {PHONE: Carrier("МТС")}),
    ('[{"operator":" ","region":"Москва"}]'.encode(), {PHONE: Carrier("", "Москва")}),
    (b'[{"operator":"MTS","region":"","phone":"8 999 123-45-67"}]', {PHONE: Carrier("MTS")}),
    (b'[{"operator":"MTS","region":"","phone":"79990000000"}]', {}),
    (b"[]", {}),
]


@pytest.mark.parametrize(("body", "expected"), CARRIERS)
async def test_operators_without_a_look_up(body: bytes, expected: dict[str, Carrier]):
    async with running(answer(body)) as far, connected() as client:
        assert await client.carriers(account(far.url, Profile.HTTP), [PHONE]) == expected
    assert [line for line, _, _ in far.requests] == ["POST /sys/info.php HTTP/1.1"]
    asked = b"get_operator=1&phone=79991234567%2C&fmt=3&charset=utf-8&login=acme&psw=secret-word"
    assert far.requests[0][2] == asked


async def test_operators_of_several_by_their_places():
    other = "79991234568"
    body = answer(b'[{"operator":"A","region":"B"},{"operator":"C","region":"D"}]')
    short = answer(b'[{"operator":"A","region":"B"}]')
    refused = answer(b'{"error":"operator not found","error_code":3}')
    async with running(body, short, refused) as far, connected() as client:
        to = account(far.url, Profile.HTTP)
        assert await client.carriers(to, [PHONE, other]) == {
            PHONE: Carrier("A", "B"),
            other: Carrier("C", "D"),
        }
        assert await client.carriers(to, [PHONE, other]) == {}
        with pytest.raises(errors.SmscRejected) as raised:
            await client.carriers(to, [PHONE, other])
        assert raised.value.error_code == 3
