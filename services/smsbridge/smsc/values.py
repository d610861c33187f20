"""Reading SMSC's values: numbers that come as strings, money with dot or comma, texts in one of two charsets.

Nothing here raises: what cannot be read is None, and the caller decides what that means.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
_MAX_ID = 64  # a client id has at most 40 characters, SMSC's own are small numbers


def decode(raw: bytes) -> str:
    """UTF-8, which we ask for; else windows-1251, SMSC's default."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1251", "replace")


def from_json(text: str, *, number: Callable[[str], Any] | None = None) -> Any:
    """The JSON value, or None where `text` is none. `number` reads number literals; else int and Decimal."""
    try:
        return json.loads(text, parse_int=number, parse_float=number or Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def whole(value: object) -> int | None:
    """An integer that comes as a number or as a string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.match(value.strip()):
        return int(value.strip())
    return None


def money(value: object) -> Decimal | None:
    """Roubles; SMSC writes a string with a dot, elsewhere a comma was seen."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value.strip().replace(",", ".")) if isinstance(value, str) else Decimal(value)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def text_of(value: object) -> str:
    """A string or a number as text; anything else is empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(value)
    return ""


def identifier(value: object) -> str | None:
    """An id, which is a number or a string, as a string."""
    text = text_of(value).strip()
    return text if 0 < len(text) <= _MAX_ID else None


def moment(value: object) -> datetime | None:
    """Unix seconds as an aware time. SMSC's written dates are Moscow wall time and are not read."""
    seconds = whole(value)
    if seconds is None or not 0 < seconds < 2**40:
        return None
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None


def records(value: object) -> list[Mapping[str, Any]]:
    """The objects of a JSON array; PHP writes an array with gaps as an object, so that is read too."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]
