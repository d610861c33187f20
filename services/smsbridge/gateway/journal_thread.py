"""The thread that owns the journal's SQLite file, and its group commit.

Work that waits when the thread becomes free is done in one transaction with one fsync; all of it is answered
after the commit, or all of it fails. It knows no table.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from smsbridge.core import errors

_MOST_AT_ONCE = 2000  # pieces of work in one transaction
BUSY_SECONDS = 5.0  # a gateway that is just stopping still holds the file

Result = TypeVar("Result")
Work: TypeAlias = Callable[[sqlite3.Connection], Result]


class JournalFailed(errors.Away):
    """The journal cannot be written or read now: the disk is full, the file is damaged."""

    code = "JournalFailed"


class _Job:
    __slots__ = ("future", "then", "work")

    def __init__(
        self, work: Work[Any], then: Callable[[Any], None] | None, future: asyncio.Future[Any]
    ) -> None:
        self.work = work
        self.then = then
        self.future = future


class JournalThread:
    """Made in the event loop whose callers it answers."""

    def __init__(self, path: Path, schema: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = path
        self._schema = schema
        self._busy_seconds = busy_seconds
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="journal", daemon=True)
        self._opened: asyncio.Future[None] = self._loop.create_future()

    async def begin(self) -> None:
        """Raises OSError or sqlite3.Error where the file cannot be used, or another process has it."""
        self._thread.start()
        await self._opened

    async def run(self, work: Work[Result], then: Callable[[Result], None] | None = None) -> Result:
        """Returns after the commit. `then` gets the result in the loop, also where the caller went away.

        Raises JournalFailed.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(_Job(work, then, future))
        return await future

    def end(self) -> None:
        """Blocks until everything asked for before is done and the file is closed."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _main(self) -> None:
        try:
            db = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._loop.call_soon_threadsafe(_settle, self._opened, None, error)
            return
        self._loop.call_soon_threadsafe(_settle, self._opened, None, None)
        going_on = True
        while going_on:
            jobs, going_on = self._take()
            if jobs:
                self._answer(jobs, *_commit(db, jobs))
        db.close()

    def _connect(self) -> sqlite3.Connection:
        # Before SQLite makes it: its own files take the rights of this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self._path, isolation_level=None, timeout=self._busy_seconds)
        db.execute(
            "PRAGMA locking_mode = EXCLUSIVE"
        )  # two gateways on one journal would each drain the other's
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(f"BEGIN IMMEDIATE; {self._schema} COMMIT;")
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return db

    def _take(self) -> tuple[list[_Job], bool]:
        """Waits for work, then takes all there is; False with the last of it."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        with contextlib.suppress(queue.Empty):
            while job is not None and len(jobs) < _MOST_AT_ONCE:
                jobs.append(job)
                if len(jobs) == _MOST_AT_ONCE:
                    return jobs, True
                job = self._jobs.get_nowait()
            return jobs, False
        return jobs, True

    def _answer(self, jobs: list[_Job], results: list[Any], error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle_all, jobs, results, error)


def _commit(db: sqlite3.Connection, jobs: list[_Job]) -> tuple[list[Any], Exception | None]:
    try:
        db.execute("BEGIN IMMEDIATE")
        results = [job.work(db) for job in jobs]
        db.execute("COMMIT")
    except Exception as error:  # the thread's edge: whatever went wrong is told to those who wait
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        return [], error
    return results, None


def _settle_all(jobs: list[_Job], results: list[Any], error: Exception | None) -> None:
    if error is not None:
        failed = JournalFailed(f"the journal failed ({type(error).__name__})")
        failed.__cause__ = error
        for job in jobs:
            _settle(job.future, None, failed)
        return
    for job, result in zip(jobs, results, strict=True):
        if job.then is not None:
            job.then(result)
        _settle(job.future, result, None)


def _settle(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
