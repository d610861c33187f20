"""What a portal is to be told, per provider: statuses of its messages, and answers to its workflow steps.

Of each message the newest word, one writer at a time; a step is answered once. Provider tag. The entries are
put there by the scripts that change a message's state; here they are taken and settled.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from smsbridge.core.delivery import PortalStatus, StepStatus
from smsbridge.store import connection, scripts, tags


class Kind(StrEnum):
    STATUSES = "statuses"
    ANSWERS = "answers"


class Written(StrEnum):
    """What became of one entry."""

    WRITTEN = "written"
    OVER = "over"  # the workflow step does not wait any more, or was answered before
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

    @property
    def kind(self) -> Kind:
        return Kind.STATUSES


@dataclass(frozen=True, slots=True)
class Answer:
    """What a workflow step is told of its message. `event_token` is good for one answer.

    `channel`: which delivered it, else which was tried last; empty where none was. `price`: what its
    attempts cost in roubles, as far as that is known; None where nothing is. `reason`: a Reason, or empty.
    """

    message_id: str
    event_token: str = field(repr=False)
    status: StepStatus
    version: int
    channel: str = ""
    price: Decimal | None = None
    reason: str = ""

    @property
    def kind(self) -> Kind:
        return Kind.ANSWERS


@dataclass(frozen=True, slots=True)
class Taken:
    entries: tuple[Entry | Answer, ...]
    dropped: int  # too old: the portal has forgotten the message


@dataclass(frozen=True, slots=True)
class Due:
    """What may go now, by its kind. `next_seconds` is None where nothing waits."""

    statuses: int
    answers: int
    next_seconds: float | None

    @property
    def count(self) -> int:
        return self.statuses + self.answers

    def of(self, kind: Kind) -> int:
        return self.answers if kind is Kind.ANSWERS else self.statuses


@dataclass(frozen=True, slots=True)
class Result:
    entry: Entry | Answer
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
        return Due(answer["statuses"], answer["answers"], None if next_ms < 0 else next_ms / 1000)

    async def take(self, uid: str, *, token: str, most: int, kind: Kind = Kind.STATUSES) -> Taken:
        """Under a `token` of this flight alone. They are ours for the store's portal_flight_ms."""
        answer = await self._run("portal_take", uid, token, most, self._most_age_ms, kind.value)
        read = _answer if kind is Kind.ANSWERS else _entry
        return Taken(tuple(read(fields) for fields in answer["entries"] or []), answer["dropped"])

    async def settle(self, uid: str, *, token: str, results: Sequence[Result]) -> Counter[str]:
        """How many of each `Written` word, of "dropped" and of "stale" (no longer this flight's).

        What is over of a status counts as dropped: only steps end their wait.
        """
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


def _entry(fields: Mapping[str, Any]) -> Entry | Answer:
    return Entry(fields["mid"], PortalStatus(fields["status"]), int(fields["version"]))


def _answer(fields: Mapping[str, Any]) -> Entry | Answer:
    return Answer(
        message_id=fields["mid"],
        event_token=fields["step"],
        status=StepStatus(fields["status"]),
        version=int(fields["version"]),
        channel=fields["channel"],
        price=_sum(fields["costs"] or []),
        reason=fields["reason"],
    )


def _sum(costs: Sequence[str]) -> Decimal | None:
    """What cannot be read is not known; it must not keep a step waiting."""
    known = []
    for cost in costs:
        try:
            known.append(Decimal(cost))
        except InvalidOperation:
            continue
    return sum(known, Decimal()) if known else None
