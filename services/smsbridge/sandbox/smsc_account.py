"""One SMSC account in memory: its messages, its money and what it has seen.

Keeps the truth that tests compare with; it refuses nothing (`smsc_send`) and delivers nothing (`smsc_life`).
"""

import hashlib
import hmac
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from smsbridge.core import msisdn
from smsbridge.sandbox import faults, phones, reports
from smsbridge.sandbox.settings import AccountSettings, Profile
from smsbridge.sandbox.smsc_limits import Window

REFUSED_STATUS = {3: (24, 0), 6: (23, 253), 7: (22, 249), 8: (25, 248)}  # the record that an error leaves


@dataclass(slots=True, eq=False)
class Message:
    smsc_id: int | str  # the request's
    own_id: int | None  # profile guide with an id per number
    phone: str
    body: str
    digest: str
    kind: phones.Kind
    accepted_at: float
    cost: Decimal
    segments: int
    sender: str = ""
    validity_seconds: float = 0.0
    viber_timeout_seconds: float = 0.0
    status: int = -1
    err: int = 0
    changed_at: float = 0.0
    accepted: bool = True  # False: a record that a refused request left
    next_step: int = 0

    @property
    def public_id(self) -> int | str:
        return self.smsc_id if self.own_id is None else self.own_id


@dataclass(slots=True)
class Totals:
    requests: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    get_requests: int = 0
    secrets_in_url: int = 0
    max_simultaneous: int = 0
    accepted_requests: int = 0
    refused_numbers: int = 0
    look_ups: Counter[str] = field(default_factory=Counter)  # by number
    numbers_per_request: Counter[int] = field(default_factory=Counter)
    charged: Decimal = Decimal(0)


class Account:
    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings.model_copy(deep=True)  # accounts made from one model must not share it
        self.balance = settings.balance
        self.faults = faults.FaultBook(default_call="send")
        self.window = Window()
        self.random = random.Random(settings.login)
        self.totals = Totals()
        self.inflight = 0
        self.messages: list[Message] = []
        self.sends: list[reports.Sent] = []
        self.duplicate_until: dict[object, float] = {}
        self._by_address: dict[tuple[str, str], Message] = {}
        self._last_id = 0

    @property
    def profile(self) -> Profile:
        return self.settings.profile

    def password_fits(self, given: str) -> bool:
        """Plain, or its lower-case MD5."""
        password = self.settings.password
        if not password:
            return False
        digest = hashlib.md5(password.encode(), usedforsecurity=False).hexdigest()
        plain = hmac.compare_digest(given.encode(), password.encode())
        return plain or hmac.compare_digest(given.encode(), digest.encode())

    def next_id(self) -> int:
        """Server-assigned ids are a small counter of the account."""
        self._last_id += 1
        return self._last_id

    def remember(self, message: Message) -> None:
        """A used id makes another message; the address then means the newer one."""
        self.messages.append(message)
        self._by_address[str(message.smsc_id), message.phone] = message
        if message.own_id is not None:
            self._by_address[str(message.own_id), message.phone] = message

    def find(self, smsc_id: str, phone: str, now: float) -> Message | None:
        message = self._by_address.get((smsc_id, corrected(phone)))
        if message is None or now < message.accepted_at + self.settings.timing.status_lag_seconds:
            return None
        return message

    def charge(self, amount: Decimal) -> None:
        self.balance -= amount
        self.totals.charged += amount

    def price(self, kind: phones.Kind, segments: int) -> Decimal:
        """For one number. A cascade is charged as Viber, and as SMS instead once it has fallen back."""
        prices = self.settings.prices
        if kind is phones.Kind.HLR:
            return prices.hlr
        return prices.sms * segments if kind is phones.Kind.SMS else prices.viber

    def ledger(self, callbacks: reports.CallbackReport) -> reports.Ledger:
        sent = [m for m in self.messages if m.accepted and m.kind is not phones.Kind.HLR]
        pairs: defaultdict[tuple[str, str], list[Message]] = defaultdict(list)
        by_channel = Counter((m.phone, m.digest, m.kind) for m in sent)
        for message in sent:
            pairs[message.phone, message.digest].append(message)
        totals = self.totals
        return reports.Ledger(
            login=self.settings.login,
            requests={name: dict(results) for name, results in totals.requests.items()},
            get_requests=totals.get_requests,
            secrets_in_url=totals.secrets_in_url,
            max_simultaneous=totals.max_simultaneous,
            accepted_requests=totals.accepted_requests,
            messages=len(sent),
            refused_numbers=totals.refused_numbers,
            distinct_phone_text=len(pairs),
            sent_twice=sum(count - 1 for count in by_channel.values()),
            duplicates=[_duplicate(messages) for messages in pairs.values() if len(messages) > 1],
            by_channel=dict(Counter(m.kind.value for m in sent)),
            delivered_by=dict(Counter(channel for m in sent if (channel := delivered_by(m, self.profile)))),
            by_status=dict(Counter(str(m.status) for m in sent)),
            look_ups=totals.look_ups.total(),
            looked_up_again=sum(count - 1 for count in totals.look_ups.values()),
            charged=totals.charged,
            balance=self.balance,
            by_numbers_per_request=dict(totals.numbers_per_request),
            callbacks=callbacks,
        )


def _duplicate(messages: list[Message]) -> reports.Duplicate:
    return reports.Duplicate(
        phone=messages[0].phone,
        text_digest=messages[0].digest,
        client_ids=[str(message.smsc_id) for message in messages],
        channels=[message.kind.value for message in messages],
    )


def delivered_by(message: Message, profile: Profile) -> str:
    """`sms`, `viber`, or empty while it is not delivered."""
    if profile is Profile.GUIDE:
        return {1: "sms", 20: "viber"}.get(message.status, "")
    return message.kind.value if message.status in {1, 2, 4} else ""


def corrected(phone: str) -> str:
    """The digits SMSC works with: without a `+` it repairs a Russian number (a leading 8, a missing 7)."""
    digits = msisdn.digits_only(phone)
    if phone.lstrip().startswith("+"):
        return digits
    if len(digits) == 11 and digits[0] == "8":
        return "7" + digits[1:]
    if len(digits) == 10 and digits[0] == "9":
        return "7" + digits
    return digits
