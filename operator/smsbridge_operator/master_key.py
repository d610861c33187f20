"""Makes the master key where there is none, for the chart's hook: a template would make one at each upgrade.

It may create Secrets and do nothing else with them: that it is there already, the API server says by itself.
"""

import base64
import secrets

import aiohttp
import kopf

from smsbridge.core import errors
from smsbridge.store.keyring import KEY_BYTES
from smsbridge_operator import handlers

KEY_NAME = "master.key"
_TIMEOUT_SECONDS = 30.0
_MADE, _THERE = 201, 409


async def make(*, namespace: str, secret: str) -> bool:
    """True where it was made now. Raises ConfigError, ServiceAway."""
    account = handlers.login(settings=kopf.OperatorSettings())
    if account is None:
        raise errors.ConfigError("there is neither a ServiceAccount nor a kubeconfig to log in with")
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret, "labels": {"app.kubernetes.io/part-of": "smsbridge"}},
        "type": "Opaque",
        "data": {KEY_NAME: base64.b64encode(key).decode()},
    }
    url = f"{account.server}/api/v1/namespaces/{namespace}/secrets"
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    connector = aiohttp.TCPConnector(ssl=account.as_ssl_context())
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, connector=connector, headers=account.as_http_headers()
            ) as session,
            session.post(url, json=body) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise errors.ServiceAway(f"the API server does not answer ({type(error).__name__})") from error
    if status not in (_MADE, _THERE):
        raise errors.ConfigError(
            f"the API server answered {status} to the Secret {secret}; this needs the right to create it"
        )
    return status == _MADE
