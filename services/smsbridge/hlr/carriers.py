"""Operator and region of numbers, asked of info.php (profile http): no look-up, and nothing of the budget.

SMSC counts these requests by the minute, so all replicas of an account share their turns; what it told is
remembered. One number that it does not know spoils a whole request: that one is found by halving.
"""

from collections.abc import Sequence

from smsbridge.core.number import Carrier
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import HlrSettings
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.store import carriers
from smsbridge.store.account import Accounts, NoPermit
from smsbridge.store.care import Care

_MOST_NUMBERS = 100
_ASK_SECONDS = 15.0  # a permit for one question outlasts the client's own time-out
_UNKNOWN, _TOO_MANY = 3, 9  # error codes of info.php (facts 4.3); 1: nothing in the request is a number
_NO_NUMBER = 1


class CarrierQuestions:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        carriers: carriers.Carriers,
        accounts: Accounts,
        care: Care,
        client: SmscClient,
        metrics: HlrMetrics,
    ) -> None:
        self._settings = settings
        self._carriers = carriers
        self._accounts = accounts
        self._care = care
        self._client = client
        self._metrics = metrics

    async def ask(self, rules: Rules, msisdns: Sequence[str]) -> dict[str, Carrier]:
        """Who is not in the answer is to be asked about later. Raises StoreAway."""
        key = rules.account.key
        asked = list(dict.fromkeys(msisdns))
        known = await self._carriers.known(key, asked)
        missing = [number for number in asked if number not in known]
        left = [missing[at : at + _MOST_NUMBERS] for at in range(0, len(missing), _MOST_NUMBERS)]
        while left:
            some = left.pop()
            told = await self._one(rules, some, left)
            if told is None:
                break
            known |= told
        return known

    async def _one(
        self, rules: Rules, some: Sequence[str], left: list[list[str]]
    ) -> dict[str, Carrier] | None:
        """None: no more now. What is to be asked in other requests goes to `left`."""
        key = rules.account.key
        if await self._care.stopped(key):
            return None
        result = "answered"
        try:
            async with self._accounts.permit(key, "info", seconds=_ASK_SECONDS):
                if await self._carriers.turn(key) > 0:
                    result = "no_turn"
                    return None
                told = await self._client.carriers(rules.account, some)
        except NoPermit:
            result = "no_turn"
            return None
        except smsc_errors.SmscRejected as refusal:
            result = f"error_{refusal.error_code}" if 0 < refusal.error_code < 10 else "error_other"
            return await self._refused(rules, some, left, refusal)
        except smsc_errors.SmscAway:
            result = "away"
            return None
        finally:
            labels = (rules.provider.namespace, rules.provider.name, result)
            self._metrics.carrier_requests.labels(*labels).inc()
        empty = {number: Carrier() for number in some if number not in told}
        await self._carriers.keep(key, told, seconds=self._settings.carrier_kept_seconds)
        await self._carriers.keep(key, empty, seconds=self._settings.unknown_kept_seconds)
        return told | empty

    async def _refused(
        self, rules: Rules, some: Sequence[str], left: list[list[str]], refusal: smsc_errors.SmscRejected
    ) -> dict[str, Carrier] | None:
        key, code = rules.account.key, refusal.error_code
        if code in (_UNKNOWN, _NO_NUMBER):
            if len(some) == 1:
                nothing = {some[0]: Carrier()}
                await self._carriers.keep(key, nothing, seconds=self._settings.unknown_kept_seconds)
                return nothing
            middle = len(some) // 2
            left += [list(some[:middle]), list(some[middle:])]
            return {}
        if code == _TOO_MANY:
            await self._carriers.too_many(key)
        await self._care.heed(key, rules.provider, refusal.said)
        return None
