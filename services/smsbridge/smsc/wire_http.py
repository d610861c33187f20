"""Profile `http`: the request as SMSC's published API describes it.

Different texts travel in one request (`list`); the cascade is ours, with `valid` as Viber's wait. `cost=3`
sends and adds price and balance to the answer. Pure functions.
"""

import math
from collections.abc import Sequence

from smsbridge.core import errors, message
from smsbridge.smsc import request as requests

_MAX_VALID_MINUTES = 24 * 60  # `valid` goes from 00:01 to 24:00


def send_fields(request: requests.SendRequest, *, sender_id: str) -> list[tuple[str, str]]:
    """The form of one send, in a fixed order, without credentials."""
    if request.fallback_seconds is not None:
        raise errors.InputError("profile http cannot fall back by itself", field="fallback_seconds")
    fields = [
        ("id", request.client_id),
        *_text_fields(request),
        ("fmt", "3"),
        ("op", "1"),
        ("charset", "utf-8"),
        ("cost", "3"),
    ]
    if sender_id:
        fields.append(("sender", sender_id))
    if request.channel is message.Channel.VIBER:
        fields.append(("viber", "1"))
    if request.valid_seconds is not None:
        fields.append(("valid", valid(request.valid_seconds)))
    return fields


def cost_fields(*, phone: str, text: str, sender_id: str) -> list[tuple[str, str]]:
    """The form of a price question: `cost=1` sends nothing."""
    fields = [("cost", "1"), ("phones", phone), ("mes", text), ("fmt", "3"), ("charset", "utf-8")]
    return [*fields, ("sender", sender_id)] if sender_id else fields


def lookup_fields(*, client_id: str, phones: Sequence[str]) -> list[tuple[str, str]]:
    """The form of a look-up: a send without a text, whose results come later (4.1)."""
    return [
        ("id", client_id),
        ("phones", ",".join(phones)),
        ("hlr", "1"),
        ("fmt", "3"),
        ("op", "1"),
        ("charset", "utf-8"),
        ("cost", "3"),
    ]


def lookup_cost_fields(*, phone: str) -> list[tuple[str, str]]:
    """The form of the price question of a look-up."""
    return [("cost", "1"), ("phones", phone), ("hlr", "1"), ("fmt", "3"), ("charset", "utf-8")]


def valid(seconds: int) -> str:
    """`hh:mm`, rounded up to a minute, at most 24:00."""
    if seconds <= 0:
        raise errors.InputError("must be at least a second", field="valid_seconds")
    minutes = min(math.ceil(seconds / 60), _MAX_VALID_MINUTES)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def fits_list(text: str) -> bool:
    """False for a text with the two characters backslash and n in it: `list` would break the line there."""
    return "\\n" not in text


def _text_fields(request: requests.SendRequest) -> list[tuple[str, str]]:
    text = request.single_text
    if text is not None:
        return [("phones", ",".join(phone for phone, _ in request.numbers)), ("mes", text)]
    return [("list", "\n".join(f"{phone}:{_one_line(text)}" for phone, text in request.numbers))]


def _one_line(text: str) -> str:
    """Newlines separate the records, so a text's own are written as the two characters backslash and n."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\\n")
