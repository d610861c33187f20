"""SMSC's callbacks: every way they may come, and the signature over the bytes as they came."""

import hashlib
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote_from_bytes

import pytest

from smsbridge.core.provider import Profile
from smsbridge.smsc import callback
from smsbridge.smsc.callback import CallConfirmed, Incoming, Malformed, Receipt

SECRET = "секрет"
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
A = "79991234567"


def parse(*, query="", kind=FORM, body=b"", method="POST", profile=Profile.HTTP):
    return callback.parse(profile, method, query, kind, body)


def sign(algorithm, *parts):
    data = b":".join(part if isinstance(part, bytes) else part.encode() for part in (*parts, SECRET))
    return f"{zlib.crc32(data):x}" if algorithm == "crc32" else hashlib.new(algorithm, data).hexdigest()


def facts(event):
    return event.smsc_id, event.msisdn, event.code, event.err, event.ts, event.type, event.cost


PLAIN = ("14", A, 1, None, None, None, None)
FULL = ("14", A, 20, 1, 1577550022, 0, Decimal("4.10"))
FULL_FORM = (
    b"id=14&phone=79991234567&status=20&err=1&ts=1577550022&time=28.12.2019+19%3A20%3A22&type=0&cost=4%2C10"
)

CALLS = [
    ({"method": "GET", "query": "id=14&phone=79991234567&status=1"}, [PLAIN]),
    ({"method": "GET", "query": "id=14&status=1"}, [("14", None, 1, None, None, None, None)]),
    ({"query": "id=14&phone=%2B7+999+1234567&status=1"}, [PLAIN]),  # a POST without a body
    ({"body": FULL_FORM}, [FULL]),
    ({"body": FULL_FORM, "kind": f"{FORM}; charset=windows-1251"}, [FULL]),
    ({"body": FULL_FORM, "kind": ""}, [FULL]),
    # the handler URL's options are no fields
    ({"body": b"id=14&phone=79991234567&status=1", "query": "charset=utf-8&id=9&status=3&sha1=s"}, [PLAIN]),
    ({"body": b"id=01J.a-b_c&phone=79991234567&status=-1"}, [("01J.a-b_c", A, -1, None, None, None, None)]),
    ({"kind": JSON, "body": b'{"id":14,"phone":"79991234567","status":1}'}, [PLAIN]),
    ({"kind": "text/plain", "body": b' {"id":"14","phone":79991234567,"status":"1"}'}, [PLAIN]),
    (
        {
            "kind": JSON,
            "body": b'[{"id":14,"phone":"79991234567","status":1},'
            b'{"id":14,"phone":"79991234567","status":20,"err":1,"ts":1577550022,"type":0,"cost":4.10}]',
        },
        [PLAIN, FULL],
    ),
]


@pytest.mark.parametrize(("call", "expected"), CALLS)
@pytest.mark.parametrize("profile", list(Profile))
def test_receipts(profile, call, expected):
    events = parse(profile=profile, **call)
    assert all(isinstance(event, Receipt) for event in events)
    assert [facts(event) for event in events] == expected


def test_the_time_of_a_receipt_is_aware():
    (event,) = parse(body=FULL_FORM)
    assert event.at == datetime(2019, 12, 28, 16, 20, 22, tzinfo=UTC)
    (timeless,) = parse(body=b"id=1&status=1")
    assert timeless.at is None


@pytest.mark.parametrize(
    ("charset", "profile", "is_hlr"), [("utf-8", Profile.HTTP, True), ("cp1251", Profile.GUIDE, False)]
)
def test_look_up_results_keep_their_fields_in_either_charset(charset, profile, is_hlr):
    country = quote_from_bytes("Россия".encode(charset))
    body = f"id=14&phone={A}&status=1&err=0&type=4&imsi=25001&mcc=250&mnc=01&cn={country}&net=MTS&rcn=&flag=x"
    (event,) = parse(body=body.encode(), profile=profile)
    assert event.is_hlr is is_hlr
    assert event.extra == {
        "imsi": "25001",
        "mcc": "250",
        "mnc": "01",
        "cn": "Россия",
        "net": "MTS",
        "rcn": "",
    }


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"body": b"phone=79991234567&mes=hello&to=79990000000&status=1&id=5"}, Incoming),
        ({"body": b"phone=79991234567&waitcall=1&ts=1577550022"}, CallConfirmed),
        ({"kind": JSON, "body": b'{"phone":"79991234567","mes":"hello","to":"1"}'}, Incoming),
    ],
)
def test_events_that_are_no_receipts(call, expected):
    (event,) = parse(**call)
    assert type(event) is expected
    assert "hello" not in repr(event)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"method": "GET"}, "empty"),
        ({}, "empty"),
        ({"kind": JSON, "body": b"[]"}, "empty"),
        ({"kind": JSON, "body": b"{"}, "not_json"),
        ({"kind": JSON, "body": b"[" * 100_000}, "not_json"),
        ({"kind": JSON, "body": b"7"}, "not_an_event"),
        ({"body": b"status=1"}, "no_id"),
        ({"body": b"id=" + b"9" * 65 + b"&status=1"}, "no_id"),
        ({"body": b"id=14&phone=79991234567"}, "no_status"),
        ({"body": b"id=14&status=sent"}, "no_status"),
        ({"body": b"<xml/>"}, "no_id"),
        ({"body": b"a=1&" * 300}, "empty"),
    ],
)
def test_malformed_calls(call, reason):
    assert parse(**call) == [Malformed(reason)]
    assert not callback.verify(Malformed(reason), SECRET)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "crc32"])
@pytest.mark.parametrize("upper", [False, True])
def test_a_signature_is_checked_over_the_bytes_as_they_came(algorithm, upper):
    signature = sign(algorithm, "014", "+7999", "1")
    signature = signature.upper() if upper else signature
    (event,) = parse(body=f"id=014&phone=%2B7999&status=1&{algorithm}={signature}".encode())
    assert callback.verify(event, SECRET)
    assert not callback.verify(event, SECRET + "x")
    (other,) = parse(body=f"id=014&phone=%2B7999&status=2&{algorithm}={signature}".encode())
    assert not callback.verify(other, SECRET)
    (bare,) = parse(body=f"id=14&phone=7999&status=1&{algorithm}={signature}".encode())
    assert not callback.verify(bare, SECRET)


def test_crc32_may_come_without_its_leading_zeros():
    number = next(n for n in range(10_000) if len(sign("crc32", str(n), A, "1")) < 8)
    (event,) = parse(
        body=f"id={number}&phone={A}&status=1&crc32={sign('crc32', str(number), A, '1')}".encode()
    )
    assert callback.verify(event, SECRET)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (
            b"phone=7999&to=123&mes=" + quote_from_bytes("Да".encode("cp1251")).encode(),
            ("7999", "Да".encode("cp1251"), "123"),
        ),
        (b"phone=7999&ts=1577550022&waitcall=1", ("7999", "1577550022")),
        (b"id=14&status=1", ("14", "", "1")),
    ],
)
def test_what_each_kind_of_event_signs(body, parts):
    (event,) = parse(body=body + b"&md5=" + sign("md5", *parts).encode())
    assert callback.verify(event, SECRET)


def test_numbers_in_json_are_signed_as_they_are_written():
    signature = sign("sha1", "14", A, "1")
    (event,) = parse(kind=JSON, body=f'{{"id":14,"phone":"{A}","status":1,"sha1":"{signature}"}}'.encode())
    assert callback.verify(event, SECRET)


@pytest.mark.parametrize("order", ["option first", "option last"])
def test_by_get_the_option_with_the_secret_does_not_hide_the_signature(order):
    signature = sign("sha1", "14", A, "1")
    fields = ["charset=utf-8", "sha1=option", f"id=14&phone={A}&status=1", f"sha1={signature}"]
    query = "&".join(fields if order == "option first" else reversed(fields))
    (event,) = parse(method="GET", query=query)
    assert callback.verify(event, SECRET)


@pytest.mark.parametrize(
    "tail", ["", "&sha1=", "&sha1=zz", "&sha512=00", f"&sha1={quote_from_bytes(SECRET.encode())}"]
)
def test_an_unsigned_call_counts_only_where_the_account_has_no_secret(tail):
    (event,) = parse(body=f"id=14&phone={A}&status=1{tail}".encode())
    assert not callback.verify(event, SECRET)
    assert callback.verify(event, "")
