"""The kinds of values a manifest holds: durations, roubles, captions by language, host names, patterns.

Each is read from what a person writes, and refused with a sentence that says what to write instead.
"""

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z")
_LANGUAGE = re.compile(r"[a-z]{2}\Z")
_LOCAL_SUFFIXES = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".svc", ".test", ".invalid")
_MAX_PATTERN = 500
_MAX_ROUBLES = Decimal(1_000_000)


def parse_duration(value: Any) -> timedelta:
    """`1h`, `90s`, `200ms`, `1h30m`. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    if value in (0, "0"):
        return timedelta(0)
    text = value if isinstance(value, str) else ""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("is no duration; write a number with its unit: 200ms, 5s, 10m, 1h")
    return timedelta(milliseconds=sum(float(number) * _UNIT_MS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """The shortest whole number with a unit: `1h`, `90s`, `200ms`."""
    milliseconds = round(value / timedelta(milliseconds=1))
    if milliseconds == 0:
        return "0s"
    for unit, size in reversed(_UNIT_MS.items()):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    raise AssertionError("every number divides by one millisecond")


def milliseconds(value: timedelta) -> int:
    return round(value / timedelta(milliseconds=1))


def seconds(value: timedelta) -> int:
    return round(value.total_seconds())


def _roubles(value: Any) -> Decimal:
    if isinstance(value, float):
        raise ValueError('is a binary fraction and would be rounded; write it in quotes: "4.00"')
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount <= _MAX_ROUBLES:
        raise ValueError('is no amount of roubles; write it in quotes: "4.00"')
    return amount


def _caption(value: Any) -> str | dict[str, str]:
    if isinstance(value, str):
        texts = [value]
    elif isinstance(value, dict) and value and all(isinstance(text, str) for text in value.values()):
        bad = [key for key in value if not isinstance(key, str) or not _LANGUAGE.match(key)]
        if bad:
            raise ValueError("has a language that is none; write two lower-case letters as in ru or en")
        texts = list(value.values())
    else:
        raise ValueError("must be a text, or texts by language: {ru: ..., en: ...}")
    if not all(text.strip() for text in texts):
        raise ValueError("is empty; Bitrix24 shows it to people, write a name")
    return value if isinstance(value, str) else dict(value)


def caption_length(value: str | dict[str, str]) -> int:
    return len(value) if isinstance(value, str) else max(len(text) for text in value.values())


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def check_pattern(value: str) -> str:
    """Raises ValueError."""
    if len(value) > _MAX_PATTERN:
        raise ValueError(f"is over {_MAX_PATTERN} characters; make it shorter")
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(
            f"is no regular expression ({error}); mend it, and keep it in single quotes"
        ) from error
    return value


def is_host(text: str) -> bool:
    return _HOST.match(text.lower()) is not None


def is_public_host(host: str) -> bool:
    """A name that others than ourselves can resolve: with a dot, no address, none of the names kept for
    local use.
    """
    name = host.lower().rstrip(".")
    try:
        return ip_address(name.strip("[]")).is_global
    except ValueError:
        return is_host(name) and "." in name and not name.endswith(_LOCAL_SUFFIXES)


def check_url(url: str, *, sandbox: bool) -> str:
    """Empty where `url` may be used as a base address, else what is wrong with it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL; write https://HOST"
    if parts.scheme not in ("https", "http") or not host or not url.isascii() or not url.isprintable():
        return "is no URL; write https://HOST"
    if parts.query or parts.fragment or "@" in parts.netloc or " " in url:
        return "holds more than scheme, host and path; write https://HOST or https://HOST/PATH"
    return "" if sandbox else _not_public(parts.scheme, host)


def _not_public(scheme: str, host: str) -> str:
    if scheme != "https":
        return "must begin with https:// (plain http is for spec.sandbox: true)"
    if not is_public_host(host):
        return "needs a host name that Bitrix24 and SMSC can reach (local ones are for spec.sandbox: true)"
    return ""


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$"}),
]
Roubles = Annotated[
    Decimal,
    BeforeValidator(_roubles),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}),
]
Caption = Annotated[
    str | dict[str, str],
    BeforeValidator(_caption),
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True}),
]
Strings = Annotated[list[str], BeforeValidator(_one_or_many)]
Pattern = Annotated[str, BeforeValidator(lambda v: check_pattern(v) if isinstance(v, str) else v)]
