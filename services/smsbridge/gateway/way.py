"""The way to one owner (sender, status, hlr): many posts in one call, and a memory of who is away.

While an owner is known to be away nobody waits for it: posts go to the journal at once, and the drain, or the
first post after a pause, finds out whether it is back. Away may be the owner as a whole, or for one provider
only (its node of the store does not answer).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from smsbridge.core import errors
from smsbridge.gateway.settings import GatewaySettings
from smsbridge.rpc.coalescer import Coalescer, Limits

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_OWNER = ""  # stands for all providers


class Way(Generic[Item, Answer]):
    def __init__(
        self,
        call: Callable[[list[Item], float], Awaitable[Sequence[Answer]]],
        *,
        settings: GatewaySettings,
        on_call: Callable[[int], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`call` gets the items and the seconds it may take."""
        limits = Limits(
            max_items=settings.batch_items,
            max_weight=settings.batch_bytes,
            max_in_flight=settings.calls_in_flight,
            second_from=settings.second_call_from,
            timeout_seconds=settings.submit_timeout_ms / 1000,
        )
        self._coalescer = Coalescer(call, limits=limits, on_call=on_call)
        self._pause_seconds = settings.away_pause_ms / 1000
        self._monotonic = monotonic
        self._away_until: dict[str, float] = {}

    async def direct(self, item: Item, *, weight: int) -> Answer | None:
        """None where the owner is away or has failed: then nobody knows whether it took the item."""
        try:
            return await self._coalescer.submit(item, weight=weight)
        except errors.SmsbridgeError:
            self.failed()
            return None

    def known_away(self, provider_uid: str) -> bool:
        if not self._away_until:
            return False
        now = self._monotonic()
        return any(self._away_until.get(key, 0.0) > now for key in (_OWNER, provider_uid))

    def failed(self, provider_uid: str = _OWNER) -> None:
        """Away for a while; `provider_uid` where only that one is."""
        self._away_until[provider_uid] = self._monotonic() + self._pause_seconds

    def worked(self, provider_uid: str) -> None:
        self._away_until.pop(_OWNER, None)
        self._away_until.pop(provider_uid, None)

    async def close(self) -> None:
        await self._coalescer.close()
