"""What becomes of an account and of the egress by what SMSC says, whichever role asked: guarantees 6.

Pauses, stops and counts only; probing and resuming a paused account is the sender's business.
"""

import structlog

from smsbridge.core.account import Said
from smsbridge.core.provider import Provider
from smsbridge.store.account import Accounts, Pause
from smsbridge.store.egress import Egress, Stop

log = structlog.get_logger()


class Care:
    def __init__(self, accounts: Accounts, egress: Egress) -> None:
        self._accounts = accounts
        self._egress = egress

    async def heed(self, account_key: str, provider: Provider, said: Said) -> None:
        """TOO_MANY and UNREACHABLE hold back sends alone, so they are the sender's to heed."""
        match said:
            case Said.GOOD:
                await self._egress.good_request()
            case Said.BAD_REQUEST:
                await self._egress.bad_request()
            case Said.LOGIN:
                await self._egress.auth_error()
                await self._pause(account_key, provider, Pause.LOGIN)
            case Said.MONEY:
                await self._pause(account_key, provider, Pause.MONEY)
            case Said.BLOCKED:
                await self._egress.block()
            case Said.NOTHING | Said.TOO_MANY | Said.UNREACHABLE:
                pass

    async def stopped_seconds(self) -> float:
        """How long nothing may leave this egress; 0 where it may."""
        return await self._egress.stopped_seconds()

    async def stopped(self, account_key: str) -> str:
        """Why this account may ask for nothing now; empty where it may."""
        if await self._egress.stopped_seconds() > 0:
            return await self._egress.stopped_for() or Stop.BLOCKED
        return (await self._accounts.state(account_key)).pause

    async def _pause(self, key: str, provider: Provider, why: Pause) -> None:
        if await self._accounts.pause(key, why):
            log.warning("account_paused", namespace=provider.namespace, provider=provider.name, reason=why)
