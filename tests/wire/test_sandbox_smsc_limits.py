"""The SMSC stand-in refuses what the service refuses: repeats, floods, wrong logins, and asks for money."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.settings import (
    DuplicateScope,
)
from tests.wire import sandbox_smsc
from tests.wire.sandbox_smsc import GUIDE, HTTP, ONE, Smsc, error


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    async with sandbox_smsc.calling() as smsc:
        yield smsc


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
    while account.inflight < 14:
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


async def test_look_ups_are_counted_by_number_and_stop_without_money(smsc: Smsc) -> None:
    account = smsc.sandbox.smsc.accounts["guide"]
    one, other = {"phones": "79990100001", "fmt": "3"}, {"phones": "79990100002", "fmt": "3"}
    for asked in (one, other, one):
        assert "status" in await smsc.json("hlr", GUIDE, asked)
    account.faults.add(Fault(kind=FaultKind.NO_MONEY, call="hlr", count=1))
    assert await smsc.json("hlr", GUIDE, one) == error(3, "no money")
    account.balance = Decimal("0.10")
    assert await smsc.json("hlr", GUIDE, one) == error(3, "no money")
    async with SandboxClient(smsc.sandbox.control_url) as control:
        ledger = await control.ledger("guide")
    assert (ledger.look_ups, ledger.looked_up_again, ledger.charged) == (3, 1, Decimal("1.50"))


async def test_hlr_php_does_not_exist_in_profile_http(smsc: Smsc) -> None:
    async with smsc.session.post(smsc.sandbox.smsc_url + "/sys/hlr.php", data=HTTP) as response:
        assert response.status == 404
