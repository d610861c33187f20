"""The public doors: finds out who is called and by whom, reads the post, delegates, answers.

An unknown path, an unknown provider and a wrong key look the same: 404 without a word. Nothing but status
codes, `{}` and the application's page leaves here, and no log line holds a path.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

import aiohttp
import structlog
from aiohttp import web

from smsbridge.bitrix24 import forms, inbound
from smsbridge.bitrix24.steps import Step
from smsbridge.core import errors
from smsbridge.core.errand import Errand, ErrandKind
from smsbridge.core.provider import Provider
from smsbridge.gateway import install, page, workflows
from smsbridge.gateway.authenticate import DoorKeys, Side, TokenBook
from smsbridge.gateway.callbacks import Answer, Callbacks
from smsbridge.gateway.events import Events
from smsbridge.gateway.metrics import GatewayMetrics
from smsbridge.gateway.service import Accepted, Accepting
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.rpc import message as rpc_message
from smsbridge.runtime import tracing

log = structlog.get_logger()

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_NOTHING = ""


class Door(StrEnum):
    HANDLER = "handler"
    INSTALL = "install"
    EVENTS = "events"
    ROBOTS = "robots"
    HLR = "hlr"
    CALLBACK = "callback"


_DOORS = {
    (Side.BITRIX24.value, "handler"): Door.HANDLER,
    (Side.BITRIX24.value, "install"): Door.INSTALL,
    (Side.BITRIX24.value, "events"): Door.EVENTS,
    (Side.BITRIX24.value, "hlr"): Door.HLR,
    (Side.SMSC.value, "callback"): Door.CALLBACK,
}
_ROBOTS = (Side.BITRIX24.value, "robots")  # the only door with a further part, the step's code
_METHODS = {
    Door.HANDLER: ("POST",),
    Door.INSTALL: ("POST",),
    Door.EVENTS: ("POST",),
    Door.ROBOTS: ("POST",),
    Door.HLR: ("GET", "POST"),
    Door.CALLBACK: ("GET", "POST"),
}


class Doors:
    """`aiohttp.web.Server` calls it with every request."""

    def __init__(
        self,
        *,
        settings: GatewaySettings,
        keys: DoorKeys,
        tokens: TokenBook,
        accepting: Accepting,
        callbacks: Callbacks,
        events: Events,
        metrics: GatewayMetrics,
        is_open: Callable[[], bool],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_open` is false until a registry has been seen: then every door answers 503."""
        self._settings = settings
        self._limits = forms.Limits(max_bytes=settings.max_body_bytes)
        self._removed_for_ms = round(settings.callbacks_after_removal_seconds * 1000)
        self._keys = keys
        self._tokens = tokens
        self._accepting = accepting
        self._callbacks = callbacks
        self._events = events
        self._metrics = metrics
        self._is_open = is_open
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._handlers = {
            Door.HANDLER: self._handler,
            Door.INSTALL: self._install,
            Door.EVENTS: self._event,
            Door.ROBOTS: self._step,
            Door.HLR: self._webhook,
            Door.CALLBACK: self._callback,
        }

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self._metrics.in_flight.inc()
        try:
            return await self._answer(request)
        finally:
            self._metrics.in_flight.dec()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if not self._is_open():
            return self._refusal("any", 503)
        path, _, query = request.raw_path.partition("?")
        found = self._find(path)
        if found is None:
            return self._refusal("none", 404)
        door, provider = found
        if request.method not in _METHODS[door]:
            return self._refusal(door, 405, {"Allow": ", ".join(_METHODS[door])})
        body = await self._read(request)
        if isinstance(body, int):
            return self._refusal(door, body)
        return await self._handlers[door](provider, request, query, body)

    def _find(self, path: str) -> tuple[Door, Provider] | None:
        """/bitrix24/NAMESPACE/NAME/KEY/handler and the like."""
        parts = path.split("/")
        if len(parts) == 6:
            door = _DOORS.get((parts[1], parts[5]))
        elif len(parts) == 7 and parts[6]:
            door = Door.ROBOTS if (parts[1], parts[5]) == _ROBOTS else None
        else:
            return None
        side, namespace, name, key = parts[1:5]
        if door is None or parts[0]:
            return None
        provider = self._keys.find(Side(side), f"{namespace}/{name}", key)
        if provider is None or (provider.removed and not self._still_taken(door, provider)):
            return None
        return door, provider

    def _still_taken(self, door: Door, provider: Provider) -> bool:
        """A removed provider's messages under way still get their receipts."""
        return door is Door.CALLBACK and self._now_ms() < provider.removed_at_ms + self._removed_for_ms

    async def _read(self, request: web.BaseRequest) -> bytes | int:
        """The body, or the status of a refusal. No more is read than is allowed, however it is framed."""
        most = self._settings.max_body_bytes
        if (request.content_length or 0) > most:
            return 413
        content = request.content
        try:
            if content.is_eof():  # it came together with its head, as most do
                body = content.read_nowait()
                return body if len(body) <= most else 413
            async with asyncio.timeout(self._settings.read_timeout_seconds):
                await _continue(request)
                return await _read_slowly(content, most)
        except TimeoutError:
            return 408
        except (web.RequestPayloadError, aiohttp.http.HttpProcessingError, OSError):
            # Cut off, or badly framed.
            return 400

    async def _handler(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        started = self._monotonic()
        fields = self._fields(request, body, message=True)
        if isinstance(fields, int):
            return self._refusal(Door.HANDLER, fields)
        try:
            message = inbound.read_message(fields)
        except errors.InputError:
            return self._refusal(Door.HANDLER, 400)
        token_check, digest = self._tokens.check(provider.uid, message.application_token)
        outgoing = rpc_message.Outgoing(
            provider_uid=provider.uid,
            message_id=message.message_id,
            recipient=message.recipient,
            text=message.text,
            origin=message.origin,
            accepted_at_ms=self._now_ms(),
            document_type=message.document_type,
            token_check=token_check,
            token_digest=digest,
            code=message.code,
        )
        return await self._take_message(Door.HANDLER, outgoing, weight=len(body), started=started)

    async def _take_message(
        self, door: Door, outgoing: rpc_message.Outgoing, *, weight: int, started: float
    ) -> web.Response:
        message_id = outgoing.id
        with tracing.within(tracing.id_of(message_id)):
            accepted = await self._accepting.message(outgoing, weight=weight)
        seconds = self._monotonic() - started
        self._metrics.accepted(outgoing.origin, accepted)
        self._metrics.accept_seconds.observe(seconds)
        tracing.span(tracing.Span.DOOR, message_id, seconds=seconds, door=door.value, result=accepted.value)
        return self._refusal(door, 503) if accepted is Accepted.LOST else _ok()

    async def _step(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        started = self._monotonic()
        fields = self._fields(request, body, wanted=inbound.STEP_NAMES)
        if isinstance(fields, int):
            return self._refusal(Door.ROBOTS, fields)
        try:
            run = inbound.read_step(fields)
        except errors.InputError:
            return self._refusal(Door.ROBOTS, 400)
        post = workflows.Post(
            provider, self._now_ms(), *self._tokens.check(provider.uid, run.application_token)
        )
        code = unquote(request.raw_path.partition("?")[0].rpartition("/")[2])
        step = workflows.step_of(provider, run, code=code)
        if step is not Step.HLR:
            outgoing = workflows.message(post, run, foreign=step is None)
            return await self._take_message(Door.ROBOTS, outgoing, weight=len(body), started=started)
        if not run.waits:  # an answer that nobody waits for is not worth a look-up's price
            self._metrics.errands.labels(ErrandKind.STEP, Accepted.DROPPED).inc()
            return _ok()
        return await self._take_errand(Door.ROBOTS, workflows.errand_of_step(post, run))

    async def _webhook(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        fields = {} if request.method == "GET" else self._fields(request, body)
        if isinstance(fields, int):
            return self._refusal(Door.HLR, fields)
        try:
            asked = inbound.read_webhook(query.encode("utf-8", "surrogateescape"), fields)
        except errors.InputError:
            return self._refusal(Door.HLR, 400)
        post = workflows.Post(provider, self._now_ms())
        return await self._take_errand(Door.HLR, workflows.errand_of_webhook(post, asked))

    async def _take_errand(self, door: Door, errand: Errand) -> web.Response:
        accepted = await self._accepting.errand(errand)
        self._metrics.errands.labels(errand.kind, accepted).inc()
        return self._refusal(door, 503) if accepted is Accepted.LOST else _ok()

    async def _install(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        """An event as everywhere, or the application's page opened in the portal."""
        fields = self._fields(request, body)
        if isinstance(fields, int):
            return self._refusal(Door.INSTALL, fields)
        if "event" in fields:
            return await self._take_event(Door.INSTALL, provider, fields)
        try:
            frame = inbound.read_frame(dict(parse_qsl(query)), fields)
        except (errors.InputError, ValueError):
            return self._refusal(Door.INSTALL, 400)
        event = install.of_frame(frame, provider_uid=provider.uid, now=self._now_ms() // 1000)
        accepted, outcome = await self._events.take_and_wait(event, seconds=self._settings.frame_wait_seconds)
        if accepted is Accepted.LOST:
            return self._refusal(Door.INSTALL, 503)
        return _page(provider, outcome, language=frame.language)

    async def _event(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        fields = self._fields(request, body)
        if isinstance(fields, int):
            return self._refusal(Door.EVENTS, fields)
        return await self._take_event(Door.EVENTS, provider, fields)

    async def _take_event(self, door: Door, provider: Provider, fields: forms.Fields) -> web.Response:
        try:
            event = inbound.read_event(fields)
        except errors.InputError:
            return self._refusal(door, 400)
        if isinstance(event, inbound.CrmEvent):
            return await self._take_crm_event(door, provider, event)
        written = install.of_app_event(event, provider_uid=provider.uid, now=self._now_ms() // 1000)
        accepted = await self._events.take(written)
        return self._refusal(door, 503) if accepted is Accepted.LOST else _ok()

    async def _take_crm_event(self, door: Door, provider: Provider, event: inbound.CrmEvent) -> web.Response:
        post = workflows.Post(
            provider, self._now_ms(), *self._tokens.check(provider.uid, event.auth.application_token)
        )
        errand = workflows.errand_of_event(post, event)
        self._metrics.events.labels("crm", "counted" if errand is None else "errand").inc()
        return _ok() if errand is None else await self._take_errand(door, errand)

    async def _callback(
        self, provider: Provider, request: web.BaseRequest, query: str, body: bytes
    ) -> web.Response:
        answer = await self._callbacks.take(
            provider,
            method=request.method,
            query=query,
            content_type=request.headers.get("Content-Type", ""),
            body=body,
        )
        if answer is Answer.FORBIDDEN:
            return self._refusal(Door.CALLBACK, 403)
        return self._refusal(Door.CALLBACK, 503) if answer is Answer.UNAVAILABLE else _ok()

    def _fields(
        self, request: web.BaseRequest, body: bytes, *, message: bool = False, wanted: Iterable[str] = ()
    ) -> forms.Fields | int:
        """The post's fields, or the status of a refusal. Without a content type a form is tried. `wanted` are
        found wherever they stand.
        """
        if request.headers.get("Content-Encoding", "identity") != "identity":
            return 415  # nothing is unpacked here: a small post could become a very large one
        content_type = request.headers.get("Content-Type", _FORM)
        if content_type != _FORM:
            content_type = content_type.partition(";")[0].strip().lower()
        try:
            if content_type in (_FORM, _NOTHING):
                if message:
                    return inbound.message_fields(body, self._limits)
                return forms.parse_what_fits(body, self._limits, wanted=wanted).fields
            if content_type == _JSON:
                wanted = inbound.MESSAGE_NAMES if message else wanted
                return forms.parse_json_what_fits(body, self._limits, wanted=wanted).fields
        except errors.InputError:
            return 400
        return 415

    def _refusal(self, door: str, status: int, headers: dict[str, str] | None = None) -> web.Response:
        self._metrics.refusals.labels(door, str(status)).inc()
        response = web.Response(status=status, headers=headers)
        if status in (408, 413):  # the rest of the post is not worth waiting for
            response.force_close()
        return response


def _ok() -> web.Response:
    return web.Response(body=b"{}", content_type=_JSON)


def _page(provider: Provider, outcome: install.Outcome | None, *, language: str) -> web.Response:
    shown = _SHOWN[outcome.settled] if outcome is not None else page.Shown.WAITING
    installed = outcome is not None and outcome.installed
    if installed and shown is page.Shown.NOT_ADMINISTRATOR:  # any employee may open an installed application
        shown = page.Shown.INSTALLED
    finish = outcome is not None and outcome.settled is install.Settled.APPLIED and not installed
    origin = page.portal_origin(outcome.portal_url if outcome is not None else "", provider)
    made = page.render(shown, origin=origin, language=language, finish=finish)
    return web.Response(
        text=made.body, content_type="text/html", headers={"Content-Security-Policy": made.policy}
    )


_SHOWN = {
    install.Settled.APPLIED: page.Shown.INSTALLED,
    install.Settled.NOT_ADMINISTRATOR: page.Shown.NOT_ADMINISTRATOR,
    install.Settled.NOT_CONFIRMED: page.Shown.NOT_CONFIRMED,
    install.Settled.NOT_COUNTED: page.Shown.NOT_CONFIRMED,
    install.Settled.PROVIDER_REMOVED: page.Shown.NOT_CONFIRMED,
    install.Settled.UNREADABLE: page.Shown.NOT_CONFIRMED,
}


async def _read_slowly(content: aiohttp.StreamReader, most: int) -> bytes | int:
    body = bytearray()
    while chunk := await content.readany():
        body += chunk
        if len(body) > most:
            return 413
    return bytes(body)


async def _continue(request: web.BaseRequest) -> None:
    """Clients like PHP's wait up to a second for this word before they send a longer body."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
