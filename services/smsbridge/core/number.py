"""What may be known of a number: whether it can be reached, who carries it, where it is registered."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Reachability(StrEnum):
    ACTIVE = "active"
    UNAVAILABLE = "unavailable"  # switched off, out of reach, barred: it may be back
    ABSENT = "absent"  # the number does not exist
    UNKNOWN = "unknown"


class LookupState(StrEnum):
    """What became of the wish to know a number."""

    KNOWN = "known"
    PENDING = "pending"  # being looked up, or about to be
    REFUSED = "refused"  # it is not looked up, and nothing was spent
    FAILED = "failed"  # it was tried, and brought nothing


@dataclass(frozen=True, slots=True)
class Facts:
    """`checked_at_ms`: when SMSC said so; 0 where nothing is known."""

    msisdn: str
    state: LookupState = LookupState.PENDING
    reachability: Reachability = Reachability.UNKNOWN
    carrier: str = ""
    region: str = ""
    checked_at_ms: int = 0
    reason: str = ""  # a fixed word
    bought: bool = False  # this call paid for it
    cost: Decimal | None = None  # roubles; None where nobody knows
    cost_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Carrier:
    """Who carries a number, as told without asking the HLR; empty where nobody knows."""

    name: str = ""
    region: str = ""
