"""What happens to accounts and the egress: pauses, probes, counts of bad requests, the proof of status.php.

Guarantees 6 (pauses and probes) and 5.4 (proof). A pause keeps messages queued and shows in `DescribeQueue`.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import structlog

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.runtime import tasks
from smsbridge.sender import effects
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc import codes
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.store import account as store_account
from smsbridge.store import egress as store_egress
from smsbridge.store import outbox

log = structlog.get_logger()

LOGIN, MONEY = "login", "money"
_ASK_SECONDS = 15.0  # a permit for one question outlasts the client's own time-out
_NO_LOGIN, _BLOCKED = 2, 4  # SMSC's error codes on every script (facts 8.1)


class AccountCare:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        accounts: store_account.Accounts,
        egress: store_egress.Egress,
        client: SmscClient,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._egress = egress
        self._client = client
        self._unreachable: dict[str, int] = {}
        self._begun: set[str] = set()
        self._good: set[str] = set()
        self._proving: set[asyncio.Task[None]] = set()
        self._proof_begun: set[str] = set()

    def unreachable_delay_ms(self, key: str) -> int:
        """Doubles with each request in a row that could not leave."""
        count = self._unreachable.get(key, 0)
        self._unreachable[key] = count + 1
        settings = self._settings
        return int(min(settings.unsent_delay_seconds * 2**count, settings.unsent_delay_most_seconds) * 1000)

    async def learn(
        self,
        provider: Provider,
        account: smsc_account.Account,
        effect: effects.Effect,
        claim: outbox.Claim,
        *,
        balance: Decimal | None,
    ) -> None:
        """Applies what an answer says of the account. The batch's own outcome is written already."""
        key = account.key
        if effect.account is not effects.Account.UNREACHABLE:
            self._unreachable.pop(key, None)
        if balance is not None:
            await self._accounts.saw_balance(key, balance)
        match effect.account:
            case effects.Account.GOOD:
                self._good.add(key)
                await self._accounts.succeeded(key)
                await self._egress.good_request()
                self._begin_proof(provider, account, claim)
            case effects.Account.BAD_REQUEST:
                await self._bad_request()
            case effects.Account.LOGIN:
                await self._egress.auth_error()
                await self._pause(provider, key, LOGIN, self._settings.login_probes_seconds[0])
            case effects.Account.MONEY:
                # Looked at once: what there is now is the mark that a top-up has to pass.
                await self._pause(provider, key, MONEY, 0.0)
            case effects.Account.BLOCKED:
                await self.blocked()
            case effects.Account.TOO_MANY:
                await self._accounts.back_off(key, seconds=self._settings.too_many_seconds)
            case effects.Account.UNREACHABLE:
                delay = effect.outcome["delay_ms"] / 1000
                await self._accounts.back_off(key, seconds=delay)
            case effects.Account.NOTHING:
                pass

    async def may_send(self, key: str) -> bool:
        """False while one more wrong login might block the egress and this account has not succeeded yet.

        After a start one request of an account goes alone until it succeeds.
        """
        if key not in self._begun:
            await self._accounts.cool(key)
            self._begun.add(key)
        return key in self._good or await self.login_allowed()

    async def _pause(self, provider: Provider, key: str, reason: str, first_probe_seconds: float) -> None:
        self._good.discard(key)
        if await self._accounts.pause(key, reason, first_probe_seconds=first_probe_seconds):
            log.warning("account_paused", namespace=provider.namespace, provider=provider.name, reason=reason)

    async def _bad_request(self) -> None:
        if await self._egress.bad_request() >= self._settings.bad_requests_most:
            log.error(
                "egress_stopped", reason="bad_requests", seconds=self._settings.bad_requests_stop_seconds
            )
            await self._egress.stop("bad_requests", seconds=self._settings.bad_requests_stop_seconds)
            await self._egress.good_request()

    async def blocked(self) -> None:
        """SMSC blocked our address: nothing leaves it for a while, for no account."""
        if await self._egress.stopped_ms() > 0:
            return
        steps = self._settings.blocked_seconds
        seconds = steps[min(await self._egress.blocks(), len(steps)) - 1]
        log.error("egress_stopped", reason="blocked", seconds=seconds)
        await self._egress.stop("blocked", seconds=seconds)

    async def stopped_seconds(self) -> float:
        """How long nothing may leave this egress; 0 where it may."""
        return await self._egress.stopped_ms() / 1000

    async def stopped_for(self) -> str:
        """Why nothing may leave this egress; empty where it may."""
        return await self._egress.stopped_for()

    async def login_allowed(self) -> bool:
        """False once so many wrong logins came from this egress that one more might get it blocked."""
        return await self._egress.auth_errors() < self._settings.login_errors_most

    async def probe(self, provider: Provider, account: smsc_account.Account) -> None:
        """Makes the probe of a paused account where it is due; only balance.php, never a send."""
        if await self._egress.stopped_ms() > 0:
            return
        due = await self._accounts.probe_due(account.key, lease_seconds=_ASK_SECONDS)
        if "reason" not in due:
            return
        reason, step = due["reason"], int(due["step"])
        if reason == LOGIN and not await self.login_allowed():
            await self._accounts.schedule_probe(
                account.key, in_seconds=self._settings.login_probes_seconds[0]
            )
            return
        await self._accounts.schedule_probe(account.key, in_seconds=self._next_probe_seconds(reason, step))
        balance = await self._ask_balance(provider, account)
        if balance is None:
            return
        if reason == MONEY and not await self._has_money(account.key, balance, due["money_seen"], step):
            return
        log.info("account_resumed", namespace=provider.namespace, provider=provider.name, reason=reason)
        await self._accounts.resume(account.key)

    async def _has_money(self, key: str, balance: Decimal, seen: str, step: int) -> bool:
        """The first balance after the stop is the mark, and more than that is a top-up. Now and then one
        message goes all the same: the mark may have been read after the top-up, or a cheaper one may wait.
        """
        if not seen:
            await self._accounts.stopped_at(key, balance)
            return False
        anyway = balance > 0 and step % self._settings.money_tries_after_probes == 0
        if balance <= Decimal(seen) and not anyway:
            return False
        await self._accounts.forget_stop(key)
        return True

    def _next_probe_seconds(self, reason: str, step: int) -> float:
        if reason == MONEY:
            return self._settings.money_probe_seconds
        steps = self._settings.login_probes_seconds
        return steps[min(step, len(steps) - 1)]

    async def _ask_balance(self, provider: Provider, account: smsc_account.Account) -> Decimal | None:
        try:
            async with self._accounts.permit(account.key, "info", seconds=_ASK_SECONDS, paused_too=True):
                balance = (await self._client.balance(account)).amount
        except smsc_errors.SmscRejected as error:
            await self._refused_question(provider, account, error)
            return None
        except errors.Away:
            return None
        await self._accounts.saw_balance(account.key, balance, fingerprint=account.fingerprint)
        return balance

    async def _refused_question(
        self, provider: Provider, account: smsc_account.Account, error: smsc_errors.SmscRejected
    ) -> None:
        if error.error_code == _NO_LOGIN:
            await self._egress.auth_error()
            await self._pause(provider, account.key, LOGIN, self._settings.login_probes_seconds[0])
        elif error.error_code == _BLOCKED:
            await self.blocked()

    async def changed_secret(self, provider: Provider, account: smsc_account.Account) -> None:
        """A changed Secret is tried at once, by one request alone."""
        if not await self._accounts.fingerprint(account.key, account.fingerprint):
            return
        log.info("account_secret_changed", namespace=provider.namespace, provider=provider.name)
        if (await self._accounts.state(account.key)).pause == LOGIN:
            await self._accounts.schedule_probe(account.key, in_seconds=0)
        else:
            await self._accounts.cool(account.key)

    async def status(
        self, provider: Provider, account: smsc_account.Account, pairs: Sequence[tuple[str, str]]
    ) -> list[codes.Reading] | None:
        """What status.php says of (client id, MSISDN), counted before it is asked; None: no answer."""
        if await self._egress.stopped_ms() > 0:
            return None
        try:
            async with self._accounts.permit(account.key, "status", seconds=_ASK_SECONDS):
                if not all(await self._accounts.may_ask(account.key, pairs)):
                    return None
                found = await self._client.status(account, pairs)
        except smsc_errors.SmscRejected as error:
            await self._refused_question(provider, account, error)
            return None
        except errors.Away:
            return None
        return [codes.read_status(account.profile, item.code, item.err) for item in found]

    def _begin_proof(self, provider: Provider, account: smsc_account.Account, claim: outbox.Claim) -> None:
        if account.key in self._proof_begun:
            return
        self._proof_begun.add(account.key)
        pair = claim.client_id, claim.members[0].msisdn
        task = asyncio.create_task(self._prove(provider, account, pair))
        self._proving.add(task)
        task.add_done_callback(self._proving.discard)

    async def _prove(self, provider: Provider, account: smsc_account.Account, pair: tuple[str, str]) -> None:
        """Asks about the first accepted client id: only then do we know that `not found` means something."""
        try:
            if (await self._accounts.state(account.key)).status_proved:
                return
            for delay in self._settings.proof_delays_seconds:
                await asyncio.sleep(delay)
                readings = await self.status(provider, account, [pair])
                if readings and not readings[0].not_found:
                    await self._accounts.prove_status(account.key)
                    return
        except errors.StoreAway:
            pass
        self._proof_begun.discard(account.key)  # the next success tries again

    async def close(self) -> None:
        await tasks.end(*self._proving)
