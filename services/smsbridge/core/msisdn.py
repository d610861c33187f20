"""MSISDN: a full international number as digits. Here are only its shape and its mask; making one out of what
people type is `smsc.numbers`' business.
"""

import re
from collections.abc import Iterable

from smsbridge.core import errors

_SHAPE = re.compile(r"[1-9][0-9]{6,14}\Z")  # E.164: at most 15 digits, none starts with 0


def is_msisdn(text: str) -> bool:
    return _SHAPE.match(text) is not None


def check_all(msisdns: Iterable[str], *, field: str) -> None:
    """Raises InputError that names the field, and not the number."""
    if not all(map(is_msisdn, msisdns)):
        raise errors.InputError("holds something that is no full international number in digits", field=field)


def digits_only(text: str) -> str:
    """The digits of what SMSC or a person wrote, to compare numbers by (SMSC may echo `+` or a leading 8)."""
    return "".join(ch for ch in text if "0" <= ch <= "9")


def mask(phone: str) -> str:
    """`79991234567` becomes `7999*****67`: enough to recognise one's own number, too little to call it."""
    digits = digits_only(phone)
    if len(digits) < 7:
        return "*" * len(digits)
    return f"{digits[:4]}{'*' * (len(digits) - 6)}{digits[-2:]}"
