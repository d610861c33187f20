"""Reads a send.php request: channel, numbers, texts, id, times. Raises error 1 or 5 for what is malformed.

Profile guide has no `list`, no `hlr=1` and no price query; profile http has no `viber_timeout` and ignores it
as any unknown name.
"""

import re
from dataclasses import dataclass

from smsbridge.sandbox import phones
from smsbridge.sandbox.settings import Profile
from smsbridge.sandbox.smsc_account import Account, corrected
from smsbridge.sandbox.smsc_wire import ApiError, Call

_STRING_ID = re.compile(r"[A-Za-z0-9._-]{1,40}\Z")
_NUMBER_ID = re.compile(r"[1-9][0-9]{0,9}\Z")
_TIME = re.compile(r"0|\+[0-9]+|0[0-9]{9,}|[0-9]{10}|[0-9]{1,2}-[0-9]{1,2}|[0-9.]{8} [0-9:]{5}")
_GREATEST_ID = 2_147_483_647
_GUIDE_NUMBERS = 100


@dataclass(frozen=True, slots=True)
class Part:
    phone: str  # digits, as SMSC works with them
    body: str


@dataclass(slots=True)
class Order:
    """One request, read and found well-formed."""

    kind: phones.Kind
    parts: list[Part]
    client_id: int | str | None
    sender: str
    cost_mode: int
    list_all: bool  # op=1
    list_failed: bool  # err=1
    viber_timeout_seconds: float
    validity_seconds: float


def read_order(account: Account, call: Call) -> Order:
    """Raises error 1 or 5. Bad numbers are read all the same; they are refused later, under an id."""
    kind = _kind(account, call)
    if call.parameters.get("time") and not _TIME.fullmatch(call.text("time")):
        raise ApiError(5)
    order = Order(
        kind=kind,
        parts=_parts(account, call, kind),
        client_id=_client_id(call.text("id")),
        sender=call.text("sender"),
        cost_mode=call.number("cost", high=3),
        list_all=call.flag("op"),
        list_failed=call.flag("err"),
        viber_timeout_seconds=_viber_timeout(account, call) if kind is phones.Kind.CASCADE else 0.0,
        validity_seconds=_validity(account, call.text("valid")),
    )
    if account.profile is Profile.GUIDE and order.cost_mode == 1:
        raise ApiError(1)  # the guide has no price query; sending instead would surprise
    return order


def _kind(account: Account, call: Call) -> phones.Kind:
    guide = account.profile is Profile.GUIDE
    if call.flag("hlr"):
        if guide:
            raise ApiError(1)
        return phones.Kind.HLR
    if not call.flag("viber"):
        return phones.Kind.SMS
    return phones.Kind.CASCADE if guide and call.text("viber_timeout") else phones.Kind.VIBER


def _parts(account: Account, call: Call, kind: phones.Kind) -> list[Part]:
    if call.text("list"):
        if account.profile is Profile.GUIDE or kind is phones.Kind.HLR:
            raise ApiError(1)
        parts = _read_list(call.text("list"), nl=call.flag("nl"))
    else:
        body = "" if kind is phones.Kind.HLR else call.text("mes")
        parts = [Part(_phone(phone), body) for phone in _split(call.text("phones"))]
    limit = account.settings.max_numbers or (_GUIDE_NUMBERS if account.profile is Profile.GUIDE else None)
    if not parts or (limit is not None and len(parts) > limit):
        raise ApiError(1)
    for body in {part.body for part in parts}:
        if kind is not phones.Kind.HLR and not 0 < len(body) <= account.settings.max_text_characters:
            raise ApiError(1)
    return parts


def _read_list(value: str, *, nl: bool) -> list[Part]:
    """Lines `phones:text`, optionally `sender,zone|` before; in a text a newline is `\\n`, real with nl=1."""
    parts: list[Part] = []
    lines = _records(value) if nl else value.replace("\r\n", "\n").split("\n")
    for line in lines:
        if not line.strip():
            continue
        head, separator, body = _head(line)
        if not separator:
            raise ApiError(1)
        numbers = head.rpartition("|")[2]
        parts += [Part(_phone(phone), body.replace("\\n", "\n")) for phone in _split(numbers)]
    return parts


def _head(line: str) -> tuple[str, str, str]:
    colon, semicolon = line.find(":"), line.find(";")
    return line.partition(";") if colon < 0 <= semicolon else line.partition(":")


_RECORD = re.compile(r"\+?[0-9][0-9,+ ]*[:;]|[^\n]*\|\+?[0-9][0-9,+ ]*[:;]")


def _records(value: str) -> list[str]:
    """nl=1: a line that does not begin with phones belongs to the text before it."""
    records: list[str] = []
    for line in value.replace("\r\n", "\n").split("\n"):
        if not records or _RECORD.match(line):
            records.append(line)
        else:
            records[-1] += "\n" + line
    return records


def _split(numbers: str) -> list[str]:
    return [number.strip() for number in re.split("[,;]", numbers) if number.strip()]


def _phone(number: str) -> str:
    """Digits where it could be a phone; else as given, to be refused by error 7."""
    looks_right = all(ch in "+0123456789 -()" for ch in number)
    return corrected(number) if looks_right else number


def _client_id(value: str) -> int | str | None:
    if value in {"", "0"}:
        return None
    if _NUMBER_ID.match(value) and int(value) <= _GREATEST_ID:
        return int(value)
    if not _STRING_ID.match(value):
        raise ApiError(1)
    return value


def _viber_timeout(account: Account, call: Call) -> float:
    settings = account.settings
    low, high = settings.viber_timeout_min_seconds, settings.viber_timeout_max_seconds
    return float(call.number("viber_timeout", low=low, high=high))


def _validity(account: Account, value: str) -> float:
    """`valid`: hours 1..24 or hh:mm from 00:01 to 24:00. The guide does not know it."""
    if not value or account.profile is Profile.GUIDE:
        return account.settings.timing.validity_seconds
    clock = re.fullmatch(r"([0-9]{1,2})(?::([0-5][0-9]))?", value)
    if clock is None:
        raise ApiError(1)
    minutes = int(clock[1]) * 60 + int(clock[2] or 0)
    if not 1 <= minutes <= 24 * 60:
        raise ApiError(1)
    return minutes * 60.0
