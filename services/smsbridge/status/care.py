"""What receipts and status questions tell about an account, beyond the message they speak of."""

from smsbridge.core.account import Said
from smsbridge.core.provider import Provider
from smsbridge.smsc import codes
from smsbridge.smsc import errors as smsc_errors
from smsbridge.status.metrics import StatusMetrics
from smsbridge.store.care import Care


class AccountCare:
    def __init__(self, care: Care, metrics: StatusMetrics) -> None:
        self._care = care
        self._metrics = metrics

    async def heed(self, account_key: str, provider: Provider, reading: codes.Reading) -> None:
        """Of a status: no money pauses the account; test mode is counted, since nothing was sent."""
        if reading.test_mode:
            self._metrics.test_mode.labels(namespace=provider.namespace, provider=provider.name).inc()
        if reading.no_money:
            await self._care.heed(account_key, provider, Said.MONEY)

    async def refused(self, account_key: str, provider: Provider, error: smsc_errors.SmscRejected) -> None:
        """Of a question that SMSC refused."""
        await self._care.heed(account_key, provider, error.said)

    async def stopped_seconds(self) -> float:
        """How long nothing may leave this egress; 0 where it may."""
        return await self._care.stopped_seconds()
