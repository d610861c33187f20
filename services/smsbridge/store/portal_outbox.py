"""Portal statuses that wait to be written, per provider: the newest of each message, one writer at a time.

Provider tag. The entries are put there by the scripts that change a message's state; here they are taken and
settled.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from smsbridge.core.delivery import PortalStatus
from smsbridge.store import connection, scripts, tags


class Written(StrEnum):
    """What became of one entry."""

    WRITTEN = "written"
    NOT_FOUND = "not_found"  # the portal does not know the message, perhaps not yet
    REFUSED = "refused"  # asking again changes nothing
    LATER = "later"  # nothing was done
    UNANSWERED = "unanswered"  # nobody knows: it rests, then the newest is written


@dataclass(frozen=True, slots=True)
class Entry:
    """`version` tells this state of the message from a later one."""

    message_id: str
    status: PortalStatus
    version: int


@dataclass(frozen=True, slots=True)
class Taken:
    entries: tuple[Entry, ...]
    dropped: int  # too old: the portal has forgotten the message


@dataclass(frozen=True, slots=True)
class Due:
    """`next_seconds` is None where nothing waits."""

    count: int
    next_seconds: float | None


@dataclass(frozen=True, slots=True)
class Result:
    entry: Entry
    written: Written
    delay_seconds: float = 0.0
    why: str = ""


class PortalOutbox:
    def __init__(
        self,
        store: connection.Store,
        *,
        most_age_seconds: float = 14 * 86_400.0,
        not_found_first_seconds: float = 5.0,
        not_found_total_seconds: float = 600.0,
    ) -> None:
        self._store = store
        self._most_age_ms = round(most_age_seconds * 1000)
        self._first_ms = max(1, round(not_found_first_seconds * 1000))
        self._total_ms = max(1, round(not_found_total_seconds * 1000))

    async def due(self, uid: str) -> Due:
        answer = await self._run("portal_due", uid)
        next_ms = int(answer["next_ms"])
        return Due(answer["due"], None if next_ms < 0 else next_ms / 1000)

    async def take(self, uid: str, *, token: str, most: int) -> Taken:
        """Under a `token` of this flight alone. They are ours for the store's portal_flight_ms."""
        answer = await self._run("portal_take", uid, token, most, self._most_age_ms)
        found = answer["entries"] or []
        entries = tuple(Entry(e["mid"], PortalStatus(e["status"]), int(e["version"])) for e in found)
        return Taken(entries, answer["dropped"])

    async def settle(self, uid: str, *, token: str, results: Sequence[Result]) -> Counter[str]:
        """How many of each `Written` word, of "dropped" and of "stale" (no longer this flight's)."""
        if not results:
            return Counter()
        rows = [
            {
                "mid": result.entry.message_id,
                "status": result.entry.status,
                "result": result.written,
                "delay_ms": round(result.delay_seconds * 1000),
                **({"why": result.why} if result.why else {}),
            }
            for result in results
        ]
        answer = await self._run(
            "portal_settle", uid, token, scripts.encode(rows), self._first_ms, self._total_ms
        )
        return Counter({word: int(count) for word, count in answer.items() if word != "total"})

    async def _run(self, name: str, uid: str, *args: Any) -> Any:
        return await self._store.run(name, tags.provider(uid), *args)
