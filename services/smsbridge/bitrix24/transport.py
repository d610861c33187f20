"""One HTTP exchange with Bitrix24: bytes out, bytes in. It never repeats a request, follows no redirect,
keeps no cookie, and lets no URL into an error or a log: the OAuth refresh carries secrets in its query.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Self

import aiohttp

from smsbridge.bitrix24 import errors


@dataclass(frozen=True, slots=True)
class TransportSettings:
    connect_seconds: float = 5.0
    max_answer_bytes: int = 32 * 1024 * 1024  # 50 pages of 50 contacts are about 5 MB
    max_connections: int = 100
    user_agent: str = "smsbridge"  # Bitrix24 asks for one


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    location: str = ""


class _Resent(aiohttp.ClientError):
    """aiohttp repeats a GET by itself when a connection breaks; a one-time refresh token forbids that."""


class Transport:
    """An asynchronous context manager; its session lives as long as the block."""

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings = settings or TransportSettings()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_first_byte)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.max_connections),
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
            headers={"User-Agent": self._settings.user_agent, "Accept": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post_json(self, url: str, body: bytes, *, total_seconds: float) -> Reply:
        """Raises PortalAway."""
        return await self._request("POST", url, body=body, total_seconds=total_seconds)

    async def get(self, url: str, *, params: dict[str, str], total_seconds: float) -> Reply:
        """Raises PortalAway."""
        return await self._request("GET", url, params=params, total_seconds=total_seconds)

    async def _request(
        self,
        verb: str,
        url: str,
        *,
        total_seconds: float,
        body: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> Reply:
        if self._session is None:
            raise RuntimeError("the transport is used outside its `async with` block")
        progress = SimpleNamespace(sent=False)
        try:
            async with self._session.request(
                verb,
                url,
                data=body,
                params=params,
                headers={"Content-Type": "application/json"} if body is not None else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=total_seconds, sock_connect=self._settings.connect_seconds
                ),
                trace_request_ctx=progress,
            ) as response:
                content = await self._read(response)
                return Reply(response.status, content, response.headers.get("Location", ""))
        except TimeoutError:
            what = "did not answer in time" if progress.sent else "could not be reached in time"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            what = f"broke off ({type(failure).__name__})" if progress.sent else "could not be reached"
        # Raised here, not above: a chained exception could carry the URL into a traceback.
        raise errors.PortalAway(f"Bitrix24 {what}", after_first_byte=progress.sent)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._settings.max_answer_bytes:
                raise aiohttp.ClientPayloadError("the answer is too long")
        return bytes(content)


async def _note_first_byte(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    """Called just before the first byte is written."""
    progress = context.trace_request_ctx
    if progress.sent:
        raise _Resent
    progress.sent = True
