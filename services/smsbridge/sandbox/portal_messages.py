"""Messages that a portal hands to HANDLER: one by one, or a broadcast of thousands in the background.

Queued origins insert their row first, and the job writes SENT over it a moment after the hand-over; marketing
hands over first and inserts its row later. Nothing is ever posted again, except copies that a test orders.
"""

import asyncio
import hashlib
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from smsbridge.core import errors
from smsbridge.sandbox import php, portal_posts
from smsbridge.sandbox.orders import BroadcastOrder, MessageOrigin, SendOrder
from smsbridge.sandbox.portal import Application, Portal, Row, Sender
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.portal_posts import Poster
from smsbridge.sandbox.reports import BroadcastReport, EventReport, PostReport
from smsbridge.sandbox.tokens import Pair

_TOKEN_SPARE_SECONDS = 60  # a handler's token is used again while it has more than this left


@dataclass(slots=True)
class _Broadcast:
    broadcast_id: str
    total: int
    started: float
    posted: int = 0
    ended: float = 0.0

    def report(self) -> BroadcastReport:
        seconds = (self.ended or time.monotonic()) - self.started
        return BroadcastReport(
            broadcast_id=self.broadcast_id,
            total=self.total,
            posted=self.posted,
            done=self.ended > 0,
            seconds=round(seconds, 3),
            posts_per_second=round(self.posted / seconds, 1) if seconds > 0 else 0.0,
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """Everything that the messages of one order have in common."""

    portal: Portal
    sender: Sender
    origin: MessageOrigin
    author_id: int
    write: Callable[[str, str, str, int], bytes]


class Messages:
    def __init__(self, portals: Portals, poster: Poster) -> None:
        self._portals = portals
        self._clock = portals.clock
        self._poster = poster
        self._tokens: dict[tuple[str, str, int], tuple[str, int]] = {}
        self._broadcasts: dict[str, _Broadcast] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._salt = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    async def send(self, portal: Portal, order: SendOrder) -> EventReport:
        route = self._route(portal, order)
        message_id = self._message_id()
        phone, text = php.encode(order.phone), php.encode(order.text)
        row = self._begin(route, message_id, order.phone, order.text)
        posts: list[PostReport] = []
        for _ in range(order.copies):
            status = await self._hand_over(route, message_id, phone, text)
            posts.append(PostReport(url=route.sender.handler, status=int(status) if status.isdigit() else 0))
        self._end(route, row)
        return EventReport(posts=posts, message_ids=[message_id])

    def broadcast(self, portal: Portal, order: BroadcastOrder) -> BroadcastReport:
        """Starts it and comes back at once."""
        route = self._route(portal, order)
        total = len(order.phones) if order.range is None else order.range.count
        state = _Broadcast(f"b{next(self._numbers)}", total, time.monotonic())
        self._broadcasts[state.broadcast_id] = state
        task = asyncio.get_running_loop().create_task(self._run(route, order, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return state.report()

    def progress(self, broadcast_id: str) -> BroadcastReport:
        if broadcast_id not in self._broadcasts:
            raise errors.InputError("there is no such broadcast", field="broadcast_id")
        return self._broadcasts[broadcast_id].report()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, route: _Route, order: BroadcastOrder, state: _Broadcast) -> None:
        phones = enumerate(_phones(order))
        text = order.text, _text_writer(order.text)
        workers = [
            self._work(route, phones, text, state, per_second=order.per_second)
            for _ in range(min(order.concurrency, state.total))
        ]
        await asyncio.gather(*workers)
        state.ended = time.monotonic()

    async def _work(
        self,
        route: _Route,
        phones: Iterator[tuple[int, str]],
        text: tuple[str, Callable[[int], str]],
        state: _Broadcast,
        *,
        per_second: float,
    ) -> None:
        for number, phone in phones:
            if per_second:
                early = state.started + number / per_second - time.monotonic()
                if early > 0:
                    await asyncio.sleep(early)
            message_id = self._message_id()
            row = self._begin(route, message_id, phone, text[0])
            await self._hand_over(route, message_id, php.encode(phone), text[1](number))
            self._end(route, row)
            state.posted += 1

    def _route(self, portal: Portal, order: SendOrder | BroadcastOrder) -> _Route:
        application = portal_posts.pick_application(portal, order.client_id)
        if not application.installed:
            raise errors.InputError("the application's installation is not finished", field="client_id")
        sender = _pick_sender(application, order.code)
        author_id = portal_posts.author(order.origin, order.author_id)
        auth = []
        if author_id:
            pair = self._author_token(portal, application, portal_posts.pick_user(portal, author_id))
            auth = portal_posts.auth_pairs(
                self._portals,
                portal,
                application,
                user_id=author_id,
                pair=pair,
                now=self._clock.now(),
            )
        write = portal_posts.message_form(order.origin, code=sender.code, auth=auth)
        return _Route(portal, sender, order.origin, author_id, write)

    def _author_token(self, portal: Portal, application: Application, user_id: int) -> Pair:
        key = (portal.member_id, application.client_id, user_id)
        now = self._clock.now()
        token, expires_at = self._tokens.get(key, ("", 0))
        good = token and expires_at > now + _TOKEN_SPARE_SECONDS
        if good and not isinstance(self._portals.tokens.look_up(token, now), str):
            return Pair(token, "", expires_at)
        pair = self._portals.tokens.issue_access(
            portal_posts.grant(portal, application, user_id),
            now=now,
            seconds=portal.settings.access_token_seconds,
        )
        self._tokens[key] = (pair.access_token, pair.expires_at)
        return pair

    def _message_id(self) -> str:
        source = f"{self._salt}{next(self._numbers)}"
        return hashlib.md5(source.encode(), usedforsecurity=False).hexdigest()

    def _begin(self, route: _Route, message_id: str, phone: str, text: str) -> Row:
        now = self._clock.now()
        row = route.portal.new_row(
            message_id=message_id,
            phone=phone,
            origin=route.origin.value,
            author_id=route.author_id,
            now=now,
            text=text,
        )
        if route.origin not in portal_posts.DIRECT:
            route.portal.insert(row, status="sending", now=now)
            self._clock.later(route.portal.settings.sent_after_seconds, self._job_writes_sent, row)
        return row

    async def _hand_over(self, route: _Route, message_id: str, phone: str, text: str) -> str:
        body = route.write(message_id, phone, text, int(self._clock.now()))
        status, elapsed_ms, _ = await self._poster.post(
            route.sender.handler, body, timeout_seconds=route.portal.settings.handover_timeout_seconds
        )
        route.portal.handovers.note(message_id, status=status, elapsed_ms=elapsed_ms)
        return status

    def _end(self, route: _Route, row: Row) -> None:
        if route.origin in portal_posts.DIRECT:
            self._clock.later(route.portal.settings.insert_after_seconds, self._insert, route.portal, row)

    def _job_writes_sent(self, row: Row) -> None:
        """Over whatever is there."""
        row.set("sent", by="portal", now=self._clock.now())

    def _insert(self, portal: Portal, row: Row) -> None:
        portal.insert(row, status="sent", now=self._clock.now())


def _pick_sender(application: Application, code: str) -> Sender:
    if code:
        if code not in application.senders:
            raise errors.InputError("no sender with this code is registered on the portal", field="code")
        return application.senders[code]
    if len(application.senders) != 1:
        raise errors.InputError(
            f"{len(application.senders)} senders are registered on the portal: register one or say which",
            field="code",
        )
    return next(iter(application.senders.values()))


def _phones(order: BroadcastOrder) -> Iterator[str]:
    if order.range is None:
        return iter(order.phones)
    span = order.range
    return (f"{span.prefix}{span.start + n:0{span.digits}d}" for n in range(span.count))


def _text_writer(template: str) -> Callable[[int], str]:
    """The encoded text of the message with this number; what does not change is encoded once."""
    parts = [php.encode(part) for part in template.split("{n}")]
    if len(parts) == 1:
        return lambda _: parts[0]
    return lambda number: str(number).join(parts)
