"""What reports are made of: counts, costs and times to deliver of final messages, by day. Provider tag.

The store's scripts write them with the final state (`prelude_rollup.lua`, where every measure is explained);
here they are read, and what hlr knew of numbers is added.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

from smsbridge.store import connection, scripts, tags

MOSCOW = timezone(timedelta(hours=3), "MSK")  # SMSC's own days, and those of the budget for look-ups
KEPT_DAYS = 400
MONEY_UNIT = Decimal(10_000)  # of a rouble
_FIRST = date(1970, 1, 1)
_CHUNK_DAYS = 31  # of one script run: it must not hold the store for long

Measures = Mapping[str, int]


class Kind(StrEnum):
    WAY = "rw"
    CARRIER = "rc"
    REGION = "rg"


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A final message whose number's carrier and region were not asked for yet."""

    message_id: str
    msisdn: str


@dataclass(frozen=True, slots=True)
class Placed:
    """`carrier` and `region` are empty where nobody knows them."""

    message_id: str
    carrier: str
    region: str


def day_of(moment: datetime) -> date:
    """The day that a message accepted then belongs to."""
    return moment.astimezone(MOSCOW).date()


def today(unix_seconds: float) -> date:
    return day_of(datetime.fromtimestamp(unix_seconds, UTC))


class Rollups:
    """Raises StoreAway."""

    def __init__(self, store: connection.Store) -> None:
        self._store = store

    async def read(
        self, uid: str, kind: Kind, *, since: date, until: date
    ) -> dict[date, dict[str, dict[str, int]]]:
        """By day and name (a way, a carrier, a region), both ends included; days without any are left out."""
        found: dict[date, dict[str, dict[str, int]]] = {}
        first, last = _number(since), _number(until)
        for start in range(first, last + 1, _CHUNK_DAYS):
            end = min(start + _CHUNK_DAYS - 1, last)
            days = await self._store.run("rollup_read", tags.provider(uid), kind.value, start, end)
            for number, fields in days.items():
                found[_FIRST + timedelta(days=int(number))] = _by_name(fields)
        return found

    async def unplaced(self, uid: str, *, most: int) -> list[Unplaced]:
        found = await self._store.run("rollup_unplaced", tags.provider(uid), most)
        return [Unplaced(mid, msisdn) for mid, msisdn in found]

    async def place(self, uid: str, placed: Iterable[Placed]) -> int:
        """How many of them have a carrier or region now that they had not. A repeat changes nothing."""
        rows = [[one.message_id, one.carrier, one.region] for one in placed]
        return int(await self._store.run("rollup_place", tags.provider(uid), scripts.encode(rows)))


def _number(day: date) -> int:
    return (day - _FIRST).days


def _by_name(fields: Mapping[str, float]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for field, count in fields.items():
        name, _, measure = field.rpartition("|")
        if name:  # a field without a name is the script's own
            found.setdefault(name, {})[measure] = int(count)
    return found


def total(parts: Iterable[Measures]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for measure, count in part.items():
            found[measure] = found.get(measure, 0) + count
    return found


def difference(whole: Measures, parts: Sequence[Measures]) -> dict[str, int]:
    """What of `whole` is in none of its parts."""
    known = total(parts)
    return {m: n - known.get(m, 0) for m, n in whole.items() if n - known.get(m, 0)}
