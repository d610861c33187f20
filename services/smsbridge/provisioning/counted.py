"""The ways out of this process, counted: what a resource costs its portal and its account can be seen.

`result` is `ok`, `refused` (the answer is no) or `away` (no answer, none that can be read, or not now).
"""

from collections.abc import Awaitable

from prometheus_client import Counter

from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24 import transport
from smsbridge.core import errors
from smsbridge.provisioning import account_check
from smsbridge.smsc import account as accounts
from smsbridge.smsc import answers

_NOT_NOW = (429, *range(500, 600))


class Http(transport.Transport):
    """To the portals, and to the OAuth hosts that renew their tokens. Judged by HTTP status."""

    def __init__(self, requests: Counter) -> None:
        super().__init__()
        self._requests = requests

    async def post_json(self, url: str, body: bytes, *, total_seconds: float) -> transport.Reply:
        return await self._counted("portal", super().post_json(url, body, total_seconds=total_seconds))

    async def get(self, url: str, *, params: dict[str, str], total_seconds: float) -> transport.Reply:
        return await self._counted("oauth", super().get(url, params=params, total_seconds=total_seconds))

    async def _counted(self, system: str, exchange: Awaitable[transport.Reply]) -> transport.Reply:
        try:
            reply = await exchange
        except portal_errors.PortalAway:
            self._requests.labels(system, "away").inc()
            raise
        self._requests.labels(system, _result(reply.status)).inc()
        return reply


def _result(status: int) -> str:
    if status in _NOT_NOW:
        return "away"
    return "refused" if status >= 400 else "ok"


class Smsc:
    """An `account_check.Smsc`."""

    def __init__(self, client: account_check.Smsc, requests: Counter) -> None:
        self._client = client
        self._requests = requests

    async def balance(self, account: accounts.Account) -> answers.Balance:
        try:
            balance = await self._client.balance(account)
        except errors.SmsbridgeError as error:
            result = "refused" if isinstance(error, errors.Refused) else "away"
            self._requests.labels("smsc", result).inc()
            raise
        self._requests.labels("smsc", "ok").inc()
        return balance
