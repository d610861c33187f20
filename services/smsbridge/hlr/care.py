"""What look-ups tell about an account and the egress: pauses.

Resuming a paused account is the sender's business. Also what must hold before a request leaves: the account
is not paused, and nothing stops this egress.
"""

import structlog

from smsbridge.core.provider import Provider
from smsbridge.hlr.settings import HlrSettings
from smsbridge.store.account import Accounts
from smsbridge.store.egress import Egress

log = structlog.get_logger()

LOGIN, MONEY, BLOCKED = "login", "money", "blocked"  # the words of the sender's pauses
BAD_REQUEST, GOOD = "bad_request", "good"  # counted: a hundred bad ones in a row block the address


class AccountCare:
    def __init__(self, settings: HlrSettings, *, accounts: Accounts, egress: Egress) -> None:
        self._settings = settings
        self._accounts = accounts
        self._egress = egress

    async def stopped(self, account_key: str) -> str:
        """Why nothing may be bought by this account now; empty where it may."""
        if await self._egress.stopped_ms() > 0:
            return await self._egress.stopped_for() or BLOCKED
        return (await self._accounts.state(account_key)).pause

    async def stopped_egress(self) -> bool:
        """True while nothing may leave this egress."""
        return await self._egress.stopped_ms() > 0

    async def heed(self, account_key: str, provider: Provider, word: str) -> None:
        """What an answer says of the account: one of the words above, or nothing."""
        settings = self._settings
        if word == LOGIN:
            await self._egress.auth_error()
            await self._pause(account_key, provider, LOGIN, settings.login_pause_seconds)
        elif word == MONEY:
            await self._pause(account_key, provider, MONEY, settings.money_pause_seconds)
        elif word == BLOCKED and await self._egress.stopped_ms() == 0:
            steps = settings.blocked_seconds
            seconds = steps[min(await self._egress.blocks(), len(steps)) - 1]
            log.error("egress_stopped", reason=BLOCKED, seconds=seconds)
            await self._egress.stop(BLOCKED, seconds=seconds)
        elif word == BAD_REQUEST:
            await self._bad_request()
        elif word == GOOD:
            await self._egress.good_request()

    async def _bad_request(self) -> None:
        settings = self._settings
        if await self._egress.bad_request() >= settings.bad_requests_most:
            log.error("egress_stopped", reason="bad_requests", seconds=settings.bad_requests_stop_seconds)
            await self._egress.stop("bad_requests", seconds=settings.bad_requests_stop_seconds)
            await self._egress.good_request()

    async def _pause(self, key: str, provider: Provider, reason: str, first_probe_seconds: float) -> None:
        if await self._accounts.pause(key, reason, first_probe_seconds=first_probe_seconds):
            log.warning("account_paused", namespace=provider.namespace, provider=provider.name, reason=reason)
