"""send.php: refuses what the documentation refuses, accepts the rest, and writes the answer.

Order of checks: parameters (`smsc_order`), sender, numbers, money, the duplicate guard.
"""

import itertools
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from smsbridge.core import text
from smsbridge.sandbox import phones, reports
from smsbridge.sandbox.settings import DuplicateScope, IdScope, Profile
from smsbridge.sandbox.smsc_account import REFUSED_STATUS, Account, Message
from smsbridge.sandbox.smsc_life import Life
from smsbridge.sandbox.smsc_order import Order, Part
from smsbridge.sandbox.smsc_wire import Answer, ApiError, as_xml, money

_PHONE = re.compile(r"[0-9]{7,15}\Z")
_PUBLIC_ID_ERRORS = frozenset({3, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A number that phones[] reports as failed while the others go on."""

    status: int
    error: int


class Sending:
    """Accepts or refuses one order."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def price_only(self, account: Account, order: Order, now: float) -> Answer:
        """cost=1: nothing is sent."""
        key = ("cost", order.kind, *sorted((part.phone, part.body) for part in order.parts))
        seconds = account.settings.limit_window_seconds
        if account.window.hit(key, now=now, seconds=seconds) > account.settings.cost_limit:
            raise ApiError(9)
        self._check_numbers(account, order, now, order.client_id)
        document = {"cost": money(_cost(account, order)), "cnt": _segments(order)}
        return Answer(document, f"{document['cost']},{document['cnt']}", as_xml(document))

    def accept(self, account: Account, order: Order, now: float, *, no_money: bool = False) -> Answer:
        smsc_id = account.next_id() if order.client_id is None else order.client_id
        if account.settings.senders and order.sender and order.sender not in account.settings.senders:
            raise self._refuse(account, order, 6, smsc_id, now)
        self._check_numbers(account, order, now, smsc_id)
        if no_money or account.balance < _cost(account, order):
            kept = account.settings.no_money_creates_record
            raise self._refuse(account, order, 3, smsc_id, now) if kept else ApiError(3)
        _guard_duplicates(account, order, now)
        refused = _refused_numbers(order)
        accepted = self._create(account, order, smsc_id, now, refused)
        account.totals.refused_numbers += len(refused)
        return _answer(account, order, smsc_id, accepted, refused)

    def _check_numbers(self, account: Account, order: Order, now: float, smsc_id: int | str | None) -> None:
        for part in order.parts:
            error = 0 if _PHONE.match(part.phone) else 7
            if not error:
                error = phones.REQUEST_ERROR.get(phones.behaviour(part.phone), 0)
                if order.kind is phones.Kind.HLR and error != 7:
                    error = 0  # only a bad number is refused by a look-up
            if error:
                raise self._refuse(account, order, error, smsc_id, now)

    def _refuse(
        self, account: Account, order: Order, number: int, smsc_id: int | str | None, now: float
    ) -> ApiError:
        """Codes 3, 6, 7, 8 carry an id, and leave failed records under it."""
        if order.cost_mode == 1:
            return ApiError(number)
        smsc_id = account.next_id() if smsc_id is None else smsc_id
        if account.settings.rejected_creates_record or number == 3:
            status, err = REFUSED_STATUS[number]
            if account.profile is Profile.GUIDE:
                status, err = 2, 0
            for part in order.parts:
                message = _message(order, part, smsc_id, now, Decimal(0))
                message.accepted, message.status, message.err = False, status, err
                account.remember(message)
        return ApiError(number, smsc_id=smsc_id if number in _PUBLIC_ID_ERRORS else None)

    def _create(
        self, account: Account, order: Order, smsc_id: int | str, now: float, refused: dict[int, Refusal]
    ) -> list[Message]:
        accepted: list[Message] = []
        per_number = account.profile is Profile.GUIDE and account.settings.ids is IdScope.PER_NUMBER
        seen: set[str] = set()
        for index, part in enumerate(order.parts):
            if index in refused:
                if part.phone not in seen:  # a repeated number must not hide the first
                    _remember_refused(account, order, part, smsc_id, now)
                continue
            seen.add(part.phone)
            cost = account.price(order.kind, text.segments(part.body))
            message = _message(order, part, smsc_id, now, cost)
            message.own_id = account.next_id() if per_number else None
            account.charge(cost)
            account.remember(message)
            self._life.begin(account, message)
            accepted.append(message)
        _count(account, order, smsc_id, now, accepted)
        return accepted


def _message(order: Order, part: Part, smsc_id: int | str, now: float, cost: Decimal) -> Message:
    return Message(
        smsc_id=smsc_id,
        own_id=None,
        phone=part.phone,
        body=part.body,
        digest=text.digest(part.body),
        kind=order.kind,
        accepted_at=now,
        changed_at=now,
        cost=cost,
        segments=text.segments(part.body),
        sender=order.sender,
        validity_seconds=order.validity_seconds,
        viber_timeout_seconds=order.viber_timeout_seconds,
    )


def _remember_refused(account: Account, order: Order, part: Part, smsc_id: int | str, now: float) -> None:
    message = _message(order, part, smsc_id, now, Decimal(0))
    message.accepted = False
    message.status, message.err = (2, 0) if account.profile is Profile.GUIDE else (23, 253)
    account.remember(message)


def _count(account: Account, order: Order, smsc_id: int | str, now: float, accepted: list[Message]) -> None:
    totals = account.totals
    totals.accepted_requests += 1
    if order.kind is phones.Kind.HLR:
        totals.look_ups.update(message.phone for message in accepted)
        return
    totals.numbers_per_request[len(order.parts)] += 1
    sent = reports.Sent(
        client_id=str(smsc_id),
        channel=order.kind.value,
        phones=[message.phone for message in accepted],
        text_digests=[message.digest for message in accepted],
        at=now,
        sender=order.sender,
    )
    account.sends.append(sent)


def _refused_numbers(order: Order) -> dict[int, Refusal]:
    """By place in the request: spam-filtered numbers, and all but the first of a repeated one."""
    refused: dict[int, Refusal] = {}
    seen: set[str] = set()
    for index, part in enumerate(order.parts):
        if part.phone in seen:
            refused[index] = Refusal(23, 251)
        elif order.kind is not phones.Kind.HLR and phones.behaviour(part.phone) is phones.Behaviour.SPAM:
            refused[index] = Refusal(23, 253)
        seen.add(part.phone)
    return refused


def _guard_duplicates(account: Account, order: Order, now: float) -> None:
    """Error 9 for what was accepted within the window; the id is not compared."""
    parts = sorted((part.phone, part.body) for part in order.parts)
    keys: list[object] = [(order.kind, *parts)]
    if account.settings.duplicate_scope is DuplicateScope.NUMBER:
        keys = [(order.kind, *part) for part in parts]
    until = account.duplicate_until
    if any(until.get(key, 0.0) > now for key in keys):
        raise ApiError(9)
    for key in keys:
        until.pop(key, None)  # kept in the order of time, so that the oldest are dropped first
        until[key] = now + account.settings.duplicate_window_seconds
    for oldest in list(itertools.islice(until, len(keys) + 4)):
        if until[oldest] <= now:
            del until[oldest]


def _segments(order: Order) -> int:
    if order.kind is phones.Kind.HLR:
        return len(order.parts)
    return sum(text.segments(part.body) for part in order.parts)


def _cost(account: Account, order: Order) -> Decimal:
    return sum((account.price(order.kind, text.segments(part.body)) for part in order.parts), Decimal(0))


def _answer(
    account: Account,
    order: Order,
    smsc_id: int | str,
    accepted: list[Message],
    refused: dict[int, Refusal],
) -> Answer:
    """`cnt` and `cost` cover all numbers, the refused ones too, as in the recorded answer."""
    priced = account.profile is Profile.HTTP
    count = _segments(order)
    document: dict[str, Any] = {"id": smsc_id, "cnt": count}
    line = f"{smsc_id},{count}"
    if priced and order.cost_mode >= 2:
        document["cost"] = money(_cost(account, order))
        line += f",{document['cost']}"
    if priced and order.cost_mode == 3:
        document["balance"] = money(account.balance)
        line += f",{document['balance']}"
    if order.list_all or order.list_failed:
        document["phones"] = _phones(order, accepted, refused, priced=priced)
    return Answer(document, line, as_xml(document), f"OK - {count} SMS, ID - {smsc_id}")


def _phones(
    order: Order, accepted: list[Message], refused: dict[int, Refusal], *, priced: bool
) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    messages = iter(accepted)
    for index, part in enumerate(order.parts):
        row = {"phone": part.phone, "mccmnc": phones.carrier(part.phone).mccmnc}
        refusal = refused.get(index)
        if refusal is not None:
            rows.append(row | {"status": str(refusal.status), "error": str(refusal.error)})
            continue
        message = next(messages)
        if message.own_id is not None:
            row["id"] = str(message.own_id)
        if priced:
            row["cost"] = money(message.cost)
        if order.list_all:
            rows.append(row)
    return rows
