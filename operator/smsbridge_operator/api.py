"""Single questions to the API server beside those of the framework, with the same login."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import kopf

from smsbridge.core import errors

_TIMEOUT_SECONDS = 30.0


def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's ServiceAccount; outside a cluster, what KUBECONFIG names."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


async def ask(method: str, path: str, *, body: Mapping[str, Any] | None = None) -> int:
    """The HTTP status of the answer. Raises ConfigError without a login, ServiceAway without an answer."""
    account = login(settings=kopf.OperatorSettings())
    if account is None:
        raise errors.ConfigError("there is neither a ServiceAccount nor a kubeconfig to log in with")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(ssl=account.as_ssl_context())
    headers = account.as_http_headers()
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector, headers=headers) as session,
            session.request(method, f"{account.server}{path}", json=body) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.ServiceAway(f"the API server does not answer ({type(error).__name__})") from error
