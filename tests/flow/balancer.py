"""Stands before several servers as an Ingress would: each new connection goes to the next that answers."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence

from smsbridge.runtime import addresses


class Balancer:
    def __init__(self, listen: str, backends: Sequence[str], *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listen = addresses.split(listen)
        self._backends = [addresses.split(backend) for backend in backends]
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self._listen, backlog=1024, ssl=self._tls)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far = await self._connect()
            if far is not None:
                far_reader, far_writer = far
                try:
                    await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
                finally:
                    far_writer.close()
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """None where nobody answers: the caller's connection is closed."""
        for _ in self._backends:
            self._turn = (self._turn + 1) % len(self._backends)
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*self._backends[self._turn])
        return None


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side ends; then the other is told."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
