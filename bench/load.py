"""The load generator: posts letters over kept connections, cheaper than any HTTP client would.

A program of its own (`python -m bench.load`: a job on stdin, what was measured on stdout), so that on a small
machine the server is measured and not the client. A letter with a rate is posted at times fixed beforehand,
and an answer's time counts from then: a server that falls behind cannot slow the questions down.
"""

import asyncio
import sys
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from bench.letters import Letter

_ROOT = Path(__file__).resolve().parents[1]
_GOOD = b"HTTP/1.1 200"


class LoadFailed(Exception):
    """The load could not be brought to its end; what was measured is worth nothing."""


class Job(BaseModel):
    letters: list[Letter]


class Measured(BaseModel):
    """By number of the message: when it was due (monotonic seconds, the machine's) and how long it took."""

    due: list[float]
    took: list[float]
    not_200: int
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.took) / self.seconds


class Results(BaseModel):
    results: list[Measured]


async def post(*letters: Letter) -> list[Measured]:
    """Posts the letters side by side from a process of its own. Raises LoadFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load",
        cwd=_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    answer, _ = await process.communicate(Job(letters=list(letters)).model_dump_json().encode())
    if process.returncode:
        raise LoadFailed("the load generator failed; its error stands above")
    return Results.model_validate_json(answer).results


class _Run:
    """One letter under way: what waits for a connection, which connections wait, what came back."""

    def __init__(self, letter: Letter) -> None:
        parts = urlsplit(letter.url)
        self.address = (parts.hostname or "", parts.port or 80)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
        )
        self.requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in letter.bodies()]
        self.per_second = letter.per_second
        self.connections = letter.connections
        self.waiting: deque[int] = deque()
        self.idle: list[_Connection] = []
        self.due = [0.0] * letter.count
        self.took = [0.0] * letter.count
        self.left = letter.count
        self.not_200 = 0
        self.ended = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self.connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), *self.address)
            self.idle.append(connection)

    async def work(self) -> Measured:
        started = time.monotonic()
        if self.per_second:
            await self._at_set_times(started)
        else:
            for number in range(len(self.requests)):
                self._offer(number)
        await self.done
        return Measured(due=self.due, took=self.took, not_200=self.not_200, seconds=self.ended - started)

    async def _at_set_times(self, started: float) -> None:
        for number in range(len(self.requests)):
            due = self.due[number] = started + number / self.per_second
            early = due - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            self._offer(number)

    def _offer(self, number: int) -> None:
        if self.idle:
            self.idle.pop().send(number)
        else:
            self.waiting.append(number)

    def answered(self, connection: "_Connection", number: int, *, good: bool) -> None:
        self.ended = time.monotonic()
        self.took[number] = self.ended - self.due[number]
        self.not_200 += not good
        self.left -= 1
        if not self.left:
            self.done.set_result(None)
        elif self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.idle.append(connection)

    def broken(self) -> None:
        if not self.done.done():
            self.done.set_exception(LoadFailed("the server closed a connection"))


class _Connection(asyncio.Protocol):
    """One request at a time; reads no more of an answer than its status and its length."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._number = -1
        self._answer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def send(self, number: int) -> None:
        self._number = number
        if not self._run.per_second:
            self._run.due[number] = time.monotonic()
        assert self._transport is not None
        self._transport.write(self._run.requests[number])

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._answer = b""
        self._run.answered(self, self._number, good=head.startswith(_GOOD))

    def connection_lost(self, error: Exception | None) -> None:
        self._run.broken()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


async def _work(job: Job) -> Results:
    runs = [_Run(letter) for letter in job.letters]
    for run in runs:
        await run.connect()
    return Results(results=await asyncio.gather(*(run.work() for run in runs)))


def main() -> None:
    job = Job.model_validate_json(sys.stdin.read())
    print(asyncio.run(_work(job)).model_dump_json())  # stdout is how the bench gets it


if __name__ == "__main__":
    main()
