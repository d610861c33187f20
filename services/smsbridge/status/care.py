"""What receipts and status questions tell about an account, beyond the message they speak of.

Pauses only; probing and resuming a paused account is the sender's business.
"""

import structlog

from smsbridge.core.provider import Provider
from smsbridge.smsc import codes
from smsbridge.smsc import errors as smsc_errors
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.settings import StatusSettings
from smsbridge.store.account import Accounts
from smsbridge.store.egress import Egress

log = structlog.get_logger()

LOGIN, MONEY = "login", "money"  # the words of the sender's pauses
_NO_LOGIN, _BLOCKED = 2, 4  # SMSC's error codes of status.php


class AccountCare:
    def __init__(
        self, settings: StatusSettings, *, accounts: Accounts, egress: Egress, metrics: StatusMetrics
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._egress = egress
        self._metrics = metrics

    async def heed(self, account_key: str, provider: Provider, reading: codes.Reading) -> None:
        """Of a status: no money pauses the account; test mode is counted, since nothing was sent."""
        if reading.test_mode:
            self._metrics.test_mode.labels(namespace=provider.namespace, provider=provider.name).inc()
        if reading.no_money:
            await self._pause(account_key, provider, MONEY, self._settings.money_probe_seconds)

    async def refused(self, account_key: str, provider: Provider, error: smsc_errors.SmscRejected) -> None:
        """Of a question that SMSC refused."""
        if error.error_code == _NO_LOGIN:
            await self._egress.auth_error()
            await self._pause(account_key, provider, LOGIN, self._settings.login_probe_seconds)
        elif error.error_code == _BLOCKED and await self._egress.stopped_ms() == 0:
            log.error("egress_stopped", reason="blocked", seconds=self._settings.blocked_seconds)
            await self._egress.stop("blocked", seconds=self._settings.blocked_seconds)

    async def stopped_seconds(self) -> float:
        """How long nothing may leave this egress; 0 where it may."""
        return await self._egress.stopped_ms() / 1000

    async def _pause(self, key: str, provider: Provider, reason: str, first_probe_seconds: float) -> None:
        if await self._accounts.pause(key, reason, first_probe_seconds=first_probe_seconds):
            log.warning("account_paused", namespace=provider.namespace, provider=provider.name, reason=reason)
