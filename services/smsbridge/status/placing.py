"""Asks hlr who carries the numbers of final messages and where they are registered, for the reports.

Nothing is bought: what hlr does not know already stays unknown. Messages wait in a bounded list of the
store; while hlr is away they go on waiting, and no report is worse for it than "unknown".
"""

from collections.abc import Sequence
from typing import Protocol

from smsbridge.core.number import Facts, LookupState
from smsbridge.status.ports import Providers
from smsbridge.store.rollups import Placed, Rollups, Unplaced


class Numbers(Protocol):
    """As much of hlr as is asked here."""

    async def describe(self, provider_uid: str, msisdns: Sequence[str]) -> list[Facts]: ...


class Placing:
    def __init__(
        self, *, rollups: Rollups, providers: Providers, numbers: Numbers, most: int, rounds: int = 10
    ) -> None:
        """A step asks about at most `rounds` times `most` numbers of each provider."""
        self._rollups = rollups
        self._providers = providers
        self._numbers = numbers
        self._most = most
        self._rounds = rounds

    async def step(self) -> float | None:
        """Raises StoreAway, and what hlr's client raises."""
        for provider in self._providers.all():
            for _ in range(self._rounds):
                if await self._place(provider.uid) < self._most:
                    break
        return None

    async def _place(self, uid: str) -> int:
        """How many messages were asked about."""
        waiting = await self._rollups.unplaced(uid, most=self._most)
        if not waiting:
            return 0
        msisdns = list(dict.fromkeys(one.msisdn for one in waiting))
        found = {one.msisdn: one for one in await self._numbers.describe(uid, msisdns)}
        await self._rollups.place(uid, [_placed(one, found[one.msisdn]) for one in waiting])
        return len(waiting)


def _placed(one: Unplaced, facts: Facts) -> Placed:
    known = facts.state is LookupState.KNOWN
    return Placed(one.message_id, facts.carrier if known else "", facts.region if known else "")
