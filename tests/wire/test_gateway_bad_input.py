"""What strangers and broken callers send: one row each, with the exact status and what went on to the sender.

A valid key and a readable message_id always give 200: Bitrix24 ignores our answer, so a refusal would be a
silent loss.
"""

import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from smsbridge.api.v1 import types_pb2
from smsbridge.core.provider import AccountSettings, Profile
from smsbridge.store.connection import Store
from tests.wire import gateway_harness as harness

MIB = 1024 * 1024
ID = harness.MESSAGE_ID
SECRET = "callback-secret"
SIGNED = harness.provider(
    uid="uid-signed",
    name="signed",
    account=AccountSettings(profile=Profile.HTTP, login="signed", password="pw", callback_secret=SECRET),
)
GUIDE = harness.provider(
    uid="uid-guide",
    name="guide",
    account=AccountSettings(profile=Profile.GUIDE, login="guide", password="pw"),
)


@dataclass(frozen=True)
class Row:
    """`path` has {handler} and the like for real doors; `sent`: fields of what reached the owner."""

    name: str
    status: int
    path: str = "{handler}"
    method: str = "POST"
    body: Any = b""
    content_type: str | None = harness.FORM
    headers: Mapping[str, str] = field(default_factory=dict)
    messages: int = 0
    receipts: int = 0
    errands: int = 0
    sent: Mapping[str, Any] = field(default_factory=dict)
    answered: Mapping[str, str] = field(default_factory=dict)


def kept(name: str, body: Any, **sent: Any) -> Row:
    """Accepted: 200 and handed over."""
    return Row(name, 200, body=body, messages=1, sent=sent)


def form(**changes: str) -> str:
    return harness.form(**changes)


def raw(rest: str) -> bytes:
    return f"message_id={ID}&message_to=%2B79990000000&code=smsc&message_body=".encode() + rest.encode(
        "latin-1"
    )


def as_json(**fields: Any) -> Row:
    return Row(
        "", 200, body=json.dumps({"message_id": ID, **fields}), content_type="application/json", messages=1
    )


def nested(depth: int) -> str:
    return "x" + "[a]" * depth + "=1&"


def signature(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def big_step(size: int) -> bytes:
    body = b"event_token=t&code=smsc.send&properties[phone]=7&properties[text]="
    return body + b"a" * (size - len(body))


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65_536):
        yield b"a" * 65_536


UNKNOWN_PATHS = [
    Row("root", 404, path="/"),
    Row("nothing there", 404, path="/admin"),
    Row("metrics are internal", 404, path="/metrics", method="GET"),
    Row("readiness is internal", 404, path="/readyz", method="GET"),
    Row("key cut off", 404, path="/bitrix24/crm/smsc/handler", body=form()),
    Row("empty key", 404, path="/bitrix24/crm/smsc//handler", body=form()),
    Row("wrong key", 404, path="/bitrix24/crm/smsc/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/handler", body=form()),
    Row("the key in capitals", 404, path="{handler:upper}", body=form()),
    Row("a key that is no text", 404, path="/bitrix24/crm/smsc/%FF%FE%00/handler", body=form()),
    Row("a key of another side", 404, path="{callback:as handler}", body=form()),
    Row("unknown provider", 404, path="{handler:of nobody}", body=form()),
    Row("a neighbour's key", 404, path="{handler:of guide for smsc}", body=form()),
    Row("a slash too many", 404, path="{handler}/", body=form()),
    Row("a name in capitals", 404, path="{handler:SMSC}", body=form()),
    Row("dots in the path", 404, path="{handler}/../handler", body=form()),
    Row("unknown door of a known key", 404, path="{handler:as unknown}", body=form()),
    Row("robots without a code", 404, path="{handler:as robots}", body="event_token=t"),
    Row("robots with an empty code", 404, path="{handler:as robots}/", body="event_token=t"),
    Row("robots with a part too many", 404, path="{handler:as robots}/smsc.send/x", body="event_token=t"),
    Row("robots of the other side", 404, path="{callback:as robots}/smsc.send", body="event_token=t"),
    Row("another door with a part too many", 404, path="{handler}/smsc.send", body=form()),
    Row("robots with a wrong key", 404, path="{robots:upper}", body="event_token=t"),
    Row("a webhook step with a wrong key", 404, path="{hlr:upper}?entity=lead_1"),
]

METHODS = [
    Row("GET on the handler", 405, method="GET", answered={"Allow": "POST"}),
    Row("HEAD on the handler", 405, method="HEAD", answered={"Allow": "POST"}),
    Row("OPTIONS on the handler", 405, method="OPTIONS", answered={"Allow": "POST"}),
    Row("GET on install", 405, path="{install}", method="GET", answered={"Allow": "POST"}),
    Row("DELETE on a callback", 405, path="{callback}", method="DELETE", answered={"Allow": "GET, POST"}),
    Row("GET on a step", 405, path="{robots}", method="GET", answered={"Allow": "POST"}),
    Row("GET on events", 405, path="{events}", method="GET", answered={"Allow": "POST"}),
    Row("HEAD on a webhook step", 405, path="{hlr}", method="HEAD", answered={"Allow": "GET, POST"}),
    Row("PUT on a webhook step", 405, path="{hlr}", method="PUT", answered={"Allow": "GET, POST"}),
    Row("GET with a wrong key", 404, path="{handler:upper}", method="GET"),
]

UNREADABLE = [
    Row("an empty body", 400),
    Row("no message_id", 400, body="message_to=%2B79990000000&message_body=x"),
    Row("an empty message_id", 400, body="message_id=&message_to=1&message_body=x"),
    Row("a message_id that is a list", 400, body="message_id[]=a&message_to=1"),
    Row("a message_id with spaces", 400, body="message_id=a+b"),
    Row("a message_id of 65 characters", 400, body="message_id=" + "a" * 65),
    Row("a message_id with a NUL", 400, body="message_id=a%00b"),
    Row("a message_id in Cyrillic", 400, body="message_id=%D0%B0"),
    Row("no form at all", 400, body=b"\x00\xff\xfe=\x80&&&=&%%%"),
    Row("JSON cut off", 400, body='{"message_id": "a"', content_type="application/json"),
    Row("a JSON list", 400, body="[1, 2]", content_type="application/json"),
    Row("a JSON number", 400, body="1", content_type="application/json"),
    Row("JSON 100,000 deep", 400, body="[" * 100_000, content_type="application/json"),
    Row("JSON without a message_id", 400, body="{}", content_type="application/json"),
    Row("an install post that is none", 400, path="{install}", body="a=b"),
    Row("an unknown event", 400, path="{events}", body="event=ONNOTHING"),
    Row("an event without an id", 400, path="{events}", body="event=ONCRMLEADADD"),
    Row("an event of entity 0", 400, path="{events}", body="event=ONCRMLEADADD&data[FIELDS][ID]=0"),
    Row(
        "an event of an id beyond any",
        400,
        path="{events}",
        body="event=ONCRMLEADADD&data[FIELDS][ID]=" + "9" * 19,
    ),
    Row("an empty step", 400, path="{robots}"),
    Row("a step without a token", 400, path="{robots}", body="code=smsc.send&properties[phone]=7"),
    Row("a foreign step without a token", 400, path="{robots}", body="code=other"),
    Row("a step's token that is a list", 400, path="{robots}", body="event_token[]=t&code=smsc.send"),
    Row("a step's token with a space", 400, path="{robots}", body="event_token=a+b"),
    Row("a step's token in broken UTF-8", 400, path="{robots}", body="event_token=a%FF"),
    Row("a step's token of 2,000 characters", 400, path="{robots}", body="event_token=" + "a" * 2000),
    Row("a step in broken JSON", 400, path="{robots}", body="{", content_type="application/json"),
    Row("a webhook step of nothing", 400, path="{hlr}"),
    Row("a webhook step of nothing by GET", 400, path="{hlr}", method="GET"),
    Row("a webhook step of a phone only", 400, path="{hlr}?phone=79990000000", method="GET"),
    Row("a webhook step of a deal", 400, path="{hlr}?entity=deal_5", method="GET"),
    Row("a webhook step of entity 0", 400, path="{hlr}?entity=lead_0", method="GET"),
    Row("a webhook step of an id beyond any", 400, path="{hlr}?entity=lead_" + "9" * 19, method="GET"),
    Row("a webhook step whose field was empty", 400, path="{hlr}?entity=lead_", body="document_id[]=LEAD_98"),
    Row("a webhook step of a deal's document", 400, path="{hlr}", body="document_id[2]=DEAL_98"),
    Row("a webhook step of nested garbage", 400, path="{hlr}", body="document_id[a][b][c]=LEAD_98"),
    Row("a webhook step's query of garbage", 400, path="{hlr}?%FF%00&&=&entity[]=lead_1&%zz", method="GET"),
    Row("a frame without tokens", 400, path="{install}", body="DOMAIN=x&member_id=y"),
]

FORMATS = [
    Row("plain text", 415, body=form(), content_type="text/plain"),
    Row("multipart", 415, body=form(), content_type="multipart/form-data; boundary=x"),
    Row("XML", 415, body="<a/>", content_type="text/xml"),
    Row("a content type that is none", 415, body=form(), content_type="?"),
    Row("packed", 415, body=gzip.compress(form().encode()), headers={"Content-Encoding": "gzip"}),
    Row("a step in plain text", 415, path="{robots}", body="event_token=t", content_type="text/plain"),
    Row("a webhook step in plain text", 415, path="{hlr}?entity=lead_1", body="x", content_type="text/plain"),
    Row(
        "a packed event",
        415,
        path="{events}",
        body=gzip.compress(b"event=ONCRMLEADADD&data[FIELDS][ID]=1"),
        headers={"Content-Encoding": "gzip"},
    ),
    Row("badly packed", 415, body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    Row("no content type", 200, body=form(), content_type=None, messages=1),
    Row("an empty content type", 200, body=form(), content_type="", messages=1),
    Row(
        "capitals and a charset",
        200,
        body=form(),
        content_type="Application/X-WWW-Form-URLencoded; charset=UTF-8",
        messages=1,
    ),
]

SIZES = [
    Row("10 MB", 413, body=b"a" * (10 * MIB)),
    Row("one byte over", 413, body=raw("a" * (MIB + 1 - len(raw("")))), messages=0),
    Row("10 MB without a length", 413, body=lambda: chunks(10 * MIB)),
    Row(
        "a small post that unpacks to 10 MB",
        415,
        body=gzip.compress(b"a" * (10 * MIB)),
        headers={"Content-Encoding": "gzip"},
    ),
    Row("10 MB to a callback", 413, path="{callback}", body=b"a" * (10 * MIB)),
    Row("10 MB to a step", 413, path="{robots}", body=b"a" * (10 * MIB)),
    Row("10 MB to a webhook step", 413, path="{hlr}", body=b"a" * (10 * MIB)),
    Row("10 MB by GET to a webhook step", 413, path="{hlr}", method="GET", body=b"a" * (10 * MIB)),
    Row("a step of exactly 1 MiB", 200, path="{robots}", body=big_step(MIB), messages=1),
    Row(
        "a step with 10,000 keys before it",
        200,
        path="{robots}",
        body="".join(f"k{n}={n}&" for n in range(10_000)) + "event_token=t&code=smsc.send",
        messages=1,
        sent={"event_token": "t", "text": "", "code": "smsc"},
    ),
    Row(
        "a step for another's code, 10,000 keys before it",
        200,
        path="{robots}",
        body="".join(f"k{n}={n}&" for n in range(10_000)) + "event_token=t&code=other.send",
        messages=1,
        sent={"event_token": "t", "code": "/"},
    ),
    Row("a webhook step of 1 MiB", 200, path="{hlr}?entity=lead_1", body=b"a" * MIB, errands=1),
    kept("exactly 1 MiB", raw("a" * (MIB - len(raw(""))))),
    kept("10,000 keys, the id first", form() + "".join(f"&k{n}={n}" for n in range(10_000)), message_id=ID),
    kept("10,000 keys, the id last", "".join(f"k{n}={n}&" for n in range(10_000)) + form(), message_id=ID),
    kept("nesting 100 deep", nested(100) + form(), message_id=ID),
    kept("a key of 10,000 characters", "k" * 10_000 + "=1&" + form(), message_id=ID),
    replace(as_json(x={"a": {"b": [[[[[[[[[[1]]]]]]]]]]}}), name="JSON nesting beyond the limit"),
    replace(as_json(**{f"k{n}": n for n in range(10_000)}), name="JSON with 10,000 keys"),
]

CONTENT = [
    kept(
        "no auth",
        form(**{"auth[domain]": "", "auth[member_id]": "", "auth[application_token]": ""}),
        token_check=types_pb2.TOKEN_CHECK_ABSENT,
    ),
    kept(
        "a wrong token",
        form(**{"auth[application_token]": "0" * 32}),
        token_check=types_pb2.TOKEN_CHECK_MISMATCH,
    ),
    kept("an empty token", raw("x&auth[application_token]="), token_check=types_pb2.TOKEN_CHECK_ABSENT),
    kept(
        "a token in Cyrillic",
        form(**{"auth[application_token]": "токен"}),
        token_check=types_pb2.TOKEN_CHECK_MISMATCH,
    ),
    kept("auth that is no map", raw("x&auth=1"), token_check=types_pb2.TOKEN_CHECK_ABSENT),
    kept("a foreign code", form(code="another"), code="another"),
    kept("no code", form(code=""), code=""),
    kept("an empty text", form(**{"message_body": "", "properties[message_text]": ""}), text=""),
    kept("20,000 characters", form(message_body="я" * 20_000), text="я" * 20_000),
    kept("a phone `call me`", form(message_to="call me"), recipient="call me"),
    kept("no phone", form(**{"message_to": "", "properties[phone_number]": ""}), recipient=""),
    kept("a phone in properties only", form(message_to=""), recipient="+79990000000"),
    kept("an unknown module", form(module_id="voting"), origin=types_pb2.ORIGIN_SERVICE),
    kept("broken percent signs", raw("100%&x=%&y=%zz"), text="100%"),
    kept("broken UTF-8", raw("%D0%FFok"), text="\ufffd\ufffdok"),
    kept("a NUL", raw("a%00b"), text="a\ufffdb"),
    kept("raw bytes", raw("\xd0\xbf"), text="п"),
    kept(
        "raw brackets",
        f"message_id={ID}&auth[application_token]={harness.TOKEN}",
        token_check=types_pb2.TOKEN_CHECK_MATCH,
    ),
    kept("the same key twice", form() + "&message_body=second", text="second"),
    kept("a scalar where a map should be", form() + "&properties=1&bindings=2", message_id=ID),
    kept("a map where a scalar should be", form() + "&message_body[a]=1", text="Ваш код: 1234"),
    replace(as_json(message_body="a\ud800b"), name="half a surrogate pair", sent={"text": "a\ufffdb"}),
    replace(as_json(message_body="a\x00b"), name="a NUL in JSON", sent={"text": "a\ufffdb"}),
    replace(
        as_json(message_body=["a"], message_to={"b": 1}),
        name="JSON of the wrong kinds",
        sent={"text": "", "recipient": ""},
    ),
    replace(
        as_json(message_to=79990000000, ts=10**30), name="JSON numbers", sent={"recipient": "79990000000"}
    ),
]


def step(name: str, settings: str, **sent: Any) -> Row:
    """A step that sends; whatever its settings are, somebody may wait for its answer."""
    body = f"event_token=t&code=smsc.send&{settings}"
    return Row(name, 200, path="{robots}", body=body, messages=1, sent={"event_token": "t", **sent})


STEPS = [
    step("a step without settings", "", recipient="", text="", wait_seconds=0, route=0),
    step("settings that are no map", "properties=1", recipient="", text=""),
    step("settings in deep nests", "properties[phone][a][b]=1&" + nested(100), recipient=""),
    step("a phone of letters", "properties[phone]=call+me", recipient="call me"),
    step("an unknown channel", "properties[channel]=pigeon", route=types_pb2.ROUTE_UNSPECIFIED),
    step("a channel that is a map", "properties[channel][a][b]=sms", route=types_pb2.ROUTE_UNSPECIFIED),
    step("half a wait", "properties[wait_seconds]=1.5", wait_seconds=0),
    step("a wait below nothing", "properties[wait_seconds]=-60", wait_seconds=0),
    step("a wait in words", "properties[wait_seconds]=soon", wait_seconds=0),
    step("a wait in other digits", "properties[wait_seconds]=%C2%B2", wait_seconds=0),
    step("a wait without end", "properties[wait_seconds]=" + "9" * 10_000, wait_seconds=86_400),
    step("auth that is no map at a step", "auth=1", token_check=types_pb2.TOKEN_CHECK_ABSENT),
    step("documents that are none", "document_type=1&document_id[a]=2", document_type=""),
    Row(
        "a step in JSON of the wrong kinds",
        200,
        path="{robots}",
        content_type="application/json",
        body=json.dumps(
            {"event_token": "t", "code": 5, "properties": [{"phone": 1}], "auth": [], "use_subscription": {}}
        ),
        messages=1,
        sent={"event_token": "t", "code": "/", "report_to": types_pb2.REPORT_TO_ROBOT_AT_ONCE},
    ),
    Row("an event of no interest", 200, path="{events}", body="event=ONCRMDEALADD&data[FIELDS][ID]=1"),
    Row("an event", 200, path="{events}", body="event=oncrmleadadd&data[FIELDS][ID]=1", errands=1),
    Row("a webhook step by GET", 200, path="{hlr}?entity=lead/1", method="GET", errands=1),
    Row("a webhook step's phone of letters", 200, path="{hlr}?entity=lead_1&phone=me%FF%00", errands=1),
    Row("a query of 5,000 characters", 200, path="{hlr}?entity=lead_1&phone=" + "7" * 5000, errands=1),
    Row("a GET with a body", 200, path="{hlr}?entity=lead_1", method="GET", body="{", errands=1),
]

CALLBACKS = [
    Row("an unknown id", 200, path="{callback}", body="id=404&phone=79990000000&status=1", receipts=1),
    Row("by GET", 200, path="{callback}?id=5&phone=79990000000&status=1", method="GET", receipts=1),
    Row(
        "as JSON",
        200,
        path="{callback}",
        body='[{"id": 1, "phone": "7999", "status": 1}, {"id": 2, "status": 3}]',
        content_type="application/json",
        receipts=2,
    ),
    Row("nothing", 200, path="{callback}"),
    Row("nothing by GET", 200, path="{callback}", method="GET"),
    Row("an incoming SMS", 200, path="{callback}", body="phone=79990000000&mes=hello&to=1&sms_id=1"),
    Row("a call confirmation", 200, path="{callback}", body="phone=79990000000&waitcall=1&ts=1"),
    Row("a status that is none", 200, path="{callback}", body="id=1&phone=7&status=delivered"),
    Row("a status beyond any", 200, path="{callback}", body="id=1&phone=7&status=99999999999"),
    Row(
        "a price beyond any",
        200,
        path="{callback}",
        body="id=1&phone=79990000000&status=1&cost=1e999999",
        receipts=1,
        sent={"cost": ""},
    ),
    Row(
        "a content type of its own",
        200,
        path="{callback}",
        body="id=1&phone=7&status=1",
        content_type="text/plain",
        receipts=1,
    ),
    Row("broken JSON", 200, path="{callback}", body="{", content_type="application/json"),
    Row("broken bytes", 200, path="{callback}", body=b"id=%FF%00&status=1&phone=%zz", receipts=1),
    Row(
        "signed rightly",
        200,
        path="{callback of signed}",
        body=f"id=1&phone=79990000000&status=1&md5={signature(f'1:79990000000:1:{SECRET}')}",
        receipts=1,
    ),
    Row(
        "signed in capitals",
        200,
        path="{callback of signed}",
        body=f"id=1&phone=79990000000&status=1&md5={signature(f'1:79990000000:1:{SECRET}').upper()}",
        receipts=1,
    ),
    Row(
        "signed for another status",
        403,
        path="{callback of signed}",
        body=f"id=1&phone=79990000000&status=1&md5={signature(f'1:79990000000:3:{SECRET}')}",
    ),
    Row("not signed", 403, path="{callback of signed}", body="id=1&phone=79990000000&status=1"),
    Row("an empty signature", 403, path="{callback of signed}", body="id=1&phone=79990000000&status=1&md5="),
    Row(
        "one of two not signed",
        403,
        path="{callback of signed}",
        content_type="application/json",
        body=json.dumps(
            [
                {"id": "1", "phone": "7999", "status": "1", "md5": signature(f"1:7999:1:{SECRET}")},
                {"id": "2", "phone": "7999", "status": "1"},
            ]
        ),
    ),
    Row(
        "a false signature by GET",
        403,
        path="{callback of signed}?id=1&phone=7&status=1&md5=00",
        method="GET",
    ),
    Row("a wrong key", 404, path="{callback:upper}", body="id=1&phone=7&status=1"),
    Row("profile guide without a phone", 200, path="{callback of guide}", body="id=1&status=20", receipts=1),
    Row(
        "profile guide, HLR's type means nothing",
        200,
        path="{callback of guide}",
        body="id=1&phone=79990000000&status=1&type=4",
        receipts=1,
    ),
]

ROWS = [*UNKNOWN_PATHS, *METHODS, *UNREADABLE, *FORMATS, *SIZES, *CONTENT, *STEPS, *CALLBACKS]


def paths(gateway: harness.Gateway) -> dict[str, str]:
    handler, callback = gateway.path("handler"), gateway.path("callback")
    key, callback_key = handler.split("/")[4], callback.split("/")[4]
    nobody = harness.provider(uid="uid-nobody", name="nobody")
    return {
        "{handler}": handler,
        "{install}": gateway.path("install"),
        "{events}": gateway.path("events"),
        "{robots}": gateway.path("robots/smsc.send"),
        "{hlr}": gateway.path("hlr"),
        "{callback}": callback,
        "{callback of signed}": gateway.path("callback", SIGNED),
        "{callback of guide}": gateway.path("callback", GUIDE),
        "{handler:upper}": handler.replace(key, key.upper()),
        "{callback:upper}": callback.replace(callback_key, callback_key.upper()),
        "{callback:as handler}": gateway.path("handler", key=callback_key),
        "{handler:of nobody}": gateway.path("handler", nobody),
        "{handler:of guide for smsc}": gateway.path(
            "handler", key=gateway.path("handler", GUIDE).split("/")[4]
        ),
        "{handler:SMSC}": handler.replace("/smsc/", "/SMSC/"),
        "{handler:as unknown}": handler.replace("/handler", "/unknown"),
        "{handler:as robots}": handler.replace("/handler", "/robots"),
        "{callback:as robots}": callback.replace("/callback", "/robots"),
        "{robots:upper}": gateway.path("robots/smsc.send", key=key.upper()),
        "{hlr:upper}": gateway.path("hlr", key=key.upper()),
    }


def located(path: str, known: Mapping[str, str]) -> str:
    for name, real in known.items():
        path = path.replace(name, real)
    assert "{" not in path
    return path


async def send(gateway: harness.Gateway, row: Row) -> tuple[int, Mapping[str, str], str]:
    url = f"http://{gateway.role.address}{located(row.path, paths(gateway))}"
    body: Callable[[], Any] = row.body if callable(row.body) else lambda: row.body
    headers = {**row.headers, **({} if row.content_type is None else {"Content-Type": row.content_type})}
    skip = ["Content-Type"] if row.content_type is None else []
    packed = {"compress": None} if "Content-Encoding" in headers else {}
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, skip_auto_headers=skip) as session:
        answer = session.request(
            row.method, _exactly(url), data=body(), headers=headers, allow_redirects=False, **packed
        )
        async with answer as response:
            return response.status, response.headers, await response.text()


def _exactly(url: str) -> URL:
    """As it is written: no dots resolved, no percent signs touched."""
    return URL(url, encoded=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_row(stage: "Stage", row: Row) -> None:
    owners, gateway = stage
    status, headers, text = await send(gateway, row)
    assert status == row.status
    assert {name: headers.get(name) for name in row.answered} == row.answered
    assert text == ("{}" if status == 200 else "")
    assert (len(owners.sender.items), len(owners.status.items)) == (row.messages, row.receipts)
    assert len(owners.hlr.errands.items) == row.errands
    for item in [*owners.sender.items, *owners.status.items][:1]:
        assert {name: getattr(item, name) for name in row.sent} == row.sent
    # It still works.
    assert (await gateway.post("handler", harness.form("afterwards")))[0] == 200
    assert owners.sender.items[-1].message_id == "afterwards"


def test_there_are_many_rows_and_no_two_of_a_name() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 50


async def test_an_uninstalled_portal_is_served_and_its_token_held(store: Store, tmp_path: Path) -> None:
    await harness.register(store)
    await harness.installed(store)
    await harness.uninstalled(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        body = harness.form(**{"auth[application_token]": "0" * 32})
        assert (await gateway.post("handler", body))[0] == 200
        assert owners.sender.items[0].token_check == types_pb2.TOKEN_CHECK_MISMATCH


Stage = tuple[harness.Owners, harness.Gateway]


@pytest.fixture
async def stage(store: Store, tmp_path: Path) -> AsyncIterator[Stage]:
    await harness.register(store, harness.PROVIDER, SIGNED, GUIDE)
    await harness.installed(store)
    async with (
        harness.running_owners() as owners,
        harness.running_gateway(store, owners.endpoints, tmp_path) as gateway,
    ):
        yield owners, gateway
