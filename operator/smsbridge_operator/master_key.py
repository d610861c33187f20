"""Makes the master key where there is none, for the chart's hook: a template would make one at each upgrade.

It may create Secrets and do nothing else with them: that it is there already, the API server says by itself.
"""

import base64
import secrets

from smsbridge.core import errors
from smsbridge.store.keyring import KEY_BYTES
from smsbridge_operator import api

KEY_NAME = "master.key"


async def make(*, namespace: str, secret: str) -> bool:
    """True where it was made now. Raises ConfigError, ServiceAway."""
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n"
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret, "labels": {"app.kubernetes.io/part-of": "smsbridge"}},
        "type": "Opaque",
        "data": {KEY_NAME: base64.b64encode(key).decode()},
    }
    server = api.Api()
    try:
        status = (await server.ask("POST", f"/api/v1/namespaces/{namespace}/secrets", body=body)).status
    finally:
        await server.close()
    if status not in (api.CREATED, api.CONFLICT):
        raise errors.ConfigError(
            f"the API server answered {status} to the Secret {secret}; this needs the right to create it"
        )
    return status == api.CREATED
