"""The Bitrix24 client: one call, one batch, with the portal's limits kept and its tokens renewed once.

It repeats a request only where Bitrix24 said that it did nothing: an expired token, a portal that moved.
Everything else is raised as a fact (`errors`) and left to the caller, who knows whether a repeat is safe. It
stores nothing.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from smsbridge.bitrix24 import answers, batch, endpoints, errors, forms, limiter, transport
from smsbridge.core import errors as core_errors

logger = structlog.get_logger()

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Said of a token that somebody else's refresh has replaced, too: worth one look at the stored one.
_PERHAPS_REPLACED = frozenset({"invalid_token", "no_auth_found"})


@dataclass(frozen=True, slots=True)
class Token:
    """`expires_at` in unix seconds. `client_endpoint` is the portal's REST address, `https://portal/rest/`."""

    access_token: str = field(repr=False)
    expires_at: int
    client_endpoint: str


class TokenSource(Protocol):
    """An installation's tokens. Refreshing under a lock, and storing before use, is its business."""

    async def token(self) -> Token: ...

    async def expired(self, token: Token) -> Token:
        """Called once after Bitrix24 called `token` expired; answers a newer one or raises."""


@dataclass(frozen=True, slots=True)
class FixedToken:
    """A TokenSource for a token that was just handed to us: to prove it, not to live on it."""

    value: Token

    async def token(self) -> Token:
        return self.value

    async def expired(self, token: Token) -> Token:
        return token


OnMoved = Callable[[str], Awaitable[None]]  # gets the new client_endpoint, after it has answered


@dataclass(frozen=True, slots=True)
class ClientSettings:
    call_seconds: float = 30.0
    batch_seconds: float = 60.0  # Bitrix24's own limit for one request
    sandbox: bool = False  # allows plain http


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    body: Mapping[str, object]
    portal: str
    tokens: TokenSource
    priority: limiter.Priority
    on_moved: OnMoved | None
    total_seconds: float
    limited_as: str
    commands: int = 1


class Bitrix24Client:
    """`portal` is always the member_id: domains change."""

    def __init__(
        self,
        http: transport.Transport,
        limits: limiter.Limiter,
        settings: ClientSettings | None = None,
    ) -> None:
        self._http = http
        self._limits = limits
        self._settings = settings or ClientSettings()

    async def call(
        self,
        method: str,
        params: Mapping[str, forms.Param] | None = None,
        *,
        tokens: TokenSource,
        portal: str,
        priority: limiter.Priority,
        on_moved: OnMoved | None = None,
    ) -> answers.Answer:
        """Raises a PortalError, and whatever the limiter and the token source raise."""
        request = _Request(
            method=method,
            body=dict(params or {}),
            portal=portal,
            tokens=tokens,
            priority=priority,
            on_moved=on_moved,
            total_seconds=self._settings.call_seconds,
            limited_as=method,
        )
        answer = await self._exchange(request)
        if answer.operating is not None:
            await self._tell_operating(portal, answer.operating)
        return answer

    async def batch(
        self,
        commands: Sequence[batch.Command],
        *,
        tokens: TokenSource,
        portal: str,
        priority: limiter.Priority,
        on_moved: OnMoved | None = None,
        limited_as: str = "",
    ) -> batch.BatchAnswer:
        """At most 50 commands, else ValueError. Raises only where the batch as a whole failed.

        `limited_as`: of commands of several methods, the one whose operating time is reckoned with.
        """
        method = limited_as or batch.common_method(commands)
        reckoned = sum(command.method == method for command in commands) or len(commands)
        request = _Request(
            method=batch.METHOD,
            body={"halt": 0, "cmd": batch.encode(commands)},
            portal=portal,
            tokens=tokens,
            priority=priority,
            on_moved=on_moved,
            total_seconds=self._settings.batch_seconds,
            limited_as=method,
            commands=reckoned,
        )
        answer = batch.read((await self._exchange(request)).result, commands)
        for operating in answer.operating:
            await self._tell_operating(portal, operating)
        for error in {type(r.error): r.error for r in answer.results if r.error}.values():
            await self._tell_error(portal, error)
        return answer

    async def _exchange(self, request: _Request) -> answers.Answer:
        token = await request.tokens.token()
        endpoint = self._endpoint(token, request.method)
        renewed = moved = False
        while True:
            reply = await self._post(request, endpoint, token)
            if reply.status in _REDIRECTS:
                endpoint = self._follow(reply, endpoint, request.method, moved=moved)
                moved = True
                continue
            try:
                answer = answers.read(reply, method=request.method)
            except errors.PortalError as error:
                await self._tell_error(request.portal, error)
                if renewed:
                    raise _no_token_helps(error) from None
                token = await _renew(error, token, request.tokens)
                renewed = True
                if not moved:
                    endpoint = self._endpoint(token, request.method)
                continue
            if moved and request.on_moved is not None:
                await self._tell_moved(request.on_moved, endpoint, portal=request.portal)
            return answer

    def _endpoint(self, token: Token, method: str) -> str:
        try:
            return endpoints.check(token.client_endpoint, sandbox=self._settings.sandbox)
        except core_errors.InputError as refusal:
            raise errors.InstallationBroken(refusal.sentence, method=method) from None

    async def _post(self, request: _Request, endpoint: str, token: Token) -> transport.Reply:
        await self._limits.acquire(
            request.portal, priority=request.priority, method=request.limited_as, commands=request.commands
        )
        body = json.dumps({**request.body, "auth": token.access_token}, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        return await self._http.post_json(
            endpoint + request.method, body, total_seconds=request.total_seconds
        )

    def _follow(self, reply: transport.Reply, endpoint: str, method: str, *, moved: bool) -> str:
        """A renamed portal answers at its old name with a redirect; more than one hop is no renaming."""
        sandbox = self._settings.sandbox
        new = (
            None
            if moved
            else endpoints.moved(reply.location, endpoint=endpoint, method=method, sandbox=sandbox)
        )
        if new is None:
            raise errors.PortalAway(
                f"{method} is redirected to an address we do not follow; install the application again",
                method=method,
                after_first_byte=True,
            )
        return new

    async def _tell_moved(self, on_moved: OnMoved, endpoint: str, *, portal: str) -> None:
        try:
            await on_moved(endpoint)
        except core_errors.Away as failure:
            # As in _tell; the next call is redirected again and tells it again.
            logger.warning("portal_move_not_stored", portal=portal, error=failure.code)
        else:
            logger.info("portal_moved", portal=portal)

    async def _tell_operating(self, portal: str, operating: answers.Operating) -> None:
        await self._tell(
            portal,
            limiter.Observation(
                limiter.Seen.OPERATING,
                method=operating.method,
                operating_seconds=operating.operating_seconds,
                reset_at=operating.reset_at,
            ),
        )

    async def _tell_error(self, portal: str, error: errors.PortalError) -> None:
        if isinstance(error, errors.RateLimited):
            await self._tell(portal, limiter.Observation(limiter.Seen.RATE_LIMITED))
        elif isinstance(error, errors.Overloaded):
            await self._tell(portal, limiter.Observation(limiter.Seen.OVERLOADED))
        elif isinstance(error, errors.OperatingTimeOver):
            seen = limiter.Seen.OPERATING_TIME_OVER
            await self._tell(portal, limiter.Observation(seen, method=error.method, reset_at=error.reset_at))

    async def _tell(self, portal: str, observation: limiter.Observation) -> None:
        try:
            await self._limits.observed(portal, observation)
        except core_errors.Away as failure:
            # The portal's answer is worth more than the note about it: losing it would repeat a done call.
            logger.warning("limiter_not_told", portal=portal, seen=observation.seen.name, error=failure.code)


@dataclass(frozen=True, slots=True)
class PortalApi:
    """The client bound to one installation, for what is done in one portal."""

    client: Bitrix24Client
    portal: str
    tokens: TokenSource
    on_moved: OnMoved | None = None

    async def call(
        self,
        method: str,
        params: Mapping[str, forms.Param] | None = None,
        *,
        priority: limiter.Priority,
    ) -> answers.Answer:
        return await self.client.call(
            method,
            params,
            tokens=self.tokens,
            portal=self.portal,
            priority=priority,
            on_moved=self.on_moved,
        )

    async def batch(
        self, commands: Sequence[batch.Command], *, priority: limiter.Priority, limited_as: str = ""
    ) -> batch.BatchAnswer:
        return await self.client.batch(
            commands,
            tokens=self.tokens,
            portal=self.portal,
            priority=priority,
            on_moved=self.on_moved,
            limited_as=limited_as,
        )


async def _renew(error: errors.PortalError, token: Token, tokens: TokenSource) -> Token:
    """Another token than `token`, where that may help; else raises `error`, in its final form."""
    if isinstance(error, errors.TokenExpired):
        other = await tokens.expired(token)
    elif isinstance(error, errors.InstallationBroken) and error.rest_code.lower() in _PERHAPS_REPLACED:
        other = await tokens.token()
    else:
        raise error
    if other.access_token == token.access_token:
        raise _no_token_helps(error)
    return other


def _no_token_helps(error: errors.PortalError) -> errors.PortalError:
    if not isinstance(error, errors.TokenExpired):
        return error
    return errors.InstallationBroken(
        f"{error.method}: a renewed access token is refused as well; install the application again",
        method=error.method,
        rest_code=error.rest_code,
        description=error.description,
    )
