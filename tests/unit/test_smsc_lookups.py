"""Look-ups on the wire: the exact form, the exact answer, what is read. A newcomer adds a row."""

from decimal import Decimal
from urllib.parse import parse_qsl

import pytest

from smsbridge.core.errors import InputError
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Profile
from smsbridge.smsc import lookup_codes, reading, wire
from smsbridge.smsc.account import Account
from smsbridge.smsc.answers import Accepted, LookedUp, NumberAnswer, Rejected, Unknown

PHONE, OTHER = "79991234567", "79991234568"
GUIDE, HTTP = (Account("https://smsc.ru", profile, login="acme", sender_id="ACME") for profile in Profile)
ACTIVE, UNAVAILABLE, ABSENT, UNKNOWN = Reachability

FORMS = [
    (GUIDE, (PHONE,), f"phones={PHONE}&fmt=3&charset=utf-8"),
    (
        HTTP,
        (PHONE, OTHER),
        f"id=01J&phones={PHONE}%2C{OTHER}&hlr=1&fmt=3&op=1&charset=utf-8&cost=3",
    ),
]


@pytest.mark.parametrize(("account", "phones", "form"), FORMS)
def test_a_look_up_is_written(account: Account, phones: tuple[str, ...], form: str) -> None:
    body = wire.encode_lookup(account, client_id="01J", phones=phones)
    assert body == form.encode()
    assert wire.numbers_in(body) == phones


@pytest.mark.parametrize(
    ("account", "phones"),
    [(GUIDE, (PHONE, OTHER)), (GUIDE, ()), (HTTP, ()), (HTTP, (PHONE, PHONE)), (HTTP, ("+79991234567",))],
)
def test_what_smsc_would_misread_is_never_written(account: Account, phones: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        wire.encode_lookup(account, client_id="01J", phones=phones)


def test_the_price_of_a_look_up_is_asked_of_profile_http_only() -> None:
    form = dict(parse_qsl(wire.encode_lookup_cost(HTTP, phone=PHONE).decode()))
    assert form == {"cost": "1", "phones": PHONE, "hlr": "1", "fmt": "3", "charset": "utf-8"}
    with pytest.raises(InputError):
        wire.encode_lookup_cost(GUIDE, phone=PHONE)


ANSWERS = [
    ('{"status":0,"operator":"МТС","region":"Москва"}', LookedUp(0, "МТС", "Москва")),
    ('{"status":"1","operator":" ","region":"."}', LookedUp(1)),
    ('[{"status":2,"operator":"MTS"}]', LookedUp(2, "MTS")),
    ('{"status":9}', LookedUp(9)),
    ('{"status":0},{"status":1}', Unknown("unparsable")),
    ('[{"status":0},{"status":1}]', Unknown("unparsable")),
    ('{"operator":"MTS"}', Unknown("unparsable")),
    ("[]", Unknown("unparsable")),
    ("[7]", Unknown("unparsable")),
    ("", Unknown("empty")),
    ("<html>busy</html>", Unknown("html")),
    ('{"error":"no money","error_code":3}', Rejected(3, "no money")),
    ("ERROR = 7 (invalid number), ID - 12", Rejected(7, "invalid number", "12")),
]


@pytest.mark.parametrize(("text", "answer"), ANSWERS, ids=[row[0][:40] for row in ANSWERS])
def test_hlr_php_is_read(text: str, answer: object) -> None:
    assert reading.read_lookup(text) == answer


def test_a_look_up_of_profile_http_is_answered_as_a_send() -> None:
    phones = '[{"phone":"79991234567","cost":"0.30"}]'
    text = f'{{"id":"01J","cnt":1,"cost":"0.30","balance":"42.50","phones":{phones}}}'
    assert reading.read_send(Profile.HTTP, text, [PHONE]) == Accepted(
        "01J",
        1,
        cost=Decimal("0.30"),
        balance=Decimal("42.50"),
        numbers={PHONE: NumberAnswer(cost=Decimal("0.30"))},
    )


# profile, status, err, reachability, reason (facts 1.3, 4.2, 6.2)
CODES = [
    (Profile.GUIDE, 0, None, ACTIVE, ""),
    (Profile.GUIDE, 1, None, UNAVAILABLE, ""),
    (Profile.GUIDE, 2, None, ABSENT, ""),
    (Profile.GUIDE, 3, None, UNKNOWN, "unknown_code"),
    (Profile.GUIDE, 20, 1, UNKNOWN, "unknown_code"),
    (Profile.HTTP, -2, None, None, ""),
    (Profile.HTTP, -1, None, None, ""),
    (Profile.HTTP, 0, 0, None, ""),
    (Profile.HTTP, 1, None, None, ""),
    (Profile.HTTP, 1, 0, ACTIVE, ""),
    (Profile.HTTP, 2, 0, ACTIVE, ""),
    (Profile.HTTP, 1, 6, UNAVAILABLE, ""),
    (Profile.HTTP, 20, 1, ABSENT, ""),
    (Profile.HTTP, 3, 1, ABSENT, ""),
    (Profile.HTTP, 20, 6, UNAVAILABLE, ""),
    (Profile.HTTP, 3, 13, UNAVAILABLE, ""),
    (Profile.HTTP, 20, None, UNKNOWN, "no_result"),
    (Profile.HTTP, 20, 255, UNKNOWN, "no_result"),
    (Profile.HTTP, 25, 248, UNKNOWN, "no_result"),
    (Profile.HTTP, 22, 249, UNKNOWN, "bad_number"),
    (Profile.HTTP, 23, 253, UNKNOWN, "forbidden"),
    (Profile.HTTP, 24, None, UNKNOWN, "money"),
    (Profile.HTTP, 1, 200, UNKNOWN, "test_mode"),
    (Profile.HTTP, 77, None, UNKNOWN, "unknown_code"),
]


@pytest.mark.parametrize(("profile", "code", "err", "reachability", "reason"), CODES)
def test_what_a_code_says_of_a_number(
    profile: Profile, code: int, err: int | None, reachability: Reachability | None, reason: str
) -> None:
    found = lookup_codes.read(profile, code, err)
    assert (found.reachability, found.reason, found.not_found) == (reachability, reason, False)


def test_a_look_up_that_smsc_does_not_know_is_no_result() -> None:
    assert lookup_codes.read(Profile.HTTP, -3) == lookup_codes.Reading(None, not_found=True)
    assert lookup_codes.read(Profile.HTTP, 24).no_money
