"""Numbers that an SMS was delivered to lately: proof of life that costs nothing.

Provider tag; `prelude_delivery.lua` writes it with the delivery itself.
"""

from collections.abc import Sequence

from smsbridge.store import connection, tags


class Alive:
    def __init__(self, store: connection.Store) -> None:
        self._store = store

    async def of(self, provider_uid: str, msisdns: Sequence[str]) -> dict[str, int]:
        """When an SMS was last delivered, Unix ms; a number without one is left out. Raises StoreAway."""
        if not msisdns:
            return {}
        tag = tags.provider(provider_uid)
        async with connection.translated():
            values = await self._store.redis.mget([f"{tag}al:{msisdn}" for msisdn in msisdns])
        found = zip(msisdns, values, strict=True)
        return {msisdn: int(float(value)) for msisdn, value in found if value is not None}
