"""What becomes of messages at the SMSC stand-in: receipts, callbacks, ordered faults, the ledger."""

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from smsbridge.sandbox.faults import Fault, FaultKind, StatusDown
from smsbridge.sandbox.settings import (
    AccountSettings,
)
from tests.wire import sandbox_smsc
from tests.wire.sandbox_smsc import GUIDE, HTTP, ONE, Handler, Smsc, error


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    async with sandbox_smsc.calling() as smsc:
        yield smsc


@pytest.fixture
async def handler() -> AsyncIterator[Handler]:
    async with sandbox_smsc.listening() as handler:
        yield handler


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
