"""What is posted, byte by byte, and what may not be."""

from urllib.parse import parse_qsl

import pytest

from smsbridge.core.errors import InputError
from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.smsc import wire
from smsbridge.smsc.account import Account
from smsbridge.smsc.wire import SendRequest

GUIDE = Account(
    base_url="https://smsc.ru", profile=Profile.GUIDE, login="acme", password="p w&d", sender_id="ACME"
)
HTTP = Account(base_url="https://smsc.ru", profile=Profile.HTTP, api_key="k-1")
A, B = "79990000001", "79990000002"


def request(**changes):
    values = {"client_id": "01J", "numbers": ((A, "Hi"), (B, "Hi")), "channel": Channel.SMS}
    return SendRequest(**{**values, **changes})


BODIES = [
    (GUIDE, {}, b"id=01J&phones=79990000001%2C79990000002&mes=Hi&fmt=3&op=1&charset=utf-8&sender=ACME"),
    (
        GUIDE,
        {"numbers": ((A, "Привет, +1 & 2\n"),), "sender_id": "OTHER"},
        b"id=01J&phones=79990000001&mes=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82%2C+%2B1+%26+2%0A"
        b"&fmt=3&op=1&charset=utf-8&sender=OTHER",
    ),
    (
        GUIDE,
        {"channel": Channel.VIBER},
        b"id=01J&phones=79990000001%2C79990000002&mes=Hi&fmt=3&op=1&charset=utf-8&sender=ACME&viber=1",
    ),
    (
        GUIDE,
        {"channel": Channel.VIBER, "fallback_seconds": 3600},
        b"id=01J&phones=79990000001%2C79990000002&mes=Hi&fmt=3&op=1&charset=utf-8&sender=ACME"
        b"&viber=1&viber_timeout=3600",
    ),
    (HTTP, {}, b"id=01J&phones=79990000001%2C79990000002&mes=Hi&fmt=3&op=1&charset=utf-8&cost=3"),
    (
        HTTP,
        {"numbers": ((A, "one: 1"), (B, "two\r\nlines")), "sender_id": "ACME"},
        b"id=01J&list=79990000001%3Aone%3A+1%0A79990000002%3Atwo%5Cnlines"
        b"&fmt=3&op=1&charset=utf-8&cost=3&sender=ACME",
    ),
    (
        HTTP,
        {"channel": Channel.VIBER, "valid_seconds": 3601},
        b"id=01J&phones=79990000001%2C79990000002&mes=Hi&fmt=3&op=1&charset=utf-8&cost=3&viber=1&valid=01%3A01",
    ),
    (
        HTTP,
        {"numbers": ((A, "\ud800"),)},
        b"id=01J&phones=79990000001&mes=%3F&fmt=3&op=1&charset=utf-8&cost=3",
    ),
]


@pytest.mark.parametrize(("account", "changes", "body"), BODIES)
def test_encode(account, changes, body):
    assert wire.encode(account, request(**changes)) == body


@pytest.mark.parametrize(("account", "changes", "body"), BODIES)
def test_the_numbers_of_a_stored_form_can_be_read_back(account, changes, body):
    assert wire.numbers_in(body) == tuple(phone for phone, _ in request(**changes).numbers)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "00:01"),
        (60, "00:01"),
        (61, "00:02"),
        (3600, "01:00"),
        (86_399, "24:00"),
        (86_400, "24:00"),
        (259_200, "24:00"),
    ],
)
def test_validity_is_rounded_up_to_a_minute_and_ends_at_a_day(seconds, text):
    assert dict(parse_qsl(wire.encode(HTTP, request(valid_seconds=seconds)).decode()))["valid"] == text


@pytest.mark.parametrize(
    ("account", "changes", "field"),
    [
        (GUIDE, {"numbers": ((A, "one"), (B, "two"))}, "numbers"),
        (GUIDE, {"valid_seconds": 60}, "valid_seconds"),
        (GUIDE, {"fallback_seconds": 60}, "fallback_seconds"),
        (GUIDE, {"channel": Channel.VIBER, "fallback_seconds": 0}, "fallback_seconds"),
        (HTTP, {"channel": Channel.VIBER, "fallback_seconds": 60}, "fallback_seconds"),
        (HTTP, {"valid_seconds": 0}, "valid_seconds"),
        (HTTP, {"numbers": ()}, "numbers"),
        (HTTP, {"numbers": ((A, "one"), (A, "two"))}, "numbers"),
        (HTTP, {"numbers": (("+" + A, "one"),)}, "numbers"),
        (HTTP, {"numbers": (("G1", "one"),)}, "numbers"),
        (HTTP, {"client_id": ""}, "client_id"),
        (HTTP, {"client_id": "x" * 41}, "client_id"),
        (HTTP, {"client_id": "a,b"}, "client_id"),
    ],
)
def test_what_a_profile_cannot_say_is_refused(account, changes, field):
    with pytest.raises(InputError) as refusal:
        wire.encode(account, request(**changes))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("profile", "text", "mixes"),
    [
        (Profile.GUIDE, "", False),
        (Profile.HTTP, "", True),
        (Profile.HTTP, "two\nlines", True),
        (Profile.HTTP, r"C:\new", False),  # `list` would make a line break of it
    ],
)
def test_which_texts_may_share_a_request(profile, text, mixes):
    assert wire.can_mix_texts(profile, text) is mixes


def test_credentials_are_added_to_the_form_and_an_api_key_comes_first():
    assert wire.with_credentials(GUIDE, b"id=1") == b"id=1&login=acme&psw=p+w%26d"
    assert wire.with_credentials(HTTP, b"id=1") == b"id=1&apikey=k-1"


@pytest.mark.parametrize(
    ("pairs", "details", "body"),
    [
        ([("7", A)], False, b"id=7%2C&phone=79990000001%2C&fmt=3&charset=utf-8"),
        ([("7", A), ("7", B)], False, b"id=7%2C7&phone=79990000001%2C79990000002&fmt=3&charset=utf-8"),
        ([("7", A)], True, b"id=7%2C&phone=79990000001%2C&fmt=3&charset=utf-8&all=2"),
    ],
)
def test_status_is_asked_in_list_form(pairs, details, body):
    assert wire.encode_status(pairs, details=details) == body


def test_the_price_question_never_sends():
    form = dict(parse_qsl(wire.encode_cost(HTTP, phone=A, text="x").decode()))
    assert form == {"cost": "1", "phones": A, "mes": "x", "fmt": "3", "charset": "utf-8"}
    with pytest.raises(InputError):
        wire.encode_cost(GUIDE, phone=A, text="x")


def test_account_identity_and_fingerprint():
    same = Account(base_url="https://SMSC.ru/", profile=Profile.HTTP, login="acme", password="other")
    assert same.key == GUIDE.key
    assert len(GUIDE.key) == 32
    assert same.fingerprint != GUIDE.fingerprint
    assert len(GUIDE.fingerprint) == 16
    others = [
        Account(base_url="https://smsc.kz", profile=Profile.GUIDE, login="acme"),
        Account(base_url="https://smsc.ru", profile=Profile.GUIDE, login="acme2"),
        Account(base_url="https://smsc.ru", profile=Profile.GUIDE, api_key="acme"),
        Account(base_url="https://smsc.ru", profile=Profile.GUIDE, api_key="acme2"),
    ]
    assert len({GUIDE.key, *(other.key for other in others)}) == 5


def test_an_account_never_shows_its_secrets():
    account = Account(
        base_url="https://smsc.ru",
        profile=Profile.HTTP,
        login="acme",
        password="pass-1",
        api_key="key-2",
        callback_secret="hook-3",
    )
    assert not any(secret in repr(account) for secret in ("pass-1", "key-2", "hook-3"))
