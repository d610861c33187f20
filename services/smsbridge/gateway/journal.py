"""The journal: what a door accepted while its owner was away. SQLite in its own thread, payloads encrypted.

An append is answered when it is on disk (WAL, synchronous=FULL); appends that wait together share one fsync.
The same file keeps what a gateway needs to serve while the store is away (snapshots), and the journal's id.
It knows nothing of what its entries mean.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from smsbridge.core import errors
from smsbridge.core.message import Lane
from smsbridge.gateway.journal_thread import BUSY_SECONDS, JournalFailed, JournalThread, Work

FILE_NAME = "journal.sqlite"
_CONTEXT = "journal"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, provider_uid TEXT NOT NULL,
    lane INTEGER NOT NULL, door_at_ms INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS entries_in_order ON entries (kind, provider_uid, lane, id);
CREATE TABLE IF NOT EXISTS set_aside (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, provider_uid TEXT NOT NULL, lane INTEGER NOT NULL,
    door_at_ms INTEGER NOT NULL, payload BLOB NOT NULL, reason TEXT NOT NULL,
    set_aside_at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_LANES = {Lane.INTERACTIVE: 0, Lane.BULK: 1}

Result = TypeVar("Result")


class Kind(StrEnum):
    MESSAGE = "message"
    RECEIPT = "receipt"
    HLR_RESULT = "hlr_result"
    ERRAND = "errand"
    EVENT = "event"


class Sealer(Protocol):
    """What of `store.keyring.Keyring` is needed here."""

    def encrypt(self, plain: bytes, *, context: str) -> bytes: ...
    def decrypt(self, sealed: bytes, *, context: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class NewEntry:
    kind: Kind
    provider_uid: str
    lane: Lane
    door_at_ms: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """`payload` is None where no key of the ring opens it."""

    id: int
    kind: Kind
    provider_uid: str
    door_at_ms: int
    payload: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Aside:
    """An entry that was set aside, when, and why."""

    entry: Entry
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of one kind and one provider: they drain in order, whatever becomes of other groups."""

    kind: Kind
    provider_uid: str
    count: int


class Journal:
    """Open it before use; every method but the counters raises JournalFailed."""

    def __init__(self, folder: Path, sealer: Sealer, *, now_ms: Callable[[], int]) -> None:
        self._path = folder / FILE_NAME
        self._sealer = sealer
        self._now_ms = now_ms
        self._thread: JournalThread | None = None
        self.depths: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self.set_asides: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self.failing = False  # the last thing asked of it failed
        self.on_change: Callable[[], None] = lambda: None

    @property
    def depth(self) -> int:
        return sum(self.depths.values())

    async def open(self, *, create: bool = True, busy_seconds: float = BUSY_SECONDS) -> None:
        """Raises ConfigError where the file cannot be used, or another process has it."""
        if not create and not self._path.exists():
            raise errors.ConfigError(
                f"there is no journal ({FILE_NAME}) in this directory; give a gateway's journal_dir"
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._thread = JournalThread(self._path, _SCHEMA, busy_seconds=busy_seconds)
        try:
            await self._thread.begin()
            counts = await self._run(_counts)
        except (OSError, sqlite3.Error, JournalFailed) as error:
            await self.close()
            raise errors.ConfigError(
                f"the journal cannot be opened ({type(error).__name__}); is the directory writable, and "
                "does no other gateway use it?",
                field="gateway.journal_dir",
            ) from error
        self._count(dict(counts[0]), dict(counts[1]))

    async def close(self) -> None:
        """What was asked for before is done first."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.end)

    async def append(self, entry: NewEntry) -> None:
        """Returns when it is on disk."""
        await self._run(self._insert(entry), lambda _: self._count({entry.kind: 1}, {}))

    async def read(
        self, kind: Kind, provider_uid: str, *, limit: int, leave: frozenset[int] = frozenset()
    ) -> list[Entry]:
        """The first of a group, interactive ones before bulk ones, without those in `leave`."""
        rows = await self._run(_read(kind, provider_uid, limit + len(leave)))
        return [self._entry(row) for row in rows if row[0] not in leave][:limit]

    async def groups(self) -> list[Group]:
        rows = await self._run(_groups)
        return [Group(Kind(kind), uid, count) for kind, uid, count in rows]

    async def remove(self, entries: Sequence[Entry]) -> None:
        ids = [(entry.id,) for entry in entries]
        await self._run(_delete(ids), lambda _: self._count(_tally(entries, -1), {}))

    async def set_aside(self, entry: Entry, *, reason: str) -> None:
        """Out of the way, kept with its reason."""
        await self._run(
            _move(entry.id, reason, self._now_ms()),
            lambda moved: self._count({entry.kind: -moved}, {entry.kind: moved}),
        )

    async def keep_aside(self, entry: NewEntry, *, reason: str) -> None:
        """Set aside without having waited: it was refused at once."""
        row = (*self._row(entry), reason, self._now_ms())
        await self._run(_insert_aside(row), lambda _: self._count({}, {entry.kind: 1}))

    async def asides(self) -> list[Aside]:
        """Oldest first."""
        return [Aside(self._entry(row[:5]), *row[5:]) for row in await self._run(_asides)]

    async def put_back(self, asides: Sequence[Aside]) -> None:
        """Among those that wait, as they were."""
        entries = [one.entry for one in asides]
        ids = [(entry.id,) for entry in entries]
        await self._run(_put_back(ids), lambda _: self._count(_tally(entries, 1), _tally(entries, -1)))

    async def forget(self, asides: Sequence[Aside]) -> None:
        """For good."""
        entries = [one.entry for one in asides]
        ids = [(entry.id,) for entry in entries]
        await self._run(_forget(ids), lambda _: self._count({}, _tally(entries, -1)))

    async def put(self, name: str, value: bytes) -> None:
        """A snapshot, as it is: whoever makes it encrypts it."""
        await self._run(_put(name, value))

    async def get(self, name: str) -> bytes | None:
        return await self._run(_get(name))

    def _insert(self, entry: NewEntry) -> Work[None]:
        def work(db: sqlite3.Connection) -> None:
            # Sealed here, off the loop.
            db.execute(
                "INSERT INTO entries (kind, provider_uid, lane, door_at_ms, payload) VALUES (?, ?, ?, ?, ?)",
                self._row(entry),
            )

        return work

    def _row(self, entry: NewEntry) -> tuple[str, str, int, int, bytes]:
        sealed = self._sealer.encrypt(entry.payload, context=_CONTEXT)
        return entry.kind.value, entry.provider_uid, _LANES[entry.lane], entry.door_at_ms, sealed

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        number, kind, provider_uid, door_at_ms, sealed = row
        try:
            payload: bytes | None = self._sealer.decrypt(sealed, context=_CONTEXT)
        except errors.SmsbridgeError:
            payload = None
        return Entry(number, Kind(kind), provider_uid, door_at_ms, payload)

    async def _run(self, work: Work[Result], then: Callable[[Result], None] | None = None) -> Result:
        if self._thread is None:
            raise JournalFailed("the journal is not open")
        try:
            result = await self._thread.run(work, then)
        except JournalFailed:
            self.failing = True
            raise
        self.failing = False
        return result

    def _count(self, waiting: dict[Any, int], aside: dict[Any, int]) -> None:
        for kind, number in waiting.items():
            self.depths[Kind(kind)] += number
        for kind, number in aside.items():
            self.set_asides[Kind(kind)] += number
        self.on_change()


def _counts(db: sqlite3.Connection) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    return (
        db.execute("SELECT kind, count(*) FROM entries GROUP BY kind").fetchall(),
        db.execute("SELECT kind, count(*) FROM set_aside GROUP BY kind").fetchall(),
    )


def _read(kind: Kind, provider_uid: str, limit: int) -> Work[list[tuple[Any, ...]]]:
    return lambda db: db.execute(
        "SELECT id, kind, provider_uid, door_at_ms, payload FROM entries WHERE kind = ? AND provider_uid = ?"
        " ORDER BY lane, id LIMIT ?",
        (kind.value, provider_uid, limit),
    ).fetchall()


def _groups(db: sqlite3.Connection) -> list[tuple[str, str, int]]:
    return db.execute(
        "SELECT kind, provider_uid, count(*) FROM entries GROUP BY kind, provider_uid ORDER BY min(id)"
    ).fetchall()


def _delete(ids: list[tuple[int]]) -> Work[None]:
    def work(db: sqlite3.Connection) -> None:
        db.executemany("DELETE FROM entries WHERE id = ?", ids)

    return work


def _move(number: int, reason: str, at_ms: int) -> Work[int]:
    def work(db: sqlite3.Connection) -> int:
        db.execute(
            "INSERT INTO set_aside SELECT id, kind, provider_uid, lane, door_at_ms, payload, ?, ?"
            " FROM entries WHERE id = ?",
            (reason, at_ms, number),
        )
        return db.execute("DELETE FROM entries WHERE id = ?", (number,)).rowcount

    return work


def _insert_aside(row: tuple[Any, ...]) -> Work[None]:
    def work(db: sqlite3.Connection) -> None:
        # Its number is taken from the entries' sequence, so that no later entry can have the same.
        db.execute(
            "INSERT INTO entries (kind, provider_uid, lane, door_at_ms, payload) VALUES (?, ?, ?, ?, ?)",
            row[:5],
        )
        number = db.execute("SELECT last_insert_rowid()").fetchone()[0]
        _move(number, row[5], row[6])(db)

    return work


def _asides(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return db.execute(
        "SELECT id, kind, provider_uid, door_at_ms, payload, reason, set_aside_at_ms FROM set_aside"
        " ORDER BY id"
    ).fetchall()


def _put_back(ids: list[tuple[int]]) -> Work[None]:
    def work(db: sqlite3.Connection) -> None:
        db.executemany(
            "INSERT INTO entries SELECT id, kind, provider_uid, lane, door_at_ms, payload FROM set_aside"
            " WHERE id = ?",
            ids,
        )
        _forget(ids)(db)

    return work


def _forget(ids: list[tuple[int]]) -> Work[None]:
    def work(db: sqlite3.Connection) -> None:
        db.executemany("DELETE FROM set_aside WHERE id = ?", ids)

    return work


def _put(name: str, value: bytes) -> Work[None]:
    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT OR REPLACE INTO snapshots (name, value) VALUES (?, ?)", (name, value))

    return work


def _get(name: str) -> Work[bytes | None]:
    def work(db: sqlite3.Connection) -> bytes | None:
        row = db.execute("SELECT value FROM snapshots WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    return work


def _tally(entries: Sequence[Entry], each: int) -> dict[Kind, int]:
    result: dict[Kind, int] = {}
    for entry in entries:
        result[entry.kind] = result.get(entry.kind, 0) + each
    return result
