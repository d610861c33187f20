"""What must not be read in a log, and what must stay readable."""

import json
import subprocess
import sys

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
        ("+7.999.123.45.67", "7999*****67"),
        ("8.999.123.45.67 and 8 (999) 123.45.67", "8999*****67 and 8999*****67"),
        ("999.123.4567", "9991****67"),
        ("+7 999 123‑45‑67", "7999*****67"),
        ("a79991234567", "a7999*****67"),
        ("_79991234567", "_7999*****67"),
        ("79991234567_2.csv", "7999*****67_2.csv"),
        ("id-79991234567", "id-7999*****67"),
        ("abcd-79991234567", "abcd-7999*****67"),
        ("to.79991234567", "to.7999*****67"),
        ("to=%2B79991234567&x=1", "to=%2B7999*****67&x=1"),
        ("to%3D79991234567", "to%3D7999*****67"),
        (r"to:\n79991234567\n", r"to:\n7999*****67\n"),
        ("+79991234567x12", "7999*****67x12"),
        ("2026-11-22 79991234567", "2026-11-22 7999*****67"),
        (
            "GET /sys/send.php?login=me&psw=hunter2&mes=x",
            "GET /sys/send.php?login=me&psw=[hidden]&mes=[hidden]",
        ),
        ("auth=abc.def&x=1", "auth=[hidden]&x=1"),
        (f"/bitrix24/crm/smsc/{KEY}/handler", "/bitrix24/crm/smsc/[hidden]/handler"),
        ("AUTH_ID=abc&REFRESH_ID=def&SERVER=x", "AUTH_ID=[hidden]&REFRESH_ID=[hidden]&SERVER=x"),
        ("auth[access_token]=abc&x=1", "auth[access_token]=[hidden]&x=1"),
        ("auth%5Bapplication_token%5D=abc&x=1", "auth%5Bapplication_token%5D=[hidden]&x=1"),
        ("valkey://:hunter2@127.0.0.1:6379/0", "valkey://[hidden]@127.0.0.1:6379/0"),
        ("https://user:p%40ss@collector/v1", "https://[hidden]@collector/v1"),
        # As JSON and as Python writes it:
        ('{"access_token": "abc.def", "x": "y"}', '{"access_token": [hidden], "x": "y"}'),
        ('{"access_token":"abc"}', '{"access_token":[hidden]}'),
        ('{"access_token": null, "psw": 4821}', '{"access_token": [hidden], "psw": [hidden]}'),
        (
            "{'application_token': 'abc', 'AUTH_ID': 'def', 'code': 'smsc'}",
            "{'application_token': [hidden], 'AUTH_ID': [hidden], 'code': 'smsc'}",
        ),
        ("{b'client_secret': b'abc'}", "{b'client_secret': [hidden]}"),
        (r'{"password": "a\"b", "x": "y"}', '{"password": [hidden], "x": "y"}'),
        (r'"{\"access_token\": \"abc\", \"x\": 1}"', r'"{\"access_token\": [hidden], \"x\": 1}"'),
        ('{"x": 1, "refresh_token": "cut sho', '{"x": 1, "refresh_token": [hidden]'),
        ('detail=\'{"access_token": "abc"}\'', "detail='{\"access_token\": [hidden]}'"),
        (
            "Outgoing(id='m1', recipient='79991234567', text='Ваш код 4821', key=None)",
            "Outgoing(id='m1', recipient='7999*****67', text=[hidden], key=None)",
        ),
        ("{'texts': ['Ваш код', 'ещё'], 'x': 1}", "{'texts': [hidden], 'x': 1}"),
        (r"Invalid: \ntext='Ваш код'", r"Invalid: \ntext=[hidden]"),
        ("x%3D1%26auth%3Dabc", "x%3D1%26auth%3D[hidden]"),
        ("Bearer abc.def-g", "Bearer [hidden]"),
        ("'Authorization: bearer abc.def=='", "'Authorization: bearer [hidden]'"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [hidden]"),
        (
            "1 validation error for Order\ntext\n  Input should be a valid integer [type=int_parsing, "
            "input_value='Ваш код 4821', input_type=str]\n    For further information visit https://x",
            "1 validation error for Order\ntext\n  Input should be a valid integer [type=int_parsing, "
            "input_value=[hidden], input_type=str]\n    For further information visit https://x",
        ),
        ("[type=missing, input_value={'a': 'Ваш код'", "[type=missing, input_value=[hidden]"),
    ],
)
def test_what_must_not_be_read(value: str, written: str) -> None:
    assert HIDE(None, "info", {"event": "x", "detail": value}) == {"event": "x", "detail": written}


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T07:01:49Z",
        "2026-11-22 07:01:49.123456+00:00",
        "22.11.2026 07:01",
        "1763794909.123456",
        "took 7.999123 s",
        "127.0.0.1:29283",
        "192.168.100.200:7100",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01KABCDE123456789012FGHJKM",
        "123e4567-e89b-12d3-a456-426614174000",
        "uid 12345678-1234-1234-1234-123456789012 left",
        "e89b-12d3-a456-426614174000",
        "a456-426614174000",
        "900150983cd24fb0d6963f7d28e17f72",
        "0123456789abcdef0123456789abcdef",
        "ab12345678901cdef",
        "b'\\x01' of smsbridge-sender-7d9f8b6c5d-x2x4z",
        "took 1234567 steps",
        "provider crm/smsc: the code 'smsc' is taken",
        "KeyError: 'text'",
        "{'type': 'sms', 'reason': 'expired_token'}",
        "context='x', tokenizer",
        "the token: unknown",
        "https://example.bitrix24.ru/rest/imconnector.send@v2",
        "400, message='Bad Request', url='http://127.0.0.1:8080/x'",
    ],
)
def test_what_must_stay_readable(value: str) -> None:
    assert HIDE(None, "info", {"event": "x", "detail": value}) == {"event": "x", "detail": value}


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
        "AUTH_ID",
        "REFRESH_ID",
        "input_value",
        "phones",
        "body",
    ],
)
def test_fields_that_are_never_written(name: str) -> None:
    assert HIDE(None, "info", {"event": "x", name: "hunter2"}) == {"event": "x"}


def test_nested_values_and_errors_are_searched_too() -> None:
    event = {
        "event": "x",
        "detail": {"secret": "s", "to": ["79991234567"], "79991234567": 1},
        "error": ValueError("bad 79991234567"),
    }
    assert HIDE(None, "info", event) == {
        "event": "x",
        "detail": {"to": ["7999*****67"], "7999*****67": 1},
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


_START = (
    "import asyncio, json, threading\n"
    "from smsbridge.core import msisdn\n"
    "from smsbridge.runtime import logging\n"
    "logging.configure(logging.LoggingSettings(), mask=msisdn.mask, process='sender')\n"
    """def fail():\n    raise ValueError('{"access_token": "abc"} of 79991234567')\n"""
)
_ITS_END = "class Dying:\n    def __del__(self):\n        fail()\nDying()\n"
_TASK = (
    "async def main():\n"
    "    async def failing():\n"
    "        fail()\n"
    "    task = asyncio.create_task(failing())\n"
    "    await asyncio.sleep(0)\n"
    "    await asyncio.sleep(0)\n"
    "    del task\n"
    "asyncio.run(main())\n"
)
# Typer sets a hook of its own before a command begins.
_COMMAND = (
    "import typer\n"
    "app = typer.Typer(pretty_exceptions_enable=False)\n"
    "@app.command()\n"
    "def go():\n"
    "    logging.configure(logging.LoggingSettings(), mask=msisdn.mask, process='sender')\n"
    "    fail()\n"
    "app([])\n"
)


@pytest.mark.parametrize(
    ("code", "event", "exit_code"),
    [
        ("fail()", "process_crashed", 1),
        (_COMMAND, "process_crashed", 1),
        ("threading.Thread(target=fail, name='exporter').start()", "thread_crashed", 0),
        (_ITS_END, "error_not_raised", 0),
        (_TASK, "Task exception was never retrieved", 0),
    ],
)
def test_what_nothing_caught_is_a_line_like_all_others(code: str, event: str, exit_code: int) -> None:
    done = subprocess.run([sys.executable, "-c", _START + code], capture_output=True, check=False, text=True)
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert line["event"].partition("\n")[0] == event
    assert (line["level"], line["process"]) == ("error", "sender")
    assert 'ValueError: {"access_token": [hidden]} of 7999*****67' in line["exception"]
    assert "abc" not in done.stderr
    assert "79991234567" not in done.stderr
