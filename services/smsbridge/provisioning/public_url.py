"""Whether a public client would trust the certificate of `publicUrl`.

Bitrix24 and SMSC check certificates and call nobody whose they do not trust, and neither of them tells.
Only a certificate that was seen and is bad counts: an address that this process cannot reach may well be
reached from outside.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_HTTPS_PORT = 443


class PublicUrls:
    """One look an interval for each host, however many providers it serves."""

    def __init__(
        self,
        *,
        interval_seconds: float,
        timeout_seconds: float = 5.0,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._context = context
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, str]] = {}

    async def distrust(self, url: str) -> str:
        """What is wrong with the certificate; empty where nothing is, or where it could not be seen."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            return ""
        at = (parts.hostname, parts.port or _HTTPS_PORT)
        looked, found = self._known.get(at, (0.0, ""))
        # What is wrong is looked at anew each time: whoever mends it waits for the answer.
        if at in self._known and not found and self._clock() - looked < self._interval_seconds:
            return found
        found = await self._look(*at)
        self._known[at] = (self._clock(), found)
        return found

    async def _look(self, host: str, port: int) -> str:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                _, writer = await asyncio.open_connection(
                    host, port, ssl=self._context(), server_hostname=host
                )
        except ssl.SSLCertVerificationError as error:
            return f"{host}: {error.verify_message or 'it cannot be verified'}"
        except (OSError, TimeoutError):
            return ""
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                await writer.wait_closed()
        return ""
