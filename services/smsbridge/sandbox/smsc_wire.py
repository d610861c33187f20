"""How SMSC's HTTP calls are read and its answers written: charsets, parameters, the shapes of `fmt` 0 to 3.

Decides nothing: what is answered is made elsewhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import unquote_to_bytes

from smsbridge.core import errors

_CHARSETS = {"utf-8": "utf-8", "koi8-r": "koi8-r"}
_DEFAULT_CHARSET = "windows-1251"  # of requests, answers and callbacks
_PRIVATE = frozenset({"psw", "apikey", "phones", "phone", "mes", "list"})

ERROR_TEXTS = {
    1: "parameters error",
    2: "authorise error",
    3: "no money",
    4: "ip is blocked",
    5: "invalid date format",
    6: "message is denied",
    7: "invalid number",
    8: "can't to deliver",
    9: "duplicate request, wait a minute",
}
TOO_MANY = "too many connections"


class ApiError(errors.Refused):
    """An answer with an error code. `smsc_id` goes out with codes 3, 6, 7, 8 where a record was made."""

    code = "SandboxApiError"

    def __init__(self, number: int, text: str = "", *, smsc_id: int | str | None = None) -> None:
        super().__init__(text or ERROR_TEXTS[number])
        self.number = number
        self.smsc_id = smsc_id


@dataclass(slots=True)
class Call:
    """One request: where it went, from whom, and its parameters by name."""

    script: str
    ip: str
    parameters: dict[str, str]
    charset: str = _DEFAULT_CHARSET
    by_get: bool = False
    private_in_url: bool = False

    def text(self, name: str) -> str:
        return self.parameters.get(name, "")

    def flag(self, name: str) -> bool:
        return self.parameters.get(name, "0") not in {"", "0"}

    def number(self, name: str, *, low: int = 0, high: int = 1) -> int:
        """A whole number between `low` and `high`; absent or empty is 0; else error 1."""
        value = self.parameters.get(name, "")
        if not value:
            return 0
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise ApiError(1)
        return int(value)

    @property
    def fmt(self) -> int:
        value = self.parameters.get("fmt", "0")
        return int(value) if value in {"1", "2", "3"} else 0


def read_form(*, script: str, ip: str, query: str, body: bytes, by_get: bool) -> Call:
    """Query string and form together, as PHP's $_REQUEST; undecodable bytes become the replacement sign."""
    in_query = _pairs(query.encode("utf-8", "surrogateescape"))
    raw = {**in_query, **_pairs(body)}
    charset = _CHARSETS.get(raw.get("charset", b"").decode("ascii", "replace").lower(), _DEFAULT_CHARSET)
    return Call(
        script=script,
        ip=ip,
        parameters={name: value.decode(charset, "replace") for name, value in raw.items()},
        charset=charset,
        by_get=by_get,
        private_in_url=not _PRIVATE.isdisjoint(in_query),
    )


def read_json(*, script: str, ip: str, query: str, body: bytes) -> Call:
    """/rest/send/: a JSON object with the same names; always answers in JSON and UTF-8."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    parameters: dict[str, str] = {}
    if isinstance(document, dict):
        parameters = {str(name): _scalar(value) for name, value in document.items()}
    parameters["fmt"] = "3"
    in_query = _pairs(query.encode("utf-8", "surrogateescape"))
    return Call(
        script=script,
        ip=ip,
        parameters=parameters,
        charset="utf-8",
        private_in_url=not _PRIVATE.isdisjoint(in_query),
    )


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)


def _pairs(encoded: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for piece in encoded.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            key = unquote_to_bytes(name.replace(b"+", b" ")).decode("ascii", "replace")
            found[key] = unquote_to_bytes(value.replace(b"+", b" "))
    return found


@dataclass(slots=True)
class Answer:
    """What goes out: `line` with fmt=1, `xml` with 2, `document` with 3, else `plain`."""

    document: Any
    line: str = ""
    xml: str = ""
    plain: str = ""

    def render(self, call: Call) -> tuple[bytes, str]:
        """Body and content type."""
        if call.fmt == 3:
            body = json.dumps(self.document, ensure_ascii=False, separators=(",", ":"))
            return body.encode(call.charset, "replace"), "application/json"
        if call.fmt == 2:
            return self.xml.encode(call.charset, "replace"), "text/xml"
        line = self.line if call.fmt == 1 or not self.plain else self.plain
        return line.encode(call.charset, "replace"), "text/plain"


def error_answer(error: ApiError) -> Answer:
    document: dict[str, Any] = {"error": error.sentence, "error_code": error.number}
    plain = f"ERROR = {error.number} ({error.sentence})"
    if error.smsc_id is not None:
        document["id"] = error.smsc_id
        plain += f", ID - {error.smsc_id}"
    line = f"{0 if error.smsc_id is None else error.smsc_id},-{error.number}"
    xml = f"<result><error>{error.sentence}</error><error_code>{error.number}</error_code></result>"
    return Answer(document, line, xml, plain)


def as_xml(document: Mapping[str, Any]) -> str:
    inner = "".join(
        f"<{name}>{value}</{name}>" for name, value in document.items() if not isinstance(value, list)
    )
    return f"<result>{inner}</result>"


def money(amount: Decimal) -> str:
    return f"{amount:.2f}"
