"""The journal: on disk when answered, in order, encrypted, whole after a restart."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smsbridge.core import errors
from smsbridge.core.message import Lane
from smsbridge.gateway.journal import FILE_NAME, Group, Journal, Kind, NewEntry
from smsbridge.gateway.journal_thread import JournalFailed
from smsbridge.store.keyring import Keyring

KEYRING = Keyring([b"k" * 32])


def entry(
    payload: bytes, *, lane: Lane = Lane.INTERACTIVE, uid: str = "u", kind: Kind = Kind.MESSAGE
) -> NewEntry:
    return NewEntry(kind, uid, lane, 1_742_895_600_000, payload)


def made(folder: Path, keyring: Keyring = KEYRING) -> Journal:
    return Journal(folder, keyring, now_ms=lambda: 5)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = made(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def payloads(journal: Journal, uid: str = "u", limit: int = 100) -> list[bytes | None]:
    return [item.payload for item in await journal.read(Kind.MESSAGE, uid, limit=limit)]


async def test_entries_come_back_in_order_interactive_first(journal: Journal) -> None:
    for name, lane in [
        ("b1", Lane.BULK),
        ("i1", Lane.INTERACTIVE),
        ("b2", Lane.BULK),
        ("i2", Lane.INTERACTIVE),
    ]:
        await journal.append(entry(name.encode(), lane=lane))
    await journal.append(entry(b"other", uid="v"))
    await journal.append(entry(b"receipt", kind=Kind.RECEIPT))
    assert await payloads(journal) == [b"i1", b"i2", b"b1", b"b2"]
    assert await payloads(journal, limit=3) == [b"i1", b"i2", b"b1"]
    first = (await journal.read(Kind.MESSAGE, "u", limit=1))[0]
    left = await journal.read(Kind.MESSAGE, "u", limit=2, leave=frozenset({first.id}))
    assert [item.payload for item in left] == [b"i2", b"b1"]
    assert sorted(await journal.groups(), key=str) == sorted(
        [Group(Kind.MESSAGE, "u", 4), Group(Kind.MESSAGE, "v", 1), Group(Kind.RECEIPT, "u", 1)], key=str
    )


async def test_counts_follow_appends_removals_and_what_is_set_aside(journal: Journal) -> None:
    changes = []
    journal.on_change = lambda: changes.append(journal.depth)
    await asyncio.gather(*(journal.append(entry(b"%d" % number)) for number in range(3)))
    first, second, third = await journal.read(Kind.MESSAGE, "u", limit=3)
    await journal.remove([first])
    await journal.set_aside(second, reason="TextTooLong")
    await journal.set_aside(second, reason="again")  # not there any more
    await journal.keep_aside(entry(b"refused at once"), reason="BadNumber")
    assert (journal.depths[Kind.MESSAGE], journal.set_asides[Kind.MESSAGE], journal.depth) == (1, 2, 1)
    assert [item.id for item in await journal.read(Kind.MESSAGE, "u", limit=3)] == [third.id]
    assert changes[2] == 3
    assert changes[-1] == 1


async def test_appends_that_wait_together_share_a_commit(journal: Journal) -> None:
    """Each commit answers all of its appends in one turn of the loop."""
    answered: dict[int, int] = {}
    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def changed() -> None:
        answered[turn] = answered.get(turn, 0) + 1

    counting = asyncio.create_task(count_turns())
    journal.on_change = changed
    await asyncio.gather(*(journal.append(entry(b"x" * 100)) for _ in range(1000)))
    counting.cancel()
    assert sum(answered.values()) == 1000
    assert len(answered) <= 20


def on_disk(folder: Path) -> tuple[bytes, set[int]]:
    """All bytes of the journal's files, and the rights that they have."""
    files = list(folder.iterdir())
    return b"".join(file.read_bytes() for file in files), {file.stat().st_mode & 0o777 for file in files}


async def test_what_was_answered_survives_and_nothing_readable_is_in_the_file(tmp_path: Path) -> None:
    journal = made(tmp_path)
    await journal.open()
    await journal.append(entry("секрет +79990000000".encode()))
    await journal.put("registry", b"sealed elsewhere")
    content, rights = on_disk(tmp_path)
    assert "секрет".encode() not in content
    assert b"79990000000" not in content
    assert rights == {0o600}
    await journal.close()
    again = made(tmp_path)
    await again.open()
    assert again.depths[Kind.MESSAGE] == 1
    assert await payloads(again) == ["секрет +79990000000".encode()]
    assert await again.get("registry") == b"sealed elsewhere"
    assert await again.get("nothing") is None
    await again.close()


async def test_an_entry_that_no_key_opens_is_shown_without_payload(tmp_path: Path) -> None:
    journal = made(tmp_path)
    await journal.open()
    await journal.append(entry(b"old"))
    await journal.close()
    other = made(tmp_path, Keyring([b"o" * 32]))
    await other.open()
    assert await payloads(other) == [None]
    await other.close()
    both = made(tmp_path, Keyring([b"o" * 32, b"k" * 32]))
    await both.open()
    assert await payloads(both) == [b"old"]
    await both.close()


async def test_two_gateways_cannot_share_a_journal(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="other gateway"):
        await made(tmp_path).open(busy_seconds=0.05)
    await journal.append(entry(b"still works"))


async def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"something else" * 100)
    with pytest.raises(errors.ConfigError, match="cannot be opened"):
        await made(tmp_path).open(busy_seconds=0.05)
    assert (tmp_path / FILE_NAME).read_bytes() == b"something else" * 100


async def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = made(tmp_path)
    with pytest.raises(JournalFailed):
        await journal.append(entry(b"x"))
    await journal.open()
    await journal.close()
    with pytest.raises(JournalFailed):
        await journal.append(entry(b"x"))


async def test_a_write_that_fails_is_told_and_the_next_may_work(tmp_path: Path) -> None:
    """A row that SQLite refuses: its number is beyond 64 bits."""
    journal = made(tmp_path)
    await journal.open()
    with pytest.raises(JournalFailed):
        await journal.append(NewEntry(Kind.MESSAGE, "u", Lane.BULK, 2**70, b"x"))
    assert journal.failing
    await journal.append(entry(b"good"))
    assert not journal.failing
    assert await payloads(journal) == [b"good"]
    await journal.close()


async def test_full_synchronisation_is_on(tmp_path: Path) -> None:
    """Every commit is followed by a sync: the write-ahead log is not lost with the power."""
    journal = made(tmp_path)
    await journal.open()
    await journal.append(entry(b"x"))
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size > 0
    await journal.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
