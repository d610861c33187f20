"""Steps of workflows, webhook steps and the CRM's events at the doors: what the sender and hlr are told."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
from yarl import URL

from smsbridge.api.v1 import hlr_pb2, sender_pb2, types_pb2
from smsbridge.bitrix24 import bizproc, client, limiter, steps, transport
from smsbridge.gateway import orphan, standing
from smsbridge.gateway.journal import Kind
from smsbridge.rpc import message as rpc_message
from smsbridge.rpc.clients import HlrClient, SenderClient, StatusClient
from smsbridge.runtime import rpc
from smsbridge.sandbox.orders import DocumentKind, EntitiesOrder, RunOrder
from smsbridge.sender import intake
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring
from tests.wire import gateway_harness as harness
from tests.wire import sandbox_world

PHONE = "+79990000000"
EVENT_TOKEN = "5a0d6f3c9b1e72.12345678|A80391_60433_1|cZ8mQ.6f1d0a"
SEND, LOOK_UP = "robots/smsc.send", "robots/smsc.hlr"
DIFFERENT = "f" * 32


def run(code: str = "smsc.send", *, token: str = EVENT_TOKEN, **changes: str) -> str:
    """A step's run as the portal posts it; `changes` replace fields, an empty string leaves one out. Those
    with a name of a setting are settings.
    """
    settings = {"phone": PHONE} if "hlr" in code else {"phone": PHONE, "text": "Заявка принята"}
    fields = {
        "workflow_id": "5a0d6f3c9b1e72.12345678",
        "code": code,
        "document_id[0]": "crm",
        "document_id[1]": "CCrmDocumentLead",
        "document_id[2]": "LEAD_98",
        "document_type[0]": "crm",
        "document_type[1]": "CCrmDocumentLead",
        "document_type[2]": "LEAD",
        "event_token": token,
        **{f"properties[{name}]": value for name, value in settings.items()},
        "use_subscription": "Y",
        "timeout_duration": "600",
        "ts": "1742895604",
        "auth[access_token]": "access",
        "auth[refresh_token]": "refresh",
        "auth[member_id]": harness.MEMBER_ID,
        "auth[application_token]": harness.TOKEN,
        **changes,
    }
    return urlencode({name: value for name, value in fields.items() if value})


def event(name: str, entity_id: int | str = 1000983, *, token: str = harness.TOKEN) -> str:
    auth = {"auth[application_token]": token} if token else {}
    return urlencode(
        {
            "event": name,
            "event_handler_id": "7",
            "data[FIELDS][ID]": str(entity_id),
            "ts": "1742895000",
            **auth,
        }
    )


def message(**changes: Any) -> sender_pb2.OutgoingMessage:
    """What the sender is told of `run()`."""
    fields: dict[str, Any] = {
        "provider_uid": "uid-1",
        "dedupe_key": EVENT_TOKEN,
        "event_token": EVENT_TOKEN,
        "recipient": PHONE,
        "text": "Заявка принята",
        "origin": types_pb2.ORIGIN_ROBOT,
        "report_to": types_pb2.REPORT_TO_ROBOT_AT_ONCE,
        "document_type": "LEAD",
        "token_check": types_pb2.TOKEN_CHECK_MATCH,
        "code": "smsc",
        "attempt": 1,
    }
    return sender_pb2.OutgoingMessage(**{**fields, **changes})


def errand(kind: hlr_pb2.ErrandKind, **changes: Any) -> hlr_pb2.Errand:
    fields: dict[str, Any] = {
        "provider_uid": "uid-1",
        "kind": kind,
        "token_check": types_pb2.TOKEN_CHECK_MATCH,
    }
    return hlr_pb2.Errand(**{**fields, **changes})


def timeless(items: list[Any]) -> list[Any]:
    """Without the moment at the door, which has to be there."""
    for item in items:
        assert item.accepted_at_ms > 1_700_000_000_000
        item.accepted_at_ms = 0
    return items


async def exactly(
    gateway: harness.Gateway, method: str, path: str, body: str | None = None
) -> tuple[int, str]:
    """With the address as it is written: no percent signs touched."""
    headers = {} if body is None else {"Content-Type": harness.FORM}
    url = URL(f"http://{gateway.role.address}{path}", encoded=True)
    async with gateway.session.request(method, url, data=body, headers=headers) as response:
        return response.status, await response.text()


def unused_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
async def registered(store: Store) -> Store:
    await harness.register(store)
    await harness.installed(store)
    return store


SETTINGS: list[tuple[Mapping[str, str], Mapping[str, Any]]] = [
    ({}, {}),
    ({"properties[await_final]": "Y"}, {"report_to": types_pb2.REPORT_TO_ROBOT}),
    ({"properties[await_final]": "N"}, {}),
    ({"use_subscription": "N"}, {"report_to": types_pb2.REPORT_TO_NOBODY}),
    (
        {"use_subscription": "N", "properties[await_final]": "Y"},
        {"report_to": types_pb2.REPORT_TO_NOBODY},
    ),
    ({"properties[channel]": "configured"}, {}),
    ({"properties[channel]": "sms"}, {"route": types_pb2.ROUTE_SMS}),
    ({"properties[channel]": "viber"}, {"route": types_pb2.ROUTE_VIBER}),
    (
        {"properties[channel]": "cascade", "properties[wait_seconds]": "900"},
        {"route": types_pb2.ROUTE_CASCADE, "wait_seconds": 900},
    ),
    ({"properties[wait_seconds]": "5"}, {"wait_seconds": 60}),
    ({"properties[wait_seconds]": "90000"}, {"wait_seconds": 86_400}),
    ({"properties[wait_seconds]": "0"}, {}),
    (
        {
            "properties[phone]": "",
            "properties[phone][0]": PHONE,
            "properties[phone][1]": "+79991111111",
            "properties[text]": "",
            "properties[text][]": "Первый",
        },
        {"text": "Первый"},
    ),
    ({"document_type[2]": "DYNAMIC_183"}, {"document_type": "DYNAMIC_183"}),
    ({"code": "SMSC.Send"}, {}),
    ({"code": "smsc.send.step"}, {}),
    ({"code": ""}, {}),
    ({"auth[application_token]": ""}, {"token_check": types_pb2.TOKEN_CHECK_ABSENT}),
]


@pytest.mark.parametrize(("posted", "sent"), SETTINGS, ids=lambda item: " ".join(item) or "plain")
async def test_a_step_that_sends_reaches_the_sender_whole(
    registered: Store, tmp_path: Path, posted: Mapping[str, str], sent: Mapping[str, Any]
) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.post(SEND, run(**posted)) == (200, "{}")
        assert timeless(owners.sender.items) == [message(**sent)]
        assert owners.hlr.errands.items == []
        assert gateway.metric("smsbridge_gateway_accepts_total", origin="robot", result="accepted") == 1


async def test_a_wait_is_as_short_as_the_sandbox_allows(store: Store, tmp_path: Path) -> None:
    await harness.register(store, harness.provider(sandbox=True))
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        assert (await gateway.post(SEND, run(**{"properties[wait_seconds]": "2"})))[0] == 200
        assert [item.wait_seconds for item in owners.sender.items] == [2]


@pytest.mark.parametrize(
    "path", ["robots/smsc.send", "robots/smsc%2Esend", "robots/SMSC.send.step", "robots/%73msc.send?x=1"]
)
async def test_codes_may_be_encoded_in_the_address(registered: Store, tmp_path: Path, path: str) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        assert await exactly(gateway, "POST", gateway.path(path), run()) == (200, "{}")
        assert timeless(owners.sender.items) == [message()]


async def test_a_step_that_looks_up_reaches_hlr_whole(registered: Store, tmp_path: Path) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        for code in ("smsc.hlr", "smsc.hlr.step"):
            assert await gateway.post(f"robots/{code}", run(code)) == (200, "{}")
        assert await gateway.post(LOOK_UP, run("smsc.hlr", **{"properties[phone]": " "})) == (200, "{}")
        # With no phone, those of the lead that it runs on are meant.
        lead = {"entity": hlr_pb2.ENTITY_TYPE_LEAD, "entity_id": 98, "event_token": EVENT_TOKEN}
        expected = errand(hlr_pb2.ERRAND_KIND_STEP, phone=PHONE, **lead)
        assert timeless(owners.hlr.errands.items) == [
            expected, expected, errand(hlr_pb2.ERRAND_KIND_STEP, **lead)
        ]  # fmt: skip
        assert owners.sender.items == []
        assert gateway.metric("smsbridge_gateway_errands_total", kind="step", result="accepted") == 3


async def test_a_look_up_that_nobody_waits_for_is_not_bought(registered: Store, tmp_path: Path) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.post(LOOK_UP, run("smsc.hlr", use_subscription="N")) == (200, "{}")
        assert (owners.hlr.errands.items, owners.sender.items) == ([], [])
        assert gateway.role.journal.depth == 0
        assert gateway.metric("smsbridge_gateway_errands_total", kind="step", result="dropped") == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("robots/smsc.send", "smsc.hlr"),
        ("robots/smsc.hlr", "smsc.send"),
        ("robots/smsc.send", "other.send"),
        ("robots/smsc.send", "smsc"),
        ("robots/other.send", "other.send"),
        ("robots/smsc", "smsc"),
        ("robots/smsc", ""),
        ("robots/smsc.send%2F", "smsc.send"),
        ("robots/%FF%00", "smsc.send"),
    ],
)
async def test_a_foreign_step_is_failed_by_the_sender_and_so_answered(
    registered: Store, tmp_path: Path, path: str, code: str
) -> None:
    """`/` is no provider's code, so it can only end as ForeignCode."""
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        body = run(code=code, **{"properties[text]": "x"})
        assert await exactly(gateway, "POST", gateway.path(path), body) == (200, "{}")
        assert timeless(owners.sender.items) == [message(text="x", code="/")]
        asked = rpc_message.from_proto(owners.sender.items[0])
        prepared = intake.prepare(asked, harness.PROVIDER, default_region="RU")
        assert (prepared.fail, prepared.rep, prepared.tok) == ("ForeignCode", "robot_at_once", EVENT_TOKEN)
        assert owners.hlr.errands.items == []


@pytest.mark.parametrize("door", [SEND, LOOK_UP])
async def test_a_step_with_a_wrong_token_takes_its_digest_along(
    registered: Store, tmp_path: Path, door: str
) -> None:
    digest = Keyring([harness.MASTER]).digest("application_token", DIFFERENT)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        body = run(door.removeprefix("robots/"), **{"auth[application_token]": DIFFERENT})
        assert (await gateway.post(door, body))[0] == 200
        [item] = [*owners.sender.items, *owners.hlr.errands.items]
        assert (item.token_check, item.token_digest) == (types_pb2.TOKEN_CHECK_MISMATCH, digest)


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        ("?phone=%2B79990000000&entity=contact_12", None, (hlr_pb2.ENTITY_TYPE_CONTACT, 12, PHONE)),
        ("?phone=+79990000000&entity=LEAD_98", None, (hlr_pb2.ENTITY_TYPE_LEAD, 98, PHONE)),
        ("?entity=company/7", "", (hlr_pb2.ENTITY_TYPE_COMPANY, 7, "")),
        ("?entity=lead_98", "document_id[]=LEAD_99", (hlr_pb2.ENTITY_TYPE_LEAD, 98, "")),
        (
            "",
            "document_id%5B0%5D=crm&document_id%5B1%5D=CCrmDocumentLead&document_id%5B2%5D=LEAD_98",
            (hlr_pb2.ENTITY_TYPE_LEAD, 98, ""),
        ),
        ("?phone=8+999+000", "document_id[]=CONTACT_5", (hlr_pb2.ENTITY_TYPE_CONTACT, 5, "8 999 000")),
    ],
)
async def test_a_webhook_step_reaches_hlr_whole(
    registered: Store, tmp_path: Path, query: str, body: str | None, expected: tuple[int, int, str]
) -> None:
    entity, entity_id, phone = expected
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        method = "GET" if body is None else "POST"
        assert await exactly(gateway, method, gateway.path("hlr") + query, body) == (200, "{}")
        assert timeless(owners.hlr.errands.items) == [
            errand(
                hlr_pb2.ERRAND_KIND_WEBHOOK,
                entity=entity,
                entity_id=entity_id,
                phone=phone,
                token_check=types_pb2.TOKEN_CHECK_ABSENT,
            )
        ]
        assert gateway.metric("smsbridge_gateway_errands_total", kind="webhook", result="accepted") == 1


async def test_a_phone_in_a_webhook_steps_address_is_in_no_log(
    registered: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    owners = harness.Owners(address=unused_address())  # nobody there: the journal, and a word about it
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        for query in ("phone=79990000000&entity=lead_1", "phone=79990000000", "phone=79990000000&entity=x_1"):
            await gateway.call("GET", gateway.path("hlr") + "?" + query)
        await harness.until(lambda: gateway.role.journal.depth == 1)
    said = capfd.readouterr()
    ours = [record for record in caplog.records if record.name != "asyncio"]
    for text in (said.out, said.err, *(record.getMessage() for record in ours)):
        assert "9990000000" not in text


@pytest.mark.parametrize(
    ("name", "kind", "entity"),
    [
        ("ONCRMLEADADD", hlr_pb2.ERRAND_KIND_ADDED, hlr_pb2.ENTITY_TYPE_LEAD),
        ("ONCRMCONTACTADD", hlr_pb2.ERRAND_KIND_ADDED, hlr_pb2.ENTITY_TYPE_CONTACT),
        ("OnCrmContactUpdate", hlr_pb2.ERRAND_KIND_CHANGED, hlr_pb2.ENTITY_TYPE_CONTACT),
    ],
)
@pytest.mark.parametrize(
    ("token", "check"),
    [
        (harness.TOKEN, types_pb2.TOKEN_CHECK_MATCH),
        ("", types_pb2.TOKEN_CHECK_ABSENT),
        (DIFFERENT, types_pb2.TOKEN_CHECK_MISMATCH),
    ],
)
async def test_events_of_the_crm_reach_hlr_whole(
    registered: Store,
    tmp_path: Path,
    name: str,
    kind: hlr_pb2.ErrandKind,
    entity: int,
    token: str,
    check: int,
) -> None:
    differs = check == types_pb2.TOKEN_CHECK_MISMATCH
    digest = Keyring([harness.MASTER]).digest("application_token", token) if differs else ""
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.post("events", event(name, token=token)) == (200, "{}")
        expected = errand(kind, entity=entity, entity_id=1000983, token_check=check, token_digest=digest)
        assert timeless(owners.hlr.errands.items) == [expected]
        assert gateway.metric("smsbridge_gateway_events_total", event="crm", result="errand") == 1


async def test_other_events_of_the_crm_are_counted(registered: Store, tmp_path: Path) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        for name in ("ONCRMLEADUPDATE", "ONCRMDEALADD", "ONCRMCOMPANYADD", "ONCRMLEADDELETE"):
            assert await gateway.post("events", event(name)) == (200, "{}")
        assert owners.hlr.errands.items == []
        assert gateway.metric("smsbridge_gateway_events_total", event="crm", result="counted") == 4


async def test_a_storm_of_new_leads_makes_few_calls_and_loses_none(registered: Store, tmp_path: Path) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path, submit_timeout_ms=20_000) as gateway,
    ):
        posts = [gateway.post("events", event("ONCRMLEADADD", number)) for number in range(1, 1001)]
        assert {status for status, _ in await asyncio.gather(*posts)} == {200}
        heard = owners.hlr.errands
        assert sorted(item.entity_id for item in heard.items) == list(range(1, 1001))
        assert len(heard.calls) < 200
        assert gateway.metric("smsbridge_gateway_call_items_count", owner="hlr") == len(heard.calls)
        assert gateway.metric("smsbridge_gateway_errands_total", kind="added", result="accepted") == 1000


async def test_a_repeated_post_is_handed_over_again_and_answered_200(
    registered: Store, tmp_path: Path
) -> None:
    """Its owner knows it again by the event token."""
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        owners.sender.answer = lambda item: sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_DUPLICATE)
        owners.hlr.answer = lambda item: hlr_pb2.ErrandAnswer(result=hlr_pb2.ERRAND_RESULT_DUPLICATE)
        for _ in range(2):
            assert (await gateway.post(SEND, run()))[0] == 200
            assert (await gateway.post(LOOK_UP, run("smsc.hlr")))[0] == 200
        assert [(item.dedupe_key, item.report_to) for item in owners.sender.items] == [
            (EVENT_TOKEN, types_pb2.REPORT_TO_ROBOT_AT_ONCE)
        ] * 2
        ids = {rpc_message.from_proto(item).id for item in owners.sender.items}
        assert len(ids) == 1
        assert [item.event_token for item in owners.hlr.errands.items] == [EVENT_TOKEN] * 2
        assert gateway.role.journal.depth == 0
        assert gateway.metric("smsbridge_gateway_accepts_total", origin="robot", result="duplicate") == 2
        assert gateway.metric("smsbridge_gateway_errands_total", kind="step", result="duplicate") == 2


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        (hlr_pb2.ERRAND_RESULT_TAKEN, "accepted"),
        (hlr_pb2.ERRAND_RESULT_DUPLICATE, "duplicate"),
        (hlr_pb2.ERRAND_RESULT_REFUSED, "set_aside"),
        (hlr_pb2.ERRAND_RESULT_UNKNOWN_PROVIDER, "journalled"),
        (hlr_pb2.ERRAND_RESULT_UNSPECIFIED, "journalled"),
        (99, "journalled"),  # a newer hlr's word
    ],
)
async def test_whatever_hlr_answers_the_portal_gets_200(
    registered: Store, tmp_path: Path, result: Any, counted: str
) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path, drain_pause_seconds=60) as gateway,
    ):
        owners.hlr.answer = lambda item: hlr_pb2.ErrandAnswer(result=result, reason="NoPhone")
        assert (await gateway.post(LOOK_UP, run("smsc.hlr")))[0] == 200
        assert gateway.metric("smsbridge_gateway_errands_total", kind="step", result=counted) == 1
        waiting = gateway.metric("smsbridge_journal_depth", kind="errand")
        aside = gateway.metric("smsbridge_journal_set_aside", kind="errand")
        assert (waiting, aside) == (float(counted == "journalled"), float(counted == "set_aside"))


async def test_while_hlr_is_away_errands_are_kept_and_drain_steps_first(
    registered: Store, tmp_path: Path
) -> None:
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        for door, body in [
            ("events", event("ONCRMLEADADD", 1)),
            (LOOK_UP, run("smsc.hlr", token="t1")),
            ("hlr?entity=lead_2", ""),
            ("events", event("ONCRMCONTACTUPDATE", 3)),
            (LOOK_UP, run("smsc.hlr", token="t2")),
        ]:
            assert await gateway.post(door, body) == (200, "{}")
        assert gateway.metric("smsbridge_journal_depth", kind="errand") == 5
        assert gateway.metric("smsbridge_journal_depth", kind="message") == 0
        counted = {
            kind: gateway.metric("smsbridge_gateway_errands_total", kind=kind, result="journalled")
            for kind in ("added", "changed", "webhook", "step")
        }
        assert counted == {"added": 1, "changed": 1, "webhook": 1, "step": 2}
        async with harness.running_owners(owners):
            await owners.hlr.errands.heard(5)
            heard = [(item.event_token, item.entity_id) for item in owners.hlr.errands.items]
            assert heard == [("t1", 98), ("t2", 98), ("", 1), ("", 2), ("", 3)]
            await harness.until(lambda: gateway.metric("smsbridge_journal_depth", kind="errand") == 0)
            # The way is open again: no more detour.
            assert (await gateway.post("events", event("ONCRMLEADADD", 4)))[0] == 200
            assert gateway.metric("smsbridge_gateway_errands_total", kind="added", result="accepted") == 1


async def test_a_step_that_sends_waits_for_the_sender_in_the_journal(
    registered: Store, tmp_path: Path
) -> None:
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        assert (await gateway.post(SEND, run()))[0] == 200
        assert gateway.metric("smsbridge_journal_depth", kind="message") == 1
        async with harness.running_owners(owners):
            await owners.sender.heard(1)
            assert timeless(owners.sender.items) == [message()]


async def test_an_hlr_of_an_older_version_gets_them_once_it_is_updated(
    registered: Store, tmp_path: Path
) -> None:
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path, away_pause_ms=50) as gateway,
    ):
        owners.hlr.errands.fail = grpc.StatusCode.UNIMPLEMENTED
        for number in (1, 2):
            assert (await gateway.post("events", event("ONCRMLEADADD", number)))[0] == 200
        # Asked at the door or by the drain, again and again: neither lost nor set aside.
        asked = owners.hlr.errands.asked
        await harness.until(lambda: owners.hlr.errands.asked >= asked + 2)
        waiting = gateway.metric("smsbridge_journal_depth", kind="errand")
        aside = gateway.metric("smsbridge_journal_set_aside", kind="errand")
        assert (waiting, aside, owners.hlr.errands.items) == (2, 0, [])
        owners.hlr.errands.fail = None
        await owners.hlr.errands.heard(2)
        assert [item.entity_id for item in owners.hlr.errands.items] == [1, 2]
        await harness.until(lambda: gateway.metric("smsbridge_journal_depth", kind="errand") == 0)


async def test_what_hlr_refuses_is_set_aside_and_blocks_nobody(registered: Store, tmp_path: Path) -> None:
    owners = harness.Owners(address=unused_address())
    taken = owners.hlr.answer
    owners.hlr.answer = lambda item: (
        hlr_pb2.ErrandAnswer(result=hlr_pb2.ERRAND_RESULT_REFUSED, reason="NoSuchLead")
        if item.entity_id == 1
        else taken(item)
    )
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        for number in (1, 2):
            assert (await gateway.post("events", event("ONCRMLEADADD", number)))[0] == 200
        async with harness.running_owners(owners):
            await harness.until(lambda: gateway.metric("smsbridge_journal_depth", kind="errand") == 0)
            assert gateway.metric("smsbridge_journal_set_aside", kind="errand") == 1


async def test_an_errand_of_a_removed_provider_is_set_aside(registered: Store, tmp_path: Path) -> None:
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        assert (await gateway.post("events", event("ONCRMLEADADD")))[0] == 200
    await harness.remove(registered)
    owners.hlr.answer = lambda item: hlr_pb2.ErrandAnswer(result=hlr_pb2.ERRAND_RESULT_UNKNOWN_PROVIDER)
    async with (
        harness.running_owners(owners),
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        await harness.until(lambda: gateway.metric("smsbridge_journal_set_aside", kind="errand") == 1)


async def test_a_removed_provider_has_no_such_doors(registered: Store, tmp_path: Path) -> None:
    await harness.remove(registered)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway,
    ):
        assert await gateway.post(SEND, run()) == (404, "")
        assert await gateway.post(LOOK_UP, run("smsc.hlr")) == (404, "")
        assert await gateway.call("GET", gateway.path("hlr") + "?entity=lead_1") == (404, "")
        assert await gateway.post("events", event("ONCRMLEADADD")) == (404, "")
        assert (owners.sender.items, owners.hlr.errands.items) == ([], [])


async def test_without_hlr_and_journal_the_caller_is_told(registered: Store, tmp_path: Path) -> None:
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        await gateway.role.journal.close()
        assert (await gateway.post(SEND, run()))[0] == 503
        assert (await gateway.post(LOOK_UP, run("smsc.hlr")))[0] == 503
        assert (await gateway.post("hlr?entity=lead_1", ""))[0] == 503
        assert (await gateway.post("events", event("ONCRMLEADADD")))[0] == 503
        assert gateway.metric("smsbridge_gateway_errands_total", kind="step", result="lost") == 1


async def test_the_ledgers_depth_counts_no_errands(registered: Store, tmp_path: Path) -> None:
    owners = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, owners.endpoints, tmp_path) as gateway:
        assert (await gateway.post(SEND, run()))[0] == 200
        assert (await gateway.post(LOOK_UP, run("smsc.hlr")))[0] == 200
        async with asyncio.timeout(10):
            while await registered.redis.hvals(standing.DEPTHS_KEY) != [b"1"]:
                pass
        assert gateway.role.journal.depth == 2


async def test_an_orphans_errands_are_handed_over(registered: Store, tmp_path: Path) -> None:
    away = harness.Owners(address=unused_address())
    async with harness.running_gateway(registered, away.endpoints, tmp_path) as gateway:
        assert (await gateway.post("events", event("ONCRMLEADADD", 5)))[0] == 200
    async with harness.running_owners() as owners:
        owners.hlr.errands.fail = grpc.StatusCode.UNIMPLEMENTED
        report = await drained(tmp_path, owners.endpoints)
        assert (report.empty, report.left[Kind.ERRAND], report.set_aside[Kind.ERRAND]) == (False, 1, 0)
        owners.hlr.errands.fail = None
        report = await drained(tmp_path, owners.endpoints)
        assert (report.empty, report.found[Kind.ERRAND], report.left[Kind.ERRAND]) == (True, 1, 0)
        assert [item.entity_id for item in owners.hlr.errands.items] == [5]


async def drained(folder: Path, endpoints: rpc.Endpoints) -> orphan.DrainReport:
    async with rpc.channel(endpoints.hlr) as channel:
        clients = orphan.Clients(SenderClient(channel), StatusClient(channel), HlrClient(channel))
        return await orphan.drain_directory(
            folder, Keyring([harness.MASTER]), clients, now_ms=lambda: 0, busy_seconds=0.1
        )


async def test_a_portal_that_runs_our_steps_and_tells_its_events_is_understood(
    store: Store, tmp_path: Path
) -> None:
    """The stand-in for a portal posts what the facts say, to the gateway itself."""
    await harness.register(store)
    async with (
        sandbox_world.living() as world,
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        await world.ready()
        base = f"http://{gateway.role.address}"
        handlers = base + gateway.path("robots")
        async with transport.Transport() as http:
            caller = client.Bitrix24Client(http, limiter.LocalLimiter(), client.ClientSettings(sandbox=True))
            token = client.Token(world.token, 0, world.sandbox.portal_url(sandbox_world.DOMAIN))
            api = client.PortalApi(caller, harness.MEMBER_ID, client.FixedToken(token))
            specs = steps.all_specs("smsc", handlers=handlers)
            added = await api.batch(
                [bizproc.add_command(kind, spec) for kind, spec in specs], priority=limiter.Priority.TOKENS
            )
            assert all(result.ok for result in added.results)
        settings: dict[str, str | list[str]] = {
            "phone": [PHONE, "+79991111111"],
            "text": "Заявка принята",
            "channel": "cascade",
            "wait_seconds": "120",
            "await_final": "Y",
        }
        deal = RunOrder(code="smsc.send", document=DocumentKind.DEAL, properties=settings, copies=2)
        sent = await world.client.run(sandbox_world.DOMAIN, deal)
        contact = RunOrder(code="smsc.hlr.step", document=DocumentKind.CONTACT, properties={"phone": PHONE})
        checked = await world.client.run(sandbox_world.DOMAIN, contact)
        assert {post.status for post in [*sent.posts, *checked.posts]} == {200}
        assert [(m.event_token, m.recipient, m.text, m.document_type) for m in owners.sender.items] == [
            (sent.token, PHONE, "Заявка принята", "DEAL")
        ] * 2
        first = owners.sender.items[0]
        assert (first.route, first.wait_seconds) == (types_pb2.ROUTE_CASCADE, 120)
        assert (first.report_to, first.code) == (types_pb2.REPORT_TO_ROBOT, "smsc")
        assert [(e.event_token, e.phone) for e in owners.hlr.errands.items] == [(checked.token, PHONE)]

        bound = await world.rest("event.bind", event="ONCRMLEADADD", handler=base + gateway.path("events"))
        assert bound["result"] is True
        order = EntitiesOrder(phones=[[PHONE]])
        (lead,) = await world.client.create_entities(sandbox_world.DOMAIN, "lead", order)
        await owners.hlr.errands.heard(2)
        added = owners.hlr.errands.items[1]
        assert (added.kind, added.entity_id) == (hlr_pb2.ERRAND_KIND_ADDED, lead)
