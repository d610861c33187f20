"""A portal's REST over HTTP: renamed portals, the request limit, tokens, faults, errors and HTTP statuses.

POST /{domain}/rest/{method}[.json]     JSON or form, `auth` in the body or the query
"""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from smsbridge.core import errors
from smsbridge.sandbox import acting, faults, php, portal_calls
from smsbridge.sandbox.clock import Clock
from smsbridge.sandbox.faults import Fault, FaultKind
from smsbridge.sandbox.portal import Application, Portal
from smsbridge.sandbox.portal_methods import Caller, Page, RestError
from smsbridge.sandbox.settings import PortalSettings
from smsbridge.sandbox.tokens import Grant, TokenBook

_ERRORS = {
    FaultKind.QUERY_LIMIT: (503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
    FaultKind.OVERLOAD: (503, "OVERLOAD_LIMIT", "REST API is blocked due to overload."),
    FaultKind.NOT_INSTALLED: (401, "NOT_INSTALLED", "Application not installed"),
    FaultKind.APPLICATION_NOT_FOUND: (401, "APPLICATION_NOT_FOUND", "Application not found"),
    FaultKind.PAYMENT_REQUIRED: (401, "PAYMENT_REQUIRED", "Payment required"),
    FaultKind.EXPIRED_TOKEN: (401, "expired_token", "The access token provided has expired."),
    FaultKind.PORTAL_DELETED: (410, "PORTAL_DELETED", "Portal was deleted"),
}


def _error(kind: FaultKind) -> RestError:
    status, error, description = _ERRORS[kind]
    return RestError(error, description, status=status)


def _invalid_token() -> RestError:
    return RestError("invalid_token", "Unable to get application by token", status=401)


class Portals:
    """All portals of the sandbox, by domain; a renamed one is still found by its old name."""

    def __init__(self, settings: list[PortalSettings], *, clock: Clock, tokens: TokenBook) -> None:
        self.clock = clock
        self.tokens = tokens
        self.base_url = ""  # set when the listener is open
        self.by_domain: dict[str, Portal] = {}
        self.moved: dict[str, str] = {}
        self.on_changed: Callable[[Portal], None] = lambda _: None  # somebody may tell what its CRM raised
        for item in settings:
            self.add(item)

    def add(self, settings: PortalSettings) -> Portal:
        self.by_domain[settings.domain] = Portal(settings)
        return self.by_domain[settings.domain]

    def named(self, domain: str) -> Portal:
        """Raises InputError where there is none."""
        portal = self.by_domain.get(domain)
        if portal is None:
            raise errors.InputError("there is no portal with this domain", field="domain")
        return portal

    def rename(self, portal: Portal, domain: str) -> None:
        del self.by_domain[portal.domain]
        for old, new in self.moved.items():
            if new == portal.domain:
                self.moved[old] = domain
        self.moved[portal.domain] = domain
        self.moved.pop(domain, None)
        portal.domain = domain
        self.by_domain[domain] = portal

    def endpoint(self, domain: str) -> str:
        return f"{self.base_url}/portal/{domain}/rest/"

    @property
    def server_endpoint(self) -> str:
        return f"{self.base_url}/oauth/rest/"

    def by_member(self, member_id: str) -> Portal | None:
        return next((portal for portal in self.by_domain.values() if portal.member_id == member_id), None)

    def application(self, grant: Grant) -> tuple[Portal, Application] | None:
        portal = self.by_member(grant.member_id)
        application = portal.applications.get(grant.client_id) if portal is not None else None
        return None if portal is None or application is None else (portal, application)


class PortalApp:
    def __init__(self, portals: Portals) -> None:
        self._portals = portals
        self._clock = portals.clock

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        return [web.route("*", prefix + "/{domain}/rest/{method}", self._serve)]

    async def _serve(self, request: web.Request) -> web.Response:
        domain = request.match_info["domain"]
        moved = self._portals.moved.get(domain)
        if moved is not None:
            location = self._portals.endpoint(moved) + request.match_info["method"]
            return web.Response(status=302, headers={"Location": location})
        portal = self._portals.by_domain.get(domain)
        if portal is None:
            return web.Response(status=404, text="Not Found")
        parameters, in_query = await _read(request)
        method = request.match_info["method"].lower().removesuffix(".json")
        seen = portal.seen
        seen.requests += 1
        seen.get_requests += request.method == "GET"
        seen.auth_in_url += in_query
        if portal.settings.latency_ms:
            await self._clock.sleep(portal.settings.latency_ms / 1000)
        source = request.remote or ""

        def work() -> web.Response:
            answer = self._answer(portal, source, method, parameters)
            self._portals.on_changed(portal)
            return answer

        fault = portal.faults.pick(faults.TRANSPORT, call=method)
        if fault is None:
            return work()
        seen.errors[fault.kind.value] += 1
        return await acting.act(fault, work, clock=self._clock, request=request)

    def _answer(self, portal: Portal, source: str, method: str, parameters: dict[str, Any]) -> web.Response:
        now = self._clock.now()
        try:
            self._admit(portal, source, method, now)
            caller = self._caller(portal, parameters, now)
            result, time = _run(caller, method, parameters)
        except RestError as error:
            return _failed(portal, error)
        if isinstance(result, Page):
            beside = {"next": result.next, "total": result.total}
            counted = {name: value for name, value in beside.items() if value is not None}
            return _json({"result": result.items, **counted, "time": time})
        return _json({"result": result, "time": time})

    def _admit(self, portal: Portal, source: str, method: str, now: float) -> None:
        if portal.deleted:
            raise _error(FaultKind.PORTAL_DELETED)
        if not portal.requests.admit(source, now):
            raise _error(FaultKind.QUERY_LIMIT)
        fault = portal.faults.pick(_ERRORS, call=method)
        if fault is not None:
            raise _error(fault.kind)
        if not portal_calls.known(method):
            raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status=404)

    def _caller(self, portal: Portal, parameters: dict[str, Any], now: float) -> Caller:
        token = php.scalar(next((v for name, v in parameters.items() if name.upper() == "AUTH"), ""))
        if not token:
            raise RestError("NO_AUTH_FOUND", "Wrong authorization data", status=401)
        owner = self._portals.tokens.owner(token)
        application = portal.applications.get(owner.client_id) if owner is not None else None
        if application is not None and not application.present:
            raise _error(FaultKind.NOT_INSTALLED)
        found = self._portals.tokens.look_up(token, now)
        if isinstance(found, str):
            raise _error(FaultKind.EXPIRED_TOKEN) if found == "expired_token" else _invalid_token()
        if application is None or found.member_id != portal.member_id:
            raise _invalid_token()
        return Caller(portal, application, found.user_id, now, self._portals.tokens.depth(token))


async def _read(request: web.Request) -> tuple[dict[str, Any], bool]:
    """Body and query together; True where `auth` stood in the query."""
    query = php.parse_query(request.rel_url.raw_query_string)
    in_query = any(name.upper() == "AUTH" for name in query)
    body = await request.read()
    if request.content_type == "application/json":
        try:
            document = json.loads(body) if body else {}
        except ValueError:
            document = {}
        return query | (document if isinstance(document, dict) else {}), in_query
    return query | php.parse_query(body.decode("utf-8", "replace")), in_query


def _run(caller: Caller, method: str, parameters: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    if method != "batch":
        return portal_calls.run(caller, method, parameters)
    result = portal_calls.batch(caller, parameters)
    return result, portal_calls.time_block(caller.now, operating=0, reset_at=int(caller.now) + 600)


def _failed(portal: Portal, error: RestError) -> web.Response:
    portal.seen.errors[error.error] += 1
    portal.seen.status_503 += error.status == 503
    portal.seen.status_429 += error.status == 429
    return _json({"error": error.error, "error_description": error.sentence}, status=error.status)


_dumps: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def _json(document: Any, *, status: int = 200) -> web.Response:
    body = _dumps(document).encode()
    return web.Response(status=status, body=body, headers={"Content-Type": "application/json; charset=utf-8"})


def unknown_fault(fault: Fault) -> bool:
    """True for faults that no portal acts out."""
    acted = faults.TRANSPORT | _ERRORS.keys()
    commands = {FaultKind.COMMAND_ERROR, FaultKind.OPERATION_TIME_LIMIT, FaultKind.INSUFFICIENT_SCOPE}
    return fault.kind not in acted | commands
