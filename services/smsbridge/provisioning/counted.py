"""The ways out of this process, counted: what a resource costs its portal and its account can be seen."""

from prometheus_client import Counter

from smsbridge.bitrix24 import limiter
from smsbridge.provisioning import account_check
from smsbridge.smsc import account as accounts
from smsbridge.smsc import answers


class Portal:
    """A `bitrix24.limiter.Limiter`: each request asks it for its turn."""

    def __init__(self, limits: limiter.Limiter, requests: Counter) -> None:
        self._limits = limits
        self._requests = requests.labels("portal")

    async def acquire(
        self, portal: str, *, priority: limiter.Priority, method: str = "", commands: int = 1
    ) -> None:
        await self._limits.acquire(portal, priority=priority, method=method, commands=commands)
        self._requests.inc()

    async def observed(self, portal: str, observation: limiter.Observation) -> None:
        await self._limits.observed(portal, observation)


class Smsc:
    """An `account_check.Smsc`."""

    def __init__(self, client: account_check.Smsc, requests: Counter) -> None:
        self._client = client
        self._requests = requests.labels("smsc")

    async def balance(self, account: accounts.Account) -> answers.Balance:
        self._requests.inc()
        return await self._client.balance(account)
