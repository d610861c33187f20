"""The OAuth host: one-time refresh tokens and `app.info`.

GET /oauth/token/?grant_type=refresh_token&client_id=..&client_secret=..&refresh_token=..
GET /rest/app.info?auth=ACCESS_TOKEN
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from smsbridge.sandbox import acting, faults, portal_calls
from smsbridge.sandbox.faults import FaultKind
from smsbridge.sandbox.portal_app import Portals

KINDS = faults.TRANSPORT | {FaultKind.INVALID_GRANT, FaultKind.WRONG_CLIENT, FaultKind.PAYMENT_REQUIRED}
_REFUSALS = frozenset({FaultKind.INVALID_GRANT, FaultKind.WRONG_CLIENT, FaultKind.PAYMENT_REQUIRED})


class OAuthApp:
    def __init__(self, portals: Portals) -> None:
        self._portals = portals
        self._clock = portals.clock
        self._tokens = portals.tokens
        self.faults = faults.FaultBook()

    def routes(self, prefix: str) -> list[web.AbstractRouteDef]:
        return [
            web.get(prefix + "/oauth/token/", self._token),
            web.post(prefix + "/oauth/token/", self._token),
            web.get(prefix + "/rest/app.info", self._app_info),
            web.post(prefix + "/rest/app.info", self._app_info),
        ]

    async def _token(self, request: web.Request) -> web.Response:
        given = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        fault = self.faults.pick(KINDS, call="token")
        if fault is None:
            return self._refresh(given)
        if fault.kind in _REFUSALS:
            status = 200 if fault.kind is FaultKind.WRONG_CLIENT else 400
            code = "PAYMENT_REQUIRED" if fault.kind is FaultKind.PAYMENT_REQUIRED else fault.kind.value
            return self._refused(code, status=status)
        return await acting.act(fault, lambda: self._refresh(given), clock=self._clock, request=request)

    def _refresh(self, given: Mapping[str, str]) -> web.Response:
        if given.get("grant_type") != "refresh_token" or not given.get("refresh_token"):
            return self._refused("invalid_request")
        grant = self._tokens.grant_of_refresh(given["refresh_token"])
        secret = self._secret(given.get("client_id", ""))
        if secret is None or not hmac.compare_digest(
            given.get("client_secret", "").encode(), secret.encode()
        ):
            return self._refused("invalid_client", status=401)
        if grant is None or grant.client_id != given.get("client_id"):
            return self._refused("invalid_grant")
        home = self._portals.application(grant)
        if home is None or not home[1].present:
            return self._refused("invalid_client", status=401)  # not installed there
        portal, application = home
        now = self._clock.now()
        seconds = portal.settings.access_token_seconds
        pair = self._tokens.refresh(given["refresh_token"], now=now, seconds=seconds)
        if pair is None:
            return self._refused("invalid_grant")
        self._tokens.results["ok"] += 1
        return web.json_response(
            {
                "access_token": pair.access_token,
                "refresh_token": pair.refresh_token,
                "expires": pair.expires_at,
                "expires_in": int(seconds),
                "client_endpoint": self._portals.endpoint(portal.domain),
                "server_endpoint": self._portals.server_endpoint,
                "domain": "oauth.bitrix.info",  # not the portal
                "member_id": portal.member_id,
                "scope": ",".join(application.settings.scope),
                "status": application.settings.status,
                "user_id": grant.user_id,
            }
        )

    def _secret(self, client_id: str) -> str | None:
        """An application has one pair for all portals."""
        for portal in self._portals.by_domain.values():
            application = portal.applications.get(client_id)
            if application is not None:
                return application.settings.client_secret
        return None

    def _refused(self, error: str, *, status: int = 400) -> web.Response:
        self._tokens.results[error] += 1
        return web.json_response(
            {"error": error, "error_description": error.replace("_", " ")}, status=status
        )

    async def _app_info(self, request: web.Request) -> web.Response:
        given: dict[str, Any] = {**request.query}
        if request.method == "POST":
            given |= await _body(request)
        fault = self.faults.pick(faults.TRANSPORT, call="app.info")
        if fault is None:
            return self._describe(str(given.get("auth", "")))
        return await acting.act(
            fault, lambda: self._describe(str(given.get("auth", ""))), clock=self._clock, request=request
        )

    def _describe(self, token: str) -> web.Response:
        now = self._clock.now()
        found = self._tokens.look_up(token, now)
        if isinstance(found, str):
            return web.json_response({"error": found, "error_description": found}, status=401)
        home = self._portals.application(found)
        if home is None:
            return web.json_response({"error": "NOT_INSTALLED", "error_description": ""}, status=401)
        portal, application = home
        result = {
            "client_id": application.client_id,
            "scope": ",".join(application.settings.scope),
            "expires": int(now + portal.settings.access_token_seconds),
            "user_id": found.user_id,
            "install": {
                "installed": application.installed,
                "version": str(application.version),
                "status": application.settings.status,
                "scope": ",".join(application.settings.scope),
                "domain": portal.domain,
                "uri": f"https://{portal.domain}",
                "client_endpoint": self._portals.endpoint(portal.domain),
                "member_id": portal.member_id,
                "member_type": "",
            },
        }
        time = portal_calls.time_block(now, operating=0, reset_at=int(now) + 600)
        return web.json_response({"result": result, "time": time})


async def _body(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        try:
            document = json.loads(await request.read())
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}
    return {name: str(value) for name, value in (await request.post()).items()}
