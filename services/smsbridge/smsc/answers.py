"""What comes back from SMSC, typed. A send has exactly four outcomes, and each has a rule of its own:

Accepted   SMSC took the request; single numbers of it may still be refused or missing
Rejected   SMSC said no, with a code
Unsent     nothing left us, provably
Unknown    something left us, and there is no answer to rely on
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from smsbridge.smsc import codes


@dataclass(frozen=True, slots=True)
class NumberAnswer:
    """One entry of `phones[]`."""

    smsc_id: str | None = None  # the number's own id; None: the request's id is its id
    refused: bool = False
    status: int | None = None
    err: int | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    smsc_id: str
    segments: int  # `cnt`: billable parts over all numbers; 0 where SMSC did not say
    cost: Decimal | None = None
    balance: Decimal | None = None
    # By MSISDN as sent; empty where no `phones[]` came.
    numbers: Mapping[str, NumberAnswer] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # sent, but not in the `phones[]` that came: uncertain


@dataclass(frozen=True, slots=True)
class Rejected:
    """`smsc_id` is there where SMSC made a record all the same (codes 3, 6, 7, 8)."""

    code: int
    text: str
    smsc_id: str | None = None

    @property
    def is_duplicate(self) -> bool:
        return self.action is codes.Action.DUPLICATE

    @property
    def is_too_many(self) -> bool:
        """Code 9 that does not speak of a duplicate: too many requests at a time (wording not known)."""
        return self.action is codes.Action.BACK_OFF

    @property
    def action(self) -> codes.Action:
        return codes.send_action(self.code, self.text)


@dataclass(frozen=True, slots=True)
class Unsent:
    """`reason`: connect_refused, connect_timeout, connect_failed, dns, tls, url, stale, aborted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """`reason`: timeout, reset, http_NNN, redirect, html, empty, too_long or unparsable."""

    reason: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What hlr.php of profile guide said of its one number; `code` is read by `lookup_codes.read`."""

    code: int
    carrier: str = ""
    region: str = ""


LookupAnswer = LookedUp | Rejected | Unsent | Unknown
SendAnswer = Accepted | Rejected | Unsent | Unknown


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """The state of one (id, phone) pair; `code` and `err` are read by `codes.read_status`."""

    smsc_id: str  # as asked
    msisdn: str  # as asked
    code: int
    err: int | None = None  # absent for a delivered SMS
    at: datetime | None = None
    cost: Decimal | None = None
    # Fields of a look-up: imsi, msc, mcc, mnc, cn, net, rcn, rnet, with details country, operator, region.
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Balance:
    amount: Decimal
    currency: str = ""
    credit: Decimal | None = None
