"""What a look-up costs before it is made: told by the account, else by the provider's own price list.

Asked of the account once a day (`cost=1`, profile http); an answer is believed by all replicas. Profile guide
tells no price, so what is reserved there is an estimate, and stays one.
"""

from decimal import Decimal

from smsbridge.core.provider import Profile
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import HlrSettings
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.store.lookups import Lookups


class Prices:
    def __init__(self, settings: HlrSettings, *, lookups: Lookups, client: SmscClient) -> None:
        self._settings = settings
        self._lookups = lookups
        self._client = client

    async def of(self, rules: Rules, msisdn: str) -> Decimal:
        """Roubles to reserve for one number; called with a permit in hand.

        Raises StoreAway, and SmscRejected where SMSC refused login or address: the look-up need not try.
        """
        guess = self._listed(rules)
        if rules.account.profile is not Profile.HTTP:
            return guess
        known = await self._lookups.price(rules.account.key)
        if known is not None:
            return known
        try:
            told = await self._client.lookup_cost(rules.account, msisdn=msisdn)
        except smsc_errors.SmscRejected as refusal:
            if refusal.said:
                raise
            return guess  # the look-up itself will tell
        except smsc_errors.SmscAway:
            return guess
        await self._lookups.saw_price(rules.account.key, told, seconds=self._settings.price_kept_seconds)
        return told

    async def known(self, rules: Rules) -> Decimal | None:
        """The same without asking anybody; None where the account would have to be asked."""
        if rules.account.profile is Profile.HTTP:
            return await self._lookups.price(rules.account.key)
        return self._listed(rules)

    def _listed(self, rules: Rules) -> Decimal:
        listed = rules.provider.prices.hlr
        return listed if listed is not None else self._settings.assumed_price
