"""Acts out the faults that all three servers share: silence, resets, 502s, pages instead of answers.

An application says what "doing the work" is (`work`) and what is answered where all is well.
"""

import socket
import struct
from collections.abc import Callable

from aiohttp import web

from smsbridge.sandbox.clock import Clock
from smsbridge.sandbox.faults import Fault, FaultKind

Work = Callable[[], web.Response]

_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Something went wrong</h1></body></html>"
_DONE_FIRST = frozenset(
    {FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.RESET_AFTER_ACCEPT, FaultKind.HTTP_502_AFTER_ACCEPT}
)
_ANSWERS_INSTEAD = frozenset({FaultKind.HTML, FaultKind.EMPTY, FaultKind.NON_JSON, FaultKind.REDIRECT_302})
_SILENT = frozenset({FaultKind.TIMEOUT_AFTER_ACCEPT, FaultKind.TIMEOUT_BEFORE_ACCEPT})
_RESETS = frozenset({FaultKind.RESET_AFTER_ACCEPT, FaultKind.RESET_BEFORE_ACCEPT})


async def act(fault: Fault, work: Work, *, clock: Clock, request: web.Request) -> web.Response:
    """Does the work or not, as the fault says, and answers as it says."""
    if fault.kind in _DONE_FIRST or (fault.kind in _ANSWERS_INSTEAD and fault.accept):
        work()
    if fault.kind is FaultKind.HTTP_502_THEN_ACCEPT_AFTER:
        clock.later(fault.seconds, work)
    if fault.kind in _SILENT:
        await clock.sleep(fault.seconds)
    if fault.kind in _SILENT or fault.kind in _RESETS:
        cut(request)
    return _instead(fault)


def _instead(fault: Fault) -> web.Response:
    match fault.kind:
        case FaultKind.HTML:
            return web.Response(body=_PAGE, content_type="text/html")
        case FaultKind.EMPTY:
            return web.Response(body=b"")
        case FaultKind.NON_JSON:
            return web.Response(text="Service is temporarily overloaded")
        case FaultKind.REDIRECT_302:
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        case FaultKind.HTTP_500:
            return web.Response(status=500, body=_PAGE, content_type="text/html")
        case _:
            return web.Response(status=502, body=_PAGE, content_type="text/html")


def cut(request: web.Request) -> None:
    """Ends the connection with a reset, without a byte of an answer."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
