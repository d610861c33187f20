"""What must not be read in a log, and what must stay readable."""

import pytest

from smsbridge.core import msisdn
from smsbridge.runtime import logging

HIDE = logging.Hider(msisdn.mask)
KEY = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("79991234567", "7999*****67"),
        ("sent to +79991234567.", "sent to 7999*****67."),
        ("+7 (999) 123-45-67 called", "7999*****67 called"),
        ("phone:79991234567,79991234568", "phone:7999*****67,7999*****68"),
        ("GET /sys/send.php?login=me&psw=hunter2&mes=x", "GET /sys/send.php?login=me&psw=[hidden]&mes=x"),
        ("auth=abc.def&x=1", "auth=[hidden]&x=1"),
        (f"/bitrix24/crm/smsc/{KEY}/handler", "/bitrix24/crm/smsc/[hidden]/handler"),
        # Not phones:
        ("2026-11-22T07:01:49Z", "2026-11-22T07:01:49Z"),
        ("127.0.0.1:29283", "127.0.0.1:29283"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
        ("took 1234567 steps", "took 1234567 steps"),
    ],
)
def test_values(value: str, written: str) -> None:
    assert HIDE(None, "info", {"event": "x", "detail": value}) == {"event": "x", "detail": written}


@pytest.mark.parametrize(
    "name",
    [
        "text",
        "token",
        "access_token",
        "client_secret",
        "password",
        "psw",
        "api_key",
        "Authorization",
        "phones",
        "body",
    ],
)
def test_fields_that_are_never_written(name: str) -> None:
    assert HIDE(None, "info", {"event": "x", name: "hunter2"}) == {"event": "x"}


def test_nested_values_and_errors_are_searched_too() -> None:
    event = {
        "event": "x",
        "detail": {"secret": "s", "to": ["79991234567"]},
        "error": ValueError("bad 79991234567"),
    }
    assert HIDE(None, "info", event) == {
        "event": "x",
        "detail": {"to": ["7999*****67"]},
        "error": "bad 7999*****67",
    }


def test_ids_and_numbers_stay() -> None:
    event = {
        "event": "x",
        "smsc_id": "79991234567",
        "at_ms": 1763794909000,
        "count": 3,
        "good": True,
        "none": None,
    }
    assert HIDE(None, "info", dict(event)) == event
