"""Lets accepted messages live: each step of `phones.life` at its time, with a callback where it is told."""

from decimal import Decimal
from typing import Protocol

from smsbridge.sandbox import phones
from smsbridge.sandbox.clock import Clock
from smsbridge.sandbox.settings import Profile
from smsbridge.sandbox.smsc_account import Account, Message


class Told(Protocol):
    """Whoever calls the account's handler back."""

    def status_changed(
        self, account: Account, message: Message, *, status: int, err: int, at: float
    ) -> None: ...


class Life:
    def __init__(self, clock: Clock, told: Told) -> None:
        self._clock = clock
        self._told = told

    def begin(self, account: Account, message: Message) -> None:
        steps = phones.life(phones.behaviour(message.phone), account.profile, message.kind)
        self._go_on(account, message, steps)

    def _go_on(self, account: Account, message: Message, steps: tuple[phones.Step, ...]) -> None:
        if message.next_step < len(steps):
            seconds = _seconds(account, message, steps[message.next_step].wait)
            self._clock.later(seconds, self._take, account, message, steps)

    def _take(self, account: Account, message: Message, steps: tuple[phones.Step, ...]) -> None:
        step = steps[message.next_step]
        message.next_step += 1
        now = self._clock.now()
        if step.status is not None:
            _charge_fallback(account, message, step.status)
            message.status, message.err, message.changed_at = step.status, step.err, now
        if step.tell is not None:
            self._told.status_changed(account, message, status=step.tell, err=step.err, at=now)
        self._go_on(account, message, steps)


def _charge_fallback(account: Account, message: Message, status: int) -> None:
    """Code 22 of profile guide: Viber is given back, the SMS is charged."""
    if account.profile is Profile.GUIDE and message.kind is phones.Kind.CASCADE and status == 22:
        sms: Decimal = account.price(phones.Kind.SMS, message.segments)
        account.charge(sms - message.cost)
        message.cost = sms


def _seconds(account: Account, message: Message, wait: phones.Wait) -> float:
    timing = account.settings.timing
    if wait is phones.Wait.DELIVERY:  # the most frequent one, and the only one with a chance in it
        return timing.delivery_seconds + account.random.random() * timing.jitter_seconds
    waits = {
        phones.Wait.NOTHING: 0.0,
        phones.Wait.HANDOVER: timing.handover_seconds,
        phones.Wait.READ: timing.read_seconds,
        phones.Wait.VIBER_TIMEOUT: message.viber_timeout_seconds,
        phones.Wait.VALIDITY: message.validity_seconds,
        phones.Wait.MODERATION: timing.moderation_seconds,
        phones.Wait.LATE: timing.delivery_seconds + timing.late_seconds,
    }
    return waits[wait]
