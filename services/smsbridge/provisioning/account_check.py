"""Whether the SMSC account lets us in, found out without sending and without running into SMSC's own limits.

Five refused logins in half an hour block our IP address, so a login that was refused is left alone until
its Secret
changes or time has passed, and an account that the sender has paused is not asked at all.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import conditions
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State
from smsbridge.smsc import account as accounts
from smsbridge.smsc import answers
from smsbridge.smsc import errors as smsc_errors

MAX_LOGIN_ERRORS = 3  # of SMSC's five in 30 minutes; guarantee 6
_LOGIN_REFUSED, _ADDRESS_BLOCKED = 2, 4  # SMSC's error codes


class Smsc(Protocol):
    async def balance(self, account: accounts.Account) -> answers.Balance:
        """Raises SmscError."""


class PauseState(Protocol):
    @property
    def pause(self) -> str: ...


class AccountBook(Protocol):
    """What all roles share about an account: `store.account.Accounts`."""

    def permit(
        self, key: str, kind: str, *, seconds: float, paused_too: bool = False
    ) -> AbstractAsyncContextManager[None]: ...

    async def state(self, key: str) -> PauseState: ...

    async def saw_balance(self, key: str, balance: Decimal) -> None: ...


class Address(Protocol):
    """What all accounts behind our IP address share: `store.egress.Egress`."""

    async def auth_error(self) -> int: ...

    async def auth_errors(self) -> int: ...

    async def stopped_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class AccountClients:
    smsc: Smsc
    book: AccountBook
    egress: Address


async def check(
    provider: Provider,
    state: State,
    *,
    clients: AccountClients,
    settings: ProvisioningSettings,
    now: datetime,
) -> tuple[list[Condition], State]:
    """CredentialsValid and Sending, and what is to be remembered. Raises StoreAway."""
    account = accounts.of(provider.account)
    pause = (await clients.book.state(account.key)).pause
    sending = _sending(provider, pause)
    known = state.find(Type.CREDENTIALS_VALID)
    same = state.account_fingerprint == account.fingerprint
    if pause or await clients.egress.stopped_ms() > 0:
        kept = [known] if known and same else [_condition(Status.UNKNOWN, Reason.NOT_CHECKED)]
        return [*kept, sending], state
    if same and known and known.reason is Reason.LOGIN_REFUSED and _recent(state, settings, now):
        return [known, sending], state
    if await clients.egress.auth_errors() >= MAX_LOGIN_ERRORS:
        detail = "too many refused logins lately from this address"
        return [_condition(Status.UNKNOWN, Reason.NOT_CHECKED, detail=detail), sending], state
    try:
        async with clients.book.permit(account.key, "info", seconds=settings.smsc_check_seconds):
            balance = await clients.smsc.balance(account)
    except smsc_errors.SmscError as error:
        return [await _refusal(error, clients), sending], _asked(state, account, now, balance=state.balance)
    except errors.StoreAway:
        raise
    except errors.Away:  # no permit: somebody else is asking just now
        return [known or _condition(Status.UNKNOWN, Reason.NOT_CHECKED), sending], state
    await clients.book.saw_balance(account.key, balance.amount)
    answered = _condition(Status.TRUE, Reason.ACCOUNT_ANSWERS)
    return [answered, sending], _asked(state, account, now, balance=balance.amount)


async def _refusal(error: smsc_errors.SmscError, clients: AccountClients) -> Condition:
    if isinstance(error, smsc_errors.SmscRejected):
        if error.error_code == _LOGIN_REFUSED:
            await clients.egress.auth_error()
            return _condition(Status.FALSE, Reason.LOGIN_REFUSED)
        if error.error_code == _ADDRESS_BLOCKED:
            return _condition(Status.FALSE, Reason.ADDRESS_BLOCKED)
    return _condition(Status.UNKNOWN, Reason.ACCOUNT_AWAY, detail=error.sentence)


def _sending(provider: Provider, pause: str) -> Condition:
    if provider.paused:
        return conditions.condition(Type.SENDING, Status.FALSE, Reason.PAUSED)
    if pause:
        return conditions.condition(Type.SENDING, Status.FALSE, Reason.ACCOUNT_PAUSED, detail=pause)
    return conditions.condition(Type.SENDING, Status.TRUE, Reason.SENDING)


def _condition(status: Status, reason: Reason, *, detail: str = "") -> Condition:
    return conditions.condition(Type.CREDENTIALS_VALID, status, reason, detail=detail)


def _recent(state: State, settings: ProvisioningSettings, now: datetime) -> bool:
    asked = state.account_asked_at
    return asked is not None and now - asked < timedelta(seconds=settings.login_probe_seconds)


def _asked(state: State, account: accounts.Account, now: datetime, *, balance: Decimal | None) -> State:
    return replace(state, account_fingerprint=account.fingerprint, account_asked_at=now, balance=balance)


def profile_conflict(provider: Provider, others: Sequence[Provider]) -> Provider | None:
    """Another provider that uses the same login with the other API profile."""
    own = accounts.of(provider.account)
    for other in others:
        theirs = accounts.of(other.account)
        if theirs.key == own.key and theirs.profile is not own.profile:
            return other
    return None
