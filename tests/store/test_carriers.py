"""Operators that info.php told, and its turns."""

from smsbridge.core.number import Carrier
from smsbridge.store.carriers import Carriers
from smsbridge.store.connection import Store
from smsbridge.store.keyring import Keyring


async def test_what_was_told_is_remembered_and_no_number_is_readable(store: Store) -> None:
    one, other, third = "79991234567", "79991234568", "79991234569"
    book = Carriers(store, Keyring([b"k" * 32]), per_minute=80)
    await book.keep("a", {one: Carrier("МТС", "Москва"), other: Carrier()}, seconds=60)
    assert await book.known("a", [one, other, third]) == {one: Carrier("МТС", "Москва"), other: Carrier()}
    assert await book.known("b", [one]) == {}
    assert not [key for key in await store.keys("") if one.encode() in key]
    rotated = Carriers(store, Keyring([b"n" * 32, b"k" * 32]), per_minute=80)
    assert await rotated.known("a", [one]) == {one: Carrier("МТС", "Москва")}


async def test_not_more_than_so_many_in_a_minute(store: Store) -> None:
    book = Carriers(store, Keyring([b"k" * 32]), per_minute=11)
    waits = [await book.turn("a") for _ in range(12)]
    assert waits[:10] == [0.0] * 10
    assert all(0 < wait <= 60 for wait in waits[10:])
    assert await book.turn("b") == 0.0
    await book.too_many("b")
    assert 59 < await book.turn("b") <= 60
