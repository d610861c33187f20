"""Settles uncertain batches by asking SMSC what became of (client id, phone). Guarantees 5.

Nothing is repeated before `not found` was heard as often as the rules want, and never on an account that has
not proved that status.php finds an accepted client id.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
from ulid import ULID

from smsbridge.core import errors
from smsbridge.core.message import Channel, Lane, Reason
from smsbridge.core.provider import Profile, Provider
from smsbridge.sender import effects
from smsbridge.sender.care import AccountCare
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.sender.sending import Sending
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.store import account as store_account
from smsbridge.store import outbox

log = structlog.get_logger()

_LATE_ASKS = (
    3  # `not found` so often, and late_repeat_seconds, before a repeat without SMSC's duplicate guard
)
_EARLY_ASKS = 2


class Reconciler:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        outbox_: outbox.Outbox,
        accounts: store_account.Accounts,
        care: AccountCare,
        sending: Sending,
        providers: Callable[[], Iterable[Provider]],
        metrics: SenderMetrics,
    ) -> None:
        self._settings = settings
        self._outbox = outbox_
        self._accounts = accounts
        self._care = care
        self._sending = sending
        self._providers = providers
        self._metrics = metrics

    async def step(self, provider: Provider) -> float | None:
        """Settles one batch if one is due. Seconds until the next may be, None for the usual pause."""
        found = await self._outbox.take_uncertain(
            provider.uid, owner=str(ULID()), lease_ms=self._settings.lease_ms
        )
        if isinstance(found, int):
            return None if found < 0 else min(found / 1000, self._settings.idle_seconds)
        await self._settle(provider, found)
        return 0.0

    async def _settle(self, provider: Provider, batch: outbox.Uncertain) -> None:
        account = self._account(provider, batch)
        if account is None:
            # Nobody names that account any more: what it did cannot be asked of another one.
            await self._again(provider, batch, self._settings.unproved_ask_seconds, "account_changed")
            return
        pairs = [(batch.client_id, msisdn) for _, msisdn in batch.members]
        readings = await self._care.status(provider, account, pairs)
        if readings is None:
            await self._again(provider, batch, self._settings.ask_again_seconds, "status_unanswered")
            return
        said_so = batch.why == effects.MONEY_WITH_ID and batch.posts == 1
        if not batch.partial and effects.had_no_money(readings, said_so=said_so):
            # None of it went out, and there may be money later: it waits for that like all the others.
            await self._write(provider, batch, {"kind": "resend", "ids": effects.new_ids()})
            return
        by_ref = {ref: reading for (ref, _), reading in zip(batch.members, readings, strict=True)}
        adopted, refused, unknown = effects.found_in_status(by_ref, batch.client_id, partial=batch.partial)
        if adopted or refused:
            await self._adopt(provider, batch, adopted, refused)
        elif unknown:
            await self._not_found(provider, account, batch)

    def _account(self, provider: Provider, batch: outbox.Uncertain) -> smsc_account.Account | None:
        """The account a batch was sent by, spoken to as it was then."""
        for candidate in (provider, *self._providers()):
            account = smsc_account.of(candidate.account)
            if account.key == batch.account_key:
                return replace(account, profile=Profile(batch.profile))
        return None

    async def _adopt(
        self,
        provider: Provider,
        batch: outbox.Uncertain,
        adopted: list[dict[str, Any]],
        refused: list[dict[str, Any]],
    ) -> None:
        prices = effects.priced(provider.prices, Channel(batch.channel))
        verdict = {
            "kind": "found",
            "members": [member | prices for member in adopted],
            "refused": refused,
            "ids": effects.new_ids(),
            "ask_in_ms": int(self._settings.second_ask_seconds * 1000),
        }
        await self._write(provider, batch, verdict)
        self._count(provider, "adopted" if adopted else "split")

    async def _not_found(
        self, provider: Provider, account: smsc_account.Account, batch: outbox.Uncertain
    ) -> None:
        asks = batch.not_found + 1
        since = batch.since_post_ms / 1000
        settings = self._settings
        proved = (await self._accounts.state(account.key)).status_proved
        if not proved:
            self._count(provider, "held")
            await self._again(provider, batch, settings.unproved_ask_seconds, "status_unproved")
            return
        early = asks >= _EARLY_ASKS and since < settings.repeat_within_seconds and not batch.partial
        late = asks >= _LATE_ASKS and since >= settings.late_repeat_seconds
        if provider.removed and late:
            await self._fail(provider, batch)
            return
        if provider.paused and not provider.removed:
            wait = settings.unproved_ask_seconds
            await self._write(provider, batch, self._not_found_verdict(wait) | {"why": "paused"})
            return
        if late or (early and not provider.removed):
            within_ms = 0 if late else int(settings.repeat_within_seconds * 1000)
            await self._repeat(provider, account, batch, within_ms=within_ms)
            return
        wait = settings.second_ask_seconds if asks < _EARLY_ASKS else self._until_late(since)
        await self._write(provider, batch, self._not_found_verdict(wait))

    async def _fail(self, provider: Provider, batch: outbox.Uncertain) -> None:
        """Nobody has it, and a removed provider sends nothing more."""
        reason = Reason.PROVIDER_REMOVED.value
        refused = [{"ref": ref, "reason": reason, "text": ""} for ref, _ in batch.members]
        verdict = {"kind": "found", "members": [], "refused": refused, "final": True}
        await self._write(provider, batch, verdict | {"ids": effects.new_ids()})

    def _until_late(self, since_post_seconds: float) -> float:
        return max(self._settings.ask_again_seconds, self._settings.late_repeat_seconds - since_post_seconds)

    async def _repeat(
        self, provider: Provider, account: smsc_account.Account, batch: outbox.Uncertain, *, within_ms: int
    ) -> None:
        seconds = (self._settings.post_total_ms + self._settings.margin_ms) / 1000
        interactive = batch.group.lane == Lane.INTERACTIVE
        if await self._care.stopped_seconds() > 0:
            await self._write(provider, batch, self._not_found_verdict(1.0))
            return
        try:
            permit = await self._accounts.take(account.key, "send", seconds=seconds, interactive=interactive)
        except store_account.NoPermit:
            await self._write(provider, batch, self._not_found_verdict(1.0))
            return
        try:
            begun = await self._outbox.begin_repeat(
                provider.uid,
                op=str(ULID()),
                batch=batch,
                lease_ms=self._settings.lease_ms,
                within_ms=within_ms,
                fresh_client_id=str(ULID()),
            )
            if begun.get("late"):
                wait = self._until_late(batch.since_post_ms / 1000)
                await self._write(provider, batch, self._not_found_verdict(wait))
                return
            if begun.get("stale") or begun.get("rest"):
                return
            self._count(provider, "repeated")
            log.warning("batch_repeated", provider=provider.name, client_id=batch.client_id)
            await self._sending.repeat(provider, account, batch, texts=begun["texts"])
        finally:
            await self._accounts.give_back(account.key, "send", permit)

    @staticmethod
    def _not_found_verdict(in_seconds: float) -> dict[str, Any]:
        return {"kind": "not_found", "ask_in_ms": int(in_seconds * 1000)}

    async def _again(self, provider: Provider, batch: outbox.Uncertain, seconds: float, why: str) -> None:
        await self._write(provider, batch, {"kind": "again", "ask_in_ms": int(seconds * 1000), "why": why})

    async def _write(self, provider: Provider, batch: outbox.Uncertain, verdict: dict[str, Any]) -> None:
        op = str(ULID())
        try:
            await self._outbox.settle(provider.uid, op=op, batch=batch, verdict=verdict)
        except errors.StoreAway:
            # Once more with the same id; failing that the batch's lease ends and it is asked about again.
            await self._outbox.settle(provider.uid, op=op, batch=batch, verdict=verdict)

    def _count(self, provider: Provider, how: str) -> None:
        self._metrics.settled.labels(provider.namespace, provider.name, how).inc()
