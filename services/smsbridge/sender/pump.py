"""Claims due batches of one provider and lane, as permits allow, and sends each in a task of its own.

A permit is taken before a batch is claimed: while none is free, groups fill up instead of leases running out.
"""

import asyncio
from collections.abc import Callable

import structlog
from ulid import ULID

from smsbridge.core import errors
from smsbridge.core.message import Lane
from smsbridge.core.provider import Provider
from smsbridge.sender import metrics
from smsbridge.sender.care import AccountCare
from smsbridge.sender.sending import Sending
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.store import account as store_account
from smsbridge.store import outbox

log = structlog.get_logger()

_PERMITS = frozenset({"permits", "proving", "too_many"})  # why there is no permit; any other word is a pause
_MOST_NUMBERS = 100  # SMSC takes no more in one request (facts 1.1)


class InHand:
    """The batches being sent: a graceful stop waits for them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        while self._tasks:
            await asyncio.wait(set(self._tasks))


class Pump:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        lane: Lane,
        outbox_: outbox.Outbox,
        accounts: store_account.Accounts,
        care: AccountCare,
        sending: Sending,
        in_hand: InHand,
        binding: Callable[[Provider, str], None] = lambda provider, limit: None,
    ) -> None:
        """`binding` is told what held this lane back."""
        self._binding = binding
        self._settings = settings
        self._lane = lane
        self._outbox = outbox_
        self._accounts = accounts
        self._care = care
        self._sending = sending
        self._in_hand = in_hand

    async def step(self, provider: Provider) -> float:
        """Starts one batch if one is due. Seconds until the next may be."""
        idle = self._settings.idle_seconds
        due_ms = await self._outbox.peek(provider.uid, self._lane, settle_ms=self._under_way_ms)
        if due_ms != 0:
            if due_ms > 0:
                self._binding(provider, metrics.LINGER)
            return idle if due_ms < 0 else min(due_ms / 1000, idle)
        await self._outbox.confirm(provider.uid)
        account = smsc_account.of(provider.account)
        stopped = await self._care.stopped_seconds()
        if stopped > 0:
            self._binding(provider, metrics.PAUSE)
            return min(stopped, idle)
        if not await self._care.may_send(account.key):
            self._binding(provider, metrics.PAUSE)
            return idle
        seconds = self._under_way_ms / 1000
        try:
            permit = await self._accounts.take(
                account.key, "send", seconds=seconds, interactive=self._lane is Lane.INTERACTIVE
            )
        except store_account.NoPermit as no:
            self._binding(provider, metrics.PERMITS if no.why in _PERMITS else metrics.PAUSE)
            return min(no.wait_ms / 1000, idle)
        claim = None
        try:
            claim = await self._claim(provider)
        finally:
            if not isinstance(claim, outbox.Claim):
                await self._accounts.give_back(account.key, "send", permit)
        if not isinstance(claim, outbox.Claim):
            return 0.01 if claim is None or claim == 0 else min(max(claim, 0) / 1000 or idle, idle)
        work = self._send(provider, claim, account.key, permit)
        self._in_hand.spawn(asyncio.create_task(work))
        return 0.0

    @property
    def _under_way_ms(self) -> int:
        """How long a POST may be on the wire after its intent."""
        return self._settings.post_total_ms + self._settings.margin_ms

    async def _claim(self, provider: Provider) -> outbox.Claim | int:
        op = str(ULID())
        for last in (False, True):
            try:
                return await self._outbox.claim(
                    provider.uid,
                    op=op,
                    lane=self._lane,
                    owner=op,
                    lease_ms=self._settings.lease_ms,
                    client_id=op,
                    most=_MOST_NUMBERS,
                    settle_ms=self._under_way_ms,
                )
            except errors.StoreAway:
                if last:
                    raise
        return 0

    async def _send(self, provider: Provider, claim: outbox.Claim, key: str, permit: str) -> None:
        try:
            await self._sending.send(provider, claim)
        except errors.SmsbridgeError as error:
            # What has no intent comes back when its lease ends; what has one is settled by asking.
            log.warning("batch_left", provider=provider.name, client_id=claim.client_id, code=error.code)
        except Exception:  # the task's outermost edge: nobody awaits it, and the batch is safe in the store
            log.exception("batch_broken", provider=provider.name, client_id=claim.client_id)
        finally:
            try:
                await self._accounts.give_back(key, "send", permit)
            except errors.StoreAway:
                log.info("permit_left", provider=provider.name)  # it ends by itself
