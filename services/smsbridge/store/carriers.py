"""Operators and regions that SMSC's info.php told, and how often it may be asked. Account tag.

Not part of what look-ups told: nobody was asked whether the number can be reached. Numbers are kept as keyed
digests. Raises StoreAway.
"""

import json
from collections.abc import Mapping, Sequence

from smsbridge.core.number import Carrier
from smsbridge.store import connection, tags
from smsbridge.store.keyring import Keyring

_PURPOSE = "number"
_WHAT = "info"
_BURST = 10


class Carriers:
    def __init__(self, store: connection.Store, keyring: Keyring, *, per_minute: int) -> None:
        self._store = store
        self._keyring = keyring
        # The burst comes on top of what the pause lets through in a minute.
        self._pause_ms = round(60_000 / max(1, per_minute - _BURST))

    async def known(self, account_key: str, msisdns: Sequence[str]) -> dict[str, Carrier]:
        """An empty one: SMSC was asked, and does not know."""
        wanted = [(one, digest) for one in msisdns for digest in self._keyring.digests(_PURPOSE, one)]
        if not wanted:
            return {}
        tag = tags.account(account_key)
        async with connection.translated():
            values = await self._store.redis.mget([f"{tag}net:{digest}" for _, digest in wanted])
        found: dict[str, Carrier] = {}
        for (msisdn, _), value in zip(wanted, values, strict=True):
            if value is not None:
                found.setdefault(msisdn, Carrier(*json.loads(value)))
        return found

    async def keep(self, account_key: str, told: Mapping[str, Carrier], *, seconds: float) -> None:
        tag = tags.account(account_key)
        async with connection.translated(), self._store.redis.pipeline(transaction=False) as pipe:
            for msisdn, carrier in told.items():
                name = f"{tag}net:{self._keyring.digest(_PURPOSE, msisdn)}"
                pipe.set(name, json.dumps([carrier.name, carrier.region]), px=round(seconds * 1000))
            await pipe.execute()

    async def turn(self, account_key: str) -> float:
        """Seconds until info.php may be asked; 0.0: now, and this request is counted."""
        return await self._turn(account_key, over=False)

    async def too_many(self, account_key: str) -> None:
        """SMSC said so: nobody asks for a minute."""
        await self._turn(account_key, over=True)

    async def _turn(self, account_key: str, *, over: bool) -> float:
        tag = tags.account(account_key)
        answer = await self._store.run(
            "carriers_turn", tag, _WHAT, self._pause_ms, _BURST, "1" if over else "0"
        )
        return float(answer["wait_ms"]) / 1000
