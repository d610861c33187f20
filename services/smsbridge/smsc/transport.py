"""One POST, with the one thing that a send must know of it: has a byte left us?

Knows HTTP and nothing of SMSC. A POST is made once: aiohttp repeats only idempotent methods, redirects are
not followed, proxies and cookies are not used. When time is up, what is still unsent is thrown away, in the
kernel too, so that a request cannot arrive after its deadline.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp.tracing import Trace

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "smsbridge"}
_DISCARD = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing throws unsent bytes away


class NotSent(Exception):
    """Provably nothing left us. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Broken(Exception):
    """Something may have left us, and no answer came that could be relied on. `reason` is a fixed word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Stop(Exception):
    """Raised inside aiohttp just before the first byte, to keep it from leaving."""


@dataclass(slots=True)
class _Attempt:
    """What is known of one POST on its way; seen by the connector and the trace of its own task only."""

    before_first_byte: Callable[[], None] | None
    transport: asyncio.Transport | None = None
    first_byte: bool = False
    stopped: str = ""  # why it was stopped before the first byte

    def on_write(self) -> None:
        """Runs in the same step of the loop as the write that follows it."""
        if self.first_byte:
            return
        if self.transport is None or self.transport.is_closing():
            self.stopped = "stale"
            raise _Stop
        try:
            if self.before_first_byte is not None:
                self.before_first_byte()
        except Exception as exc:  # whatever the caller's reason is, it means: do not send
            self.stopped = "aborted"
            raise _Stop from exc
        self.first_byte = True

    def failure(self, reason: str) -> NotSent | Broken:
        if self.stopped:
            return NotSent(self.stopped)
        if self.first_byte:
            return Broken(reason)
        return NotSent("stale" if reason == "reset" else reason)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


_ATTEMPT: ContextVar[_Attempt | None] = ContextVar("_ATTEMPT", default=None)


class _Connector(aiohttp.TCPConnector):
    """Tells the attempt which connection it got."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        attempt = _ATTEMPT.get()
        if attempt is not None and connection.transport is not None:
            attempt.transport = connection.transport
            plain = connection.transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
        return connection


class Transport:
    """A pool of connections; made and closed inside a running loop."""

    def __init__(
        self, *, connect_timeout_seconds: float, keep_alive_seconds: float, max_answer_bytes: int
    ) -> None:
        self._connect_timeout_seconds = connect_timeout_seconds
        self._keep_alive_seconds = keep_alive_seconds
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self,
        url: str,
        body: bytes,
        *,
        timeout_seconds: float,
        before_first_byte: Callable[[], None] | None = None,
    ) -> bytes:
        """The body of a 200. Raises `NotSent` or `Broken`, and nothing else for what happens on the wire.

        `before_first_byte` is called on a connected socket just before the request is written; if it raises,
        nothing is written.
        """
        attempt = _Attempt(before_first_byte)
        token = _ATTEMPT.set(attempt)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(url, body)
        except aiohttp.ClientError as exc:
            raise attempt.failure(_reason(exc)) from exc
        except TimeoutError as exc:
            attempt.abort()
            raise attempt.failure("timeout" if attempt.first_byte else "connect_timeout") from exc
        except UnicodeError as exc:  # a host name that cannot be one gets as far as the resolver
            raise attempt.failure("url") from exc
        except OSError as exc:
            raise attempt.failure("reset") from exc
        except asyncio.CancelledError:
            attempt.abort()
            raise
        finally:
            _ATTEMPT.reset(token)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, url: str, body: bytes) -> bytes:
        async with self._open().post(url, data=body, allow_redirects=False) as response:
            if 300 <= response.status < 400:
                raise Broken("redirect")
            if response.status != 200:
                raise Broken(f"http_{response.status}")
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        answer = bytearray()
        async for chunk in response.content.iter_any():
            answer += chunk
            if len(answer) > self._max_answer_bytes:
                raise Broken("too_long")
        return bytes(answer)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_chunk_sent.append(_on_write)
            self._session = aiohttp.ClientSession(
                # No limit of its own: the account's permits say how many requests run.
                connector=_Connector(limit=0, keepalive_timeout=self._keep_alive_seconds),
                timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                trace_configs=[trace],
            )
        return self._session


async def _on_write(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, _params: aiohttp.TraceRequestChunkSentParams
) -> None:
    """aiohttp announces the body just before it writes it, headers and body together."""
    attempt = _ATTEMPT.get()
    if attempt is not None:
        attempt.on_write()


_REASONS: tuple[tuple[type[aiohttp.ClientError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorCertificateError, "tls"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect_failed"),
    (aiohttp.InvalidURL, "url"),
    (aiohttp.NonHttpUrlClientError, "url"),
    (aiohttp.ClientResponseError, "unparsable"),  # what came is no HTTP
)


def _reason(exc: aiohttp.ClientError) -> str:
    if isinstance(exc, aiohttp.ClientConnectorError) and exc.errno == errno.ECONNREFUSED:
        return "connect_refused"
    return next((word for kind, word in _REASONS if isinstance(exc, kind)), "reset")
