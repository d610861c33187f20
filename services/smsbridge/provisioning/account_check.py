"""Whether the SMSC account lets us in, found out without sending and without running into SMSC's own limits.

Five refused logins in half an hour block our IP address, so a login that was refused is left alone until
its Secret
changes or time has passed, and an account that the sender has paused is not asked at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from smsbridge.core import errors
from smsbridge.core.account import Said
from smsbridge.core.provider import Provider
from smsbridge.provisioning import conditions
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State
from smsbridge.smsc import account as accounts
from smsbridge.smsc import answers
from smsbridge.smsc import errors as smsc_errors

_LOOK_AGAIN_SECONDS = 0.25


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

    async def recent_balance(
        self, key: str, fingerprint: str, *, within_seconds: float
    ) -> Decimal | None: ...

    async def saw_balance(self, key: str, balance: Decimal, *, fingerprint: str = "") -> None: ...


class Address(Protocol):
    """What all accounts behind our IP address share: `store.egress.Egress`."""

    async def auth_error(self) -> None: ...

    async def login_allowed(self) -> bool: ...

    async def stopped_for(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A question to an account that brought nothing; its other providers take it as theirs for a while."""

    fingerprint: str
    at: datetime
    error: smsc_errors.SmscError


@dataclass(frozen=True, slots=True)
class AccountClients:
    """`failures`: the last one of each account, by its key."""

    smsc: Smsc
    book: AccountBook
    egress: Address
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    failures: dict[str, Failure] = field(default_factory=dict)


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
    pause = (await clients.book.state(account.key)).pause or await clients.egress.stopped_for()
    sending = sending_condition(provider, pause)
    known = state.find(Type.CREDENTIALS_VALID)
    same = state.account_fingerprint == account.fingerprint
    if pause:
        kept = [known] if known and same else [_condition(Status.UNKNOWN, Reason.NOT_CHECKED)]
        return [*kept, sending], state
    if same and known and known.reason is Reason.LOGIN_REFUSED and _recent(state, settings, now):
        return [known, sending], state
    if not await clients.egress.login_allowed():
        detail = "too many refused logins lately from this address"
        return [_condition(Status.UNKNOWN, Reason.NOT_CHECKED, detail=detail), sending], state
    try:
        balance = await _balance(account, clients=clients, settings=settings, now=now)
    except smsc_errors.SmscError as error:
        return [_refusal(error), sending], _asked(state, account, now, balance=state.balance)
    if balance is None:
        return [known or _condition(Status.UNKNOWN, Reason.NOT_CHECKED), sending], state
    answered = _condition(Status.TRUE, Reason.ACCOUNT_ANSWERS)
    return [answered, sending], _asked(state, account, now, balance=balance)


async def _balance(
    account: accounts.Account, *, clients: AccountClients, settings: ProvisioningSettings, now: datetime
) -> Decimal | None:
    """One question an interval for each account, however many providers it serves: others take its answer.

    None where somebody else is asking all the time. Raises SmscError, StoreAway.
    """
    waited = 0.0
    while waited < settings.smsc_check_seconds:
        if (known := await _known(account, clients=clients, settings=settings, now=now)) is not None:
            return known
        try:
            async with clients.book.permit(account.key, "info", seconds=settings.smsc_check_seconds):
                # Who waited for the permit finds the answer of who had it.
                known = await _known(account, clients=clients, settings=settings, now=now)
                return known if known is not None else await _ask(account, clients=clients, now=now)
        except (errors.StoreAway, smsc_errors.SmscError):
            raise
        except errors.Away:  # no permit: somebody else is asking just now, perhaps for the same account
            await clients.sleep(_LOOK_AGAIN_SECONDS)
            waited += _LOOK_AGAIN_SECONDS
    return None


async def _ask(account: accounts.Account, *, clients: AccountClients, now: datetime) -> Decimal:
    try:
        balance = (await clients.smsc.balance(account)).amount
    except smsc_errors.SmscError as error:
        clients.failures[account.key] = Failure(account.fingerprint, now, error)
        if isinstance(error, smsc_errors.SmscRejected) and error.said is Said.LOGIN:
            await clients.egress.auth_error()
        raise
    clients.failures.pop(account.key, None)
    await clients.book.saw_balance(account.key, balance, fingerprint=account.fingerprint)
    return balance


async def _known(
    account: accounts.Account, *, clients: AccountClients, settings: ProvisioningSettings, now: datetime
) -> Decimal | None:
    """What it said to these credentials lately; raised again where that was an error."""
    failure = clients.failures.get(account.key)
    own = failure is not None and failure.fingerprint == account.fingerprint
    if failure is not None and own and now - failure.at < timedelta(seconds=settings.retry_cap_seconds / 2):
        raise failure.error
    return await clients.book.recent_balance(
        account.key, account.fingerprint, within_seconds=settings.shortest_interval_seconds
    )


def _refusal(error: smsc_errors.SmscError) -> Condition:
    if isinstance(error, smsc_errors.SmscRejected):
        if error.said is Said.LOGIN:
            return _condition(Status.FALSE, Reason.LOGIN_REFUSED)
        if error.said is Said.BLOCKED:
            return _condition(Status.FALSE, Reason.ADDRESS_BLOCKED)
    return _condition(Status.UNKNOWN, Reason.ACCOUNT_AWAY, detail=error.sentence)


def sending_condition(provider: Provider, pause: str) -> Condition:
    """`pause`: why the account sends nothing, empty where it does."""
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
