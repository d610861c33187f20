"""Which numbers an errand is about, and the word for why there are none."""

import pytest

from smsbridge.bitrix24.crm import Entity
from smsbridge.hlr.errands import ends, knowing

MANY = tuple(f"+7999123450{last}" for last in range(10))


@pytest.mark.parametrize(
    ("phone", "phones", "msisdns", "why"),
    [
        ("8 999 123-45-67", None, ["79991234567"], ""),
        ("8 999 123-45-67", ("+79991234568",), ["79991234567"], ""),
        ("call me", ("+79991234568",), [], ends.BAD_PHONE),
        ("", None, [], ends.NO_PHONE),
        ("", (), [], ends.NO_PHONE),
        ("", ("call me",), [], ends.BAD_PHONE),
        ("", ("call me", "+79991234568", "8 999 123-45-68"), ["79991234568"], ""),
        ("", (*MANY, "+79991234567"), [number[1:] for number in MANY], ""),
    ],
)
def test_numbers_of_an_errand(
    phone: str, phones: tuple[str, ...] | None, msisdns: list[str], why: str
) -> None:
    entity = None if phones is None else Entity(1, phones)
    assert knowing.numbers_of(phone, entity, default_region="RU") == (msisdns, why)
