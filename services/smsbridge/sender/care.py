"""What a sender does about its accounts beyond `store.care`: probes, back-off, the proof of status.php.

Guarantees 6 (probes) and 5.4 (proof). A pause keeps messages queued and shows in `DescribeQueue`.
"""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import structlog

from smsbridge.core import errors
from smsbridge.core.account import Said
from smsbridge.core.provider import Provider
from smsbridge.runtime import tasks
from smsbridge.sender import effects
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc import codes
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.store import outbox
from smsbridge.store.account import Accounts, Pause
from smsbridge.store.care import Care
from smsbridge.store.egress import Egress

log = structlog.get_logger()

_ASK_SECONDS = 15.0  # a permit for one question outlasts the client's own time-out


class AccountCare:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        accounts: Accounts,
        egress: Egress,
        client: SmscClient,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._egress = egress
        self._care = Care(accounts, egress)
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
        if effect.said is not Said.UNREACHABLE:
            self._unreachable.pop(key, None)
        if balance is not None:
            await self._accounts.saw_balance(key, balance)
        match effect.said:
            case Said.GOOD:
                self._good.add(key)
                await self._accounts.succeeded(key)
                self._begin_proof(provider, account, claim)
            case Said.TOO_MANY:
                await self._accounts.back_off(key, seconds=self._settings.too_many_seconds)
            case Said.UNREACHABLE:
                delay = effect.outcome["delay_ms"] / 1000
                await self._accounts.back_off(key, seconds=delay)
        await self._heed(provider, key, effect.said)

    async def may_send(self, key: str) -> bool:
        """False while one more wrong login might block the egress and this account has not succeeded yet.

        After a start one request of an account goes alone until it succeeds.
        """
        if key not in self._begun:
            await self._accounts.cool(key)
            self._begun.add(key)
        return key in self._good or await self._egress.login_allowed()

    async def _heed(self, provider: Provider, key: str, said: Said) -> None:
        if said in (Said.LOGIN, Said.MONEY):
            self._good.discard(key)
        await self._care.heed(key, provider, said)

    async def stopped_seconds(self) -> float:
        """How long nothing may leave this egress; 0 where it may."""
        return await self._egress.stopped_seconds()

    async def probe(self, provider: Provider, account: smsc_account.Account) -> None:
        """Makes the probe of a paused account where it is due; only balance.php, never a send."""
        if await self.stopped_seconds() > 0:
            return
        due = await self._accounts.probe_due(account.key, lease_seconds=_ASK_SECONDS)
        if "reason" not in due:
            return
        limits, why, step = self._accounts.limits, Pause(due["reason"]), int(due["step"])
        if why is Pause.LOGIN and not await self._egress.login_allowed():
            await self._accounts.schedule_probe(account.key, in_seconds=limits.first_probe_seconds(why))
            return
        await self._accounts.schedule_probe(account.key, in_seconds=limits.next_probe_seconds(why, step))
        balance = await self._ask_balance(provider, account)
        if balance is None:
            return
        if why is Pause.MONEY and not await self._has_money(account.key, balance, due["money_seen"], step):
            return
        log.info("account_resumed", namespace=provider.namespace, provider=provider.name, reason=why)
        await self._accounts.resume(account.key)

    async def _has_money(self, key: str, balance: Decimal, seen: str, step: int) -> bool:
        """The first balance after the stop is the mark, and more than that is a top-up. Now and then one
        message goes all the same: the mark may have been read after the top-up, or a cheaper one may wait.
        """
        if not seen:
            await self._accounts.stopped_at(key, balance)
            return False
        anyway = balance > 0 and step % self._accounts.limits.money_tries_after_probes == 0
        if balance <= Decimal(seen) and not anyway:
            return False
        await self._accounts.forget_stop(key)
        return True

    async def _ask_balance(self, provider: Provider, account: smsc_account.Account) -> Decimal | None:
        try:
            async with self._accounts.permit(account.key, "info", seconds=_ASK_SECONDS, paused_too=True):
                balance = (await self._client.balance(account)).amount
        except smsc_errors.SmscRejected as error:
            await self._heed(provider, account.key, error.said)
            return None
        except errors.Away:
            return None
        await self._accounts.saw_balance(account.key, balance, fingerprint=account.fingerprint)
        return balance

    async def changed_secret(self, provider: Provider, account: smsc_account.Account) -> None:
        """A changed Secret is tried at once, by one request alone."""
        if not await self._accounts.fingerprint(account.key, account.fingerprint):
            return
        log.info("account_secret_changed", namespace=provider.namespace, provider=provider.name)
        if (await self._accounts.state(account.key)).pause == Pause.LOGIN:
            await self._accounts.schedule_probe(account.key, in_seconds=0)
        else:
            await self._accounts.cool(account.key)

    async def status(
        self, provider: Provider, account: smsc_account.Account, pairs: Sequence[tuple[str, str]]
    ) -> list[codes.Reading] | None:
        """What status.php says of (client id, MSISDN), counted before it is asked; None: no answer."""
        if await self.stopped_seconds() > 0:
            return None
        try:
            async with self._accounts.permit(account.key, "status", seconds=_ASK_SECONDS):
                if not all(await self._accounts.may_ask(account.key, pairs)):
                    return None
                found = await self._client.status(account, pairs)
        except smsc_errors.SmscRejected as error:
            await self._heed(provider, account.key, error.said)
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
