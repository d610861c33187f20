"""Posts forms over keep-alive connections as fast as they are answered: cheaper than any HTTP client, so that
on a small machine the server is measured and not the client.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit


@dataclass(frozen=True, slots=True)
class Measured:
    posts: int
    bad: int  # answered otherwise than 200
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.posts / self.seconds


async def run(url: str, bodies: list[bytes], *, connections: int) -> Measured:
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    ).encode()
    waiting = iter(bodies)
    taken: list[float] = []
    bad = [0]
    started = time.perf_counter()
    address = (parts.hostname or "", parts.port or 80)
    await asyncio.gather(*(_work(address, head, waiting, taken, bad) for _ in range(connections)))
    seconds = time.perf_counter() - started
    taken.sort()
    return Measured(
        posts=len(taken),
        bad=bad[0],
        seconds=seconds,
        p50_ms=taken[len(taken) // 2] * 1000,
        p99_ms=taken[len(taken) * 99 // 100] * 1000,
    )


async def _work(
    address: tuple[str, int], head: bytes, bodies: Iterator[bytes], taken: list[float], bad: list[int]
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for body in bodies:
        began = time.perf_counter()
        writer.write(head + str(len(body)).encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(answer))
        taken.append(time.perf_counter() - began)
        if not answer.startswith(b"HTTP/1.1 200"):
            bad[0] += 1
    writer.close()
    await writer.wait_closed()


def _length(answer: bytes) -> int:
    _, _, rest = answer.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0] or 0)


def forms(count: int, *, code: str, origin: str, salt: str) -> list[bytes]:
    """Posts as Bitrix24 makes them, each with a message_id of its own."""
    text = quote_plus("Ваш заказ собран, ждём вас.")
    return [
        (
            f"module_id={origin}&code={code}&type=SMS&message_to=%2B7916{number:07d}"
            f"&message_id={hashlib.md5(f'{salt}{number}'.encode(), usedforsecurity=False).hexdigest()}"
            f"&message_body={text}&properties%5Bphone_number%5D=%2B7916{number:07d}"
        ).encode()
        for number in range(count)
    ]
