"""The verification of a contact base: its states, what it is to cost, how far it is, what it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from smsbridge.core.errand import EntityType


class State(StrEnum):
    QUOTING = "quoting"  # everything is read once, to say what it will cost
    QUOTED = "quoted"  # waits for a yes
    RUNNING = "running"
    PAUSED = "paused"  # keeps its place; the reason says what it waits for
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in {State.DONE, State.CANCELLED, State.FAILED}


class Reason(StrEnum):
    """Why it is paused or failed. A word of an account's pause (login, money, blocked, ...) may stand here,
    too: see `sentence`.
    """

    QUOTE_USED = "quote_used"
    ACCOUNT_CHANGED = "account_changed"
    NOT_INSTALLED = "not_installed"
    PORTAL_REFUSED = "portal_refused"
    LOGIN = "login"
    MONEY = "money"
    BLOCKED = "blocked"
    BAD_REQUESTS = "bad_requests"
    NOTHING_FOUND = "nothing_found"
    NO_PHONES = "no_phones"
    NO_FIELDS = "no_fields"
    FILTER_REFUSED = "filter_refused"
    REMOVED = "removed"


# A new quote has to be confirmed; every other pause ends by itself when its cause is gone.
NEEDS_QUOTE = frozenset({Reason.QUOTE_USED.value, Reason.ACCOUNT_CHANGED.value})

SENTENCES: Mapping[Reason, str] = {
    Reason.QUOTE_USED: "the confirmed quote is used up; resume it to get a quote for the rest",
    Reason.ACCOUNT_CHANGED: "the provider has another SMSC account; resume it to get a quote for the rest",
    Reason.NOT_INSTALLED: "the application is not installed in the portal; install it",
    Reason.PORTAL_REFUSED: "the portal refuses our calls; see the provider's conditions",
    Reason.LOGIN: "SMSC refuses login and password; correct the account's Secret",
    Reason.MONEY: "the SMSC account has no money; top it up",
    Reason.BLOCKED: "SMSC has blocked this address for a while; wait",
    Reason.BAD_REQUESTS: "SMSC refused too many requests in a row; wait",
    Reason.NOTHING_FOUND: "the source holds nothing; look at the filter",
    Reason.NO_PHONES: "nothing in the source has a phone number",
    Reason.NO_FIELDS: "the portal has none of the fields that results are written to; see FieldsReady",
    Reason.FILTER_REFUSED: "the portal refuses to list what was asked for; look at the filter",
    Reason.REMOVED: "the provider was removed",
}


def sentence(state: State, reason: str) -> str:
    """For people; empty for no reason."""
    if not reason:
        return ""
    try:
        text = SENTENCES[Reason(reason)]
    except ValueError:
        text = f"the SMSC account stands still ({reason})"
    return (
        f"{text}: it goes on by itself then" if state is State.PAUSED and reason not in NEEDS_QUOTE else text
    )


@dataclass(frozen=True, slots=True)
class Source:
    """`entity` None: numbers of a file. `where`: a filter in the CRM's own words."""

    entity: EntityType | None = None
    where: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.entity.value if self.entity is not None else "file"


@dataclass(frozen=True, slots=True)
class Quote:
    """Of what was not done yet when it was made. `numbers` are to be looked up, `known` cost nothing.

    `price` of one and `roubles`; `estimated`: SMSC did not tell the price.
    """

    entities: int = 0
    numbers: int = 0
    known: int = 0
    price: Decimal = Decimal(0)
    roubles: Decimal = Decimal(0)
    estimated: bool = False
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Entities and distinct numbers that are done; of the entities, what became of them.

    `refused`: the portal would not write them. `rate`: entities a second, of a file numbers;
    `seconds_left` None: nobody can tell now.
    """

    entities: int = 0
    without_phone: int = 0
    gone: int = 0
    written: int = 0
    unchanged: int = 0
    refused: int = 0
    numbers: int = 0
    bought: int = 0
    spent: Decimal = Decimal(0)
    estimated: Decimal = Decimal(0)
    rate: float = 0.0
    seconds_left: int | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Times are Unix milliseconds, 0 for not yet. `saves`: roubles that a broadcast by SMS to these numbers
    costs less without the absent ones; None where no price is known. `outcomes`: a reachability, or why there
    is none (pending, unanswered, refused).
    """

    id: str
    provider_uid: str
    namespace: str
    name: str
    state: State
    reason: str = ""
    source: Source = Source()
    created_at_ms: int = 0
    confirmed_at_ms: int = 0
    ended_at_ms: int = 0
    quote: Quote | None = None
    progress: Progress = Progress()
    outcomes: Mapping[str, int] = field(default_factory=dict)
    carriers: Mapping[str, int] = field(default_factory=dict)
    regions: Mapping[str, int] = field(default_factory=dict)
    saves: Decimal | None = None

    @property
    def stands(self) -> bool:
        """Nothing happens to it without somebody's word, or its cause's end."""
        return self.state.ended or self.state in {State.QUOTED, State.PAUSED}
