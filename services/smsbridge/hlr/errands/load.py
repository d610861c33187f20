"""What one process holds of errands for a while: who decides of one says so here, and all are settled at the
end.

What is not decided is tried again later, at growing distances.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from smsbridge.core.errand import ErrandKind
from smsbridge.store.errands import Errands, Settled, Taken

_LONGEST_SOON = 15  # pauses


@dataclass(slots=True)
class Load:
    errands: Errands
    uid: str
    owner: str
    lease_ms: int
    pause_seconds: float
    first_retry_seconds: float
    most_retry_seconds: float
    left: dict[str, Taken] = field(default_factory=dict)  # nobody has decided of them
    ends: list[Settled] = field(default_factory=list)
    counts: Counter[tuple[ErrandKind, str]] = field(default_factory=Counter)

    def of(self, *kinds: ErrandKind) -> list[Taken]:
        return [one for one in self.left.values() if one.errand.kind in kinds]

    def end(self, one: Taken, word: str) -> None:
        """It is over, with a word of `ends`."""
        if self.left.pop(one.id, None) is not None:
            self.ends.append(Settled(one.id))
            self.counts[one.errand.kind, word] += 1

    def later(self, one: Taken, seconds: float | None = None) -> None:
        """It is taken again in so long; without a time the longer the oftener it was taken."""
        if self.left.pop(one.id, None) is not None:
            wait = self._pause(one) if seconds is None else seconds
            self.ends.append(Settled(one.id, later_ms=round(wait * 1000)))

    def soon(self, one: Taken) -> float:
        """Where only time is needed."""
        return self.pause_seconds * min(one.times, _LONGEST_SOON)

    def all_later(self, ones: Iterable[Taken], seconds: float | None = None) -> None:
        for one in ones:
            self.later(one, seconds)

    async def keep(self) -> None:
        """Before something is written: what another has taken over meanwhile is not ours to do."""
        mine = await self.errands.keep(self.uid, self.left, owner=self.owner, lease_ms=self.lease_ms)
        self.left = {id_: one for id_, one in self.left.items() if id_ in mine}

    async def settle(self) -> None:
        """Raises StoreAway: then the leases run out."""
        self.all_later(list(self.left.values()))
        await self.errands.settle(self.uid, self.ends, owner=self.owner)

    def _pause(self, one: Taken) -> float:
        doubled = self.first_retry_seconds * 2.0 ** min(one.times - 1, 16)
        return min(doubled, self.most_retry_seconds)
