"""Single requests to the API server beside those of the framework, with the same login."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf

from smsbridge.core import errors

JSON = "application/json"
MERGE = "application/merge-patch+json"
OK, CREATED, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT = 200, 201, 401, 403, 404, 409
_TIMEOUT_SECONDS = 30.0

Login = Callable[..., kopf.ConnectionInfo | None]


def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's ServiceAccount; outside a cluster, what KUBECONFIG names."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class _Open:
    server: str
    session: aiohttp.ClientSession


class Api:
    """Logs in with the first request, and anew when the server does not know the token any more."""

    def __init__(self, login: Login = login) -> None:
        self._login = login
        self._open: _Open | None = None

    async def ask(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, content_type: str = JSON
    ) -> Answer:
        """Raises ConfigError without a login, ServiceAway without an answer."""
        answer = await self._ask(method, path, body, content_type)
        if answer.status == UNAUTHORIZED:
            await self.close()
            answer = await self._ask(method, path, body, content_type)
        return answer

    async def close(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            await opened.session.close()

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None, content_type: str) -> Answer:
        opened = self._open = self._open or self._connect()
        headers = {"Content-Type": content_type}
        try:
            async with opened.session.request(
                method, f"{opened.server}{path}", json=body, headers=headers
            ) as answer:
                return Answer(answer.status, _document(await answer.read()))
        except (aiohttp.ClientError, TimeoutError) as error:
            await self.close()  # the next request logs in anew
            raise errors.ServiceAway(f"the API server does not answer ({type(error).__name__})") from error

    def _connect(self) -> _Open:
        account = self._login(settings=kopf.OperatorSettings())
        if account is None:
            raise errors.ConfigError("there is neither a ServiceAccount nor a kubeconfig to log in with")
        session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(ssl=account.as_ssl_context()),
            headers=account.as_http_headers(),
        )
        return _Open(account.server, session)


def _document(text: bytes) -> Mapping[str, Any]:
    """Not every answer is JSON: of an unknown group there is a line of text."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
