"""A proxy of the test between a process and Valkey, or between it and SMSC, that strikes at an exact point.

It reads requests whole, knows each by its word (a script's name, a command, the name of SMSC's script), and
at the point that a test has set it holds the traffic, cuts the connection, or lets the test do something
first. It changes no byte.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from urllib.parse import urlsplit

from smsbridge.store import scripts

_PREFIX = "prelude"


class Moment(StrEnum):
    BEFORE = "before"  # the request is whole, and nothing of it has gone on
    AFTER = "after"  # the far end has done it and answered, and nothing of the answer has gone on


class Then(StrEnum):
    PASS = "pass"
    CUT = "cut"


async def cut() -> Then:
    return Then.CUT


async def go_on() -> Then:
    return Then.PASS


@dataclass(slots=True)
class Point:
    """Strikes `times` times at `word`, where the request (before) or the answer (after) holds `having`;
    the first `skip` such are let through.
    """

    word: str
    moment: Moment
    act: Callable[[], Awaitable[Then]] = cut
    having: bytes = b""
    times: int = 1
    skip: int = 0
    struck: int = 0

    def strikes(self, moment: Moment, word: str, data: bytes) -> bool:
        """Counts what fits."""
        if (self.word, self.moment) != (word, moment) or self.having not in data or self.struck >= self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.struck += 1
        return True


Dialect = Callable[[bytearray], tuple[int, str] | None]


class Proxy:
    def __init__(self, host: str, port: int, *, dialect: Dialect) -> None:
        self._far = host, port
        self._dialect = dialect
        self._points: list[Point] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.seen: list[str] = []  # every word, in the order of the requests

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def set(self, point: Point) -> Point:
        self._points.append(point)
        return point

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled by `stop` alone, and the server's own callback cannot bear to see it.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._join(reader, writer)
        writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._far)
        way = _Way()
        pumps = [
            asyncio.create_task(self._forth(reader, far_writer, way)),
            asyncio.create_task(self._back(far_reader, writer, way)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _forth(
        self, reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter, way: "_Way"
    ) -> None:
        waiting = bytearray()
        while data := await reader.read(65536):
            waiting += data
            while found := self._dialect(waiting):
                size, word = found
                request = bytes(waiting[:size])
                del waiting[:size]
                self.seen.append(word)
                if await self._strike(Moment.BEFORE, word, request) is Then.CUT:
                    return
                way.word = word
                far_writer.write(request)
                await far_writer.drain()

    async def _back(
        self, far_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: "_Way"
    ) -> None:
        while data := await far_reader.read(65536):
            # A script that the store does not have yet has not run: it comes again with its text.
            if not data.startswith(b"-NOSCRIPT") and (
                await self._strike(Moment.AFTER, way.word, data) is Then.CUT
            ):
                return
            writer.write(data)
            await writer.drain()

    async def _strike(self, moment: Moment, word: str, data: bytes) -> Then:
        for point in self._points:
            if point.strikes(moment, word, data):
                return await point.act()
        return Then.PASS


@dataclass(slots=True)
class _Way:
    """One connection; a request is answered before the next one comes."""

    word: str = field(default="")


@contextlib.asynccontextmanager
async def before_store(url: str, *, times: scripts.StoreTimes) -> AsyncIterator[Proxy]:
    """In front of a Valkey whose processes use `times`."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    async with _running(Proxy(address.hostname, address.port, dialect=_redis(times))) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def before_http(url: str) -> AsyncIterator[Proxy]:
    """In front of the sandbox: words are the names of SMSC's scripts ("send", "status")."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    async with _running(Proxy(address.hostname, address.port, dialect=_http)) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def _running(proxy: Proxy) -> AsyncIterator[Proxy]:
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def _redis(times: scripts.StoreTimes) -> Dialect:
    folder = resources.files("smsbridge.store")
    files = (item.name for item in folder.iterdir() if item.name.endswith(".lua"))
    names = [name.removesuffix(".lua") for name in files if not name.startswith(_PREFIX)]
    by_sha = {scripts.ScriptText(name, times).sha: name for name in names}

    def read(data: bytearray) -> tuple[int, str] | None:
        found = _command(data)
        if found is None:
            return None
        size, parts = found
        word = parts[0].decode().upper()
        if word == "EVALSHA":
            return size, by_sha[parts[1].decode().lower()]
        if word == "EVAL":
            return size, by_sha[hashlib.sha1(parts[1]).hexdigest()]  # noqa: S324 - EVALSHA's own digest
        return size, word

    return read


def _command(data: bytearray) -> tuple[int, list[bytes]] | None:
    """Length and parts of the first command in RESP, None while it is not whole."""
    end = data.find(b"\r\n")
    if end < 0:
        return None
    assert data[:1] == b"*", "a request of the driver is an array"
    at, parts = end + 2, []
    for _ in range(int(data[1:end])):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at + 1 : end])
        at = end + 2 + size + 2
        if len(data) < at:
            return None
        parts.append(bytes(data[end + 2 : end + 2 + size]))
    return at, parts


def _http(data: bytearray) -> tuple[int, str] | None:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = end + 4 + int(headers.get("content-length", "0"))
    if len(data) < size:
        return None
    path = first.split(" ")[1].partition("?")[0]
    return size, path.rpartition("/")[2].removesuffix(".php")
