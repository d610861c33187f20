"""Channel analytics: from rollups to the figures that people ask for. docs/reports.md defines each.

Knows neither gRPC nor the store's keys. Money is in roubles; measures are the ones of
`store/prelude_rollup.lua`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.store import rollups
from smsbridge.store.rollups import Kind, Measures, Rollups

WAYS = ("sms", "viber", "cascade_viber", "cascade_sms", "none")
_KOPECK = Decimal("0.01")
_FAILED = "f:"
_WITHIN = "h"

# By day and name (a way, a carrier, a region), of one provider.
Days = Mapping[date, Mapping[str, Measures]]


class By(StrEnum):
    CHANNEL = "channel"
    OPERATOR = "operator"
    REGION = "region"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of some final messages. `sms_only` None: no price of SMS is known, or there was no cascade."""

    key: str
    measures: Measures
    sms_only: Decimal | None = None

    @property
    def messages(self) -> int:
        return self.measures.get("n", 0)

    @property
    def sent(self) -> int:
        return self.messages - self.measures.get("x", 0)

    @property
    def delivered(self) -> int:
        return sum(self.within_seconds.values())

    @property
    def delivered_by_viber(self) -> int:
        return self.measures.get("v", 0)

    @property
    def read(self) -> int:
        return self.measures.get("r", 0)

    @property
    def failed(self) -> dict[str, int]:
        """Not delivered, by reason."""
        reasons = {m.removeprefix(_FAILED): n for m, n in self.measures.items() if m.startswith(_FAILED)}
        return {reason: count for reason, count in sorted(reasons.items()) if count}

    @property
    def within_seconds(self) -> dict[int, int]:
        """Deliveries by their bucket's bound, smallest first."""
        bounds = {m.removeprefix(_WITHIN): n for m, n in self.measures.items() if m.startswith(_WITHIN)}
        return dict(sorted((int(b), n) for b, n in bounds.items() if n and b.isdigit()))

    @property
    def delivery_rate(self) -> float | None:
        return self.delivered / self.messages if self.messages else None

    @property
    def read_share(self) -> float | None:
        return self.read / self.delivered_by_viber if self.delivered_by_viber else None

    @property
    def median_seconds(self) -> int | None:
        return self._within(1, 2)

    @property
    def p90_seconds(self) -> int | None:
        return self._within(9, 10)

    @property
    def cost(self) -> Decimal:
        return _roubles(self.measures.get("ck", 0) + self.measures.get("ce", 0))

    @property
    def cost_estimated(self) -> Decimal:
        return _roubles(self.measures.get("ce", 0))

    @property
    def cost_unknown(self) -> int:
        return self.measures.get("cu", 0)

    @property
    def cost_per_delivered(self) -> Decimal | None:
        if not self.delivered:
            return None
        return (self.cost / self.delivered).quantize(_KOPECK, ROUND_HALF_UP)

    @property
    def cascade_cost(self) -> Decimal:
        return _roubles(self.measures.get("cc", 0))

    @property
    def savings(self) -> Decimal | None:
        return None if self.sms_only is None else self.sms_only - self.cascade_cost

    def _within(self, part: int, of: int) -> int | None:
        """The bound of the bucket in which `part` of `of` deliveries are reached: so many took no longer."""
        wanted, reached = -(-self.delivered * part // of), 0
        for seconds, count in self.within_seconds.items():
            reached += count
            if reached >= wanted:
                return seconds
        return None


@dataclass(frozen=True, slots=True)
class Report:
    since: date
    until: date
    rows: tuple[Row, ...]
    total: Row


@dataclass(slots=True)
class _Sum:
    """One row over several providers, each with its own price of SMS."""

    measures: dict[str, int] = field(default_factory=dict)
    sms_only: Decimal = Decimal(0)
    unpriced: bool = False

    def add(self, measures: Measures, segment_price: Decimal | None) -> None:
        self.measures = rollups.total([self.measures, measures])
        self.sms_only += _roubles(measures.get("so", 0))
        segments = measures.get("sg", 0)
        if segments and segment_price is None:
            self.unpriced = True
        elif segments and segment_price is not None:
            self.sms_only += segment_price * segments

    def row(self, key: str) -> Row:
        compared = self.measures.get("so", 0) or self.measures.get("sg", 0)
        if self.unpriced or not compared:
            return Row(key, self.measures)
        return Row(key, self.measures, self.sms_only.quantize(_KOPECK, ROUND_HALF_UP))


def make(parts: Sequence[tuple[Days, Days]], *, by: By, since: date, until: date) -> Report:
    """`parts`: of each provider its days by way, and those by what is asked for (the same, where that is the
    way or the day).
    """
    sums: dict[str, _Sum] = {}
    whole = _Sum()
    for ways, named in parts:
        everything = rollups.total(m for day in ways.values() for m in day.values())
        price = _segment_price(everything)
        whole.add(everything, price)
        for key, measures in _by(by, ways, named, everything).items():
            sums.setdefault(key, _Sum()).add(measures, price)
    rows = [found.row(key) for key, found in sums.items()]
    shown = sorted((row for row in rows if row.messages), key=lambda row: _place(by, row))
    return Report(since, until, tuple(shown), whole.row("total"))


def _by(by: By, ways: Days, named: Days, everything: Measures) -> dict[str, Measures]:
    if by is By.DAY:
        return {day.isoformat(): rollups.total(names.values()) for day, names in ways.items()}
    keys = dict.fromkeys(key for names in named.values() for key in names)
    found: dict[str, Measures] = {
        key: rollups.total(names[key] for names in named.values() if key in names) for key in keys
    }
    if by is not By.CHANNEL and (rest := rollups.difference(everything, list(found.values()))):
        found[""] = rest
    return found


def _place(by: By, row: Row) -> tuple[int, int, str]:
    if by is By.CHANNEL:
        return (WAYS.index(row.key) if row.key in WAYS else len(WAYS), 0, row.key)
    if by is By.DAY:
        return (0, 0, row.key)
    return (0 if row.key else 1, -row.messages, row.key)


def _segment_price(measures: Measures) -> Decimal | None:
    """What a segment of an SMS has cost on the average, of those whose cost SMSC told."""
    segments = measures.get("kg", 0)
    return _roubles(measures.get("ks", 0)) / segments if segments else None


def _roubles(units: int) -> Decimal:
    return Decimal(units) / rollups.MONEY_UNIT


class Reports:
    def __init__(self, book: Rollups, *, clock: Callable[[], float] = time.time) -> None:
        self._rollups = book
        self._clock = clock

    async def report(self, providers: Sequence[Provider], *, by: By, since: str, until: str) -> Report:
        """Days as YYYY-MM-DD, both included; `until` empty: today. Raises InputError, StoreAway."""
        last = _day(until, "until") if until else rollups.today(self._clock())
        first = _day(since, "since")
        if first > last:
            raise errors.InputError("must not be after `until`", field="since")
        if (last - first).days > rollups.KEPT_DAYS:
            raise errors.InputError(f"figures are kept for {rollups.KEPT_DAYS} days", field="since")
        parts = [await self._of(provider, by, first, last) for provider in providers]
        return make(parts, by=by, since=first, until=last)

    async def savings_of_today(self, provider: Provider) -> Decimal | None:
        """Of the messages that were accepted today. Raises StoreAway."""
        today = rollups.today(self._clock())
        part = await self._of(provider, By.CHANNEL, today, today)
        return make([part], by=By.CHANNEL, since=today, until=today).total.savings

    async def _of(self, provider: Provider, by: By, first: date, last: date) -> tuple[Days, Days]:
        ways = await self._rollups.read(provider.uid, Kind.WAY, since=first, until=last)
        if by is By.OPERATOR:
            return ways, await self._rollups.read(provider.uid, Kind.CARRIER, since=first, until=last)
        if by is By.REGION:
            return ways, await self._rollups.read(provider.uid, Kind.REGION, since=first, until=last)
        return ways, ways


def _day(text: str, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise errors.InputError("must be a day as YYYY-MM-DD", field=name) from None
