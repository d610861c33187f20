"""One batch from claim to outcome: look-ups, preferences, holds, intent, POST, outcome. Guarantees 4 to 6.

Everything that can be decided without the network or the store is decided in `effects` and `intake`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog
from ulid import ULID

from smsbridge.core import cascade, errors
from smsbridge.core.account import Said
from smsbridge.core.message import Channel, Lane
from smsbridge.core.provider import Provider
from smsbridge.runtime import tracing
from smsbridge.sender import checking, effects, intake, refit
from smsbridge.sender.care import AccountCare
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc import answers, wire
from smsbridge.smsc.client import SmscClient
from smsbridge.store import account as store_account
from smsbridge.store import outbox

log = structlog.get_logger()

_STORE_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
_OUTCOME_GIVE_UP_SECONDS = (
    600.0  # by then the batch is being settled by asking, whatever we would still write
)


class Frozen(errors.SmsbridgeError):
    """This process stood still for longer than the margin between intent and first byte."""

    code = "Frozen"


class Preferences(Protocol):
    async def get_preferences(self, provider_uid: str, msisdns: Sequence[str]) -> dict[str, Channel]: ...


class Sending:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        outbox_: outbox.Outbox,
        accounts: store_account.Accounts,
        client: SmscClient,
        preferences: Preferences,
        checking_: checking.Checking,
        care: AccountCare,
        metrics: SenderMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._outbox = outbox_
        self._accounts = accounts
        self._client = client
        self._preferences = preferences
        self._checking = checking_
        self._care = care
        self._metrics = metrics
        self._monotonic = monotonic

    async def send(self, provider: Provider, claim: outbox.Claim) -> None:
        """Takes a claimed batch to its outcome. What fails before the POST leaves it to its lease's end."""
        account = smsc_account.of(provider.account)
        left = await self._release(provider, claim, refit.moves(provider, claim))
        left = await self._checking.check(provider, left)
        left = await self._without_preferring_sms(provider, left)
        left = await self._without_held_pairs(provider, account, left)
        if not left.members:
            return
        pairs = _pairs(left)
        try:
            effect = await self._intend_and_post(provider, account, left)
        except (
            errors.StoreAway
        ):  # the intent's: nothing was posted. Whatever else breaks leaves the hold as it is
            await self._accounts.end_hold(account.key, claim.client_id, pairs, taken=False)
            raise
        taken = effect is not None and _may_have(effect, repeated=False)
        await self._accounts.end_hold(account.key, claim.client_id, pairs, taken=taken)

    async def _intend_and_post(
        self, provider: Provider, account: smsc_account.Account, claim: outbox.Claim
    ) -> effects.Effect | None:
        while claim.members:
            body = wire.encode(account, _request(claim))
            started = self._monotonic()
            intent = await self._intend(
                provider, account, claim.client_id, claim.owner, body, claim.group.channel
            )
            if "stale" in intent:
                if not await self._outbox.drop_stale(provider.uid, claim, intent["stale"]):
                    return None
                gone = frozenset(intent["stale"])
                claim = replace(claim, members=tuple(m for m in claim.members if m.ref not in gone))
                continue
            if "refused" in intent:
                log.warning("intent_refused", provider=provider.name, why=intent["refused"])
                return None
            return await self.post(provider, account, claim, body, started=started, repeated=False)
        return None

    async def repeat(
        self,
        provider: Provider,
        account: smsc_account.Account,
        batch: outbox.Uncertain,
        *,
        texts: Mapping[str, str],
    ) -> bool:
        """The byte-identical repeat of an unanswered request. False where the intent was refused.

        It does not wait for its own pairs' hold, nor for another's, but holds them again.
        """
        members = tuple(outbox.Member(ref, msisdn, texts.get(ref, "")) for ref, msisdn in batch.members)
        claim = outbox.Claim(batch.client_id, batch.owner, batch.group, members, split=False)
        await self._accounts.hold(account.key, claim.client_id, _pairs(claim), life_ms=self._hold_life_ms())
        started = self._monotonic()
        intent = await self._intend(
            provider, account, batch.client_id, batch.owner, batch.body, batch.channel
        )
        if "deadline_ms" not in intent:
            log.warning("intent_refused", provider=provider.name, why=intent.get("refused", "stale"))
            return False
        effect = await self.post(provider, account, claim, batch.body, started=started, repeated=True)
        if _may_have(effect, repeated=True):
            await self._accounts.end_hold(account.key, claim.client_id, _pairs(claim), taken=True)
        return True

    async def _intend(
        self,
        provider: Provider,
        account: smsc_account.Account,
        client_id: str,
        owner: str,
        body: bytes,
        channel: str,
    ) -> dict[str, Any]:
        return await self._outbox.intend(
            provider.uid,
            op=str(ULID()),
            client_id=client_id,
            owner=owner,
            total_ms=self._settings.post_total_ms,
            margin_ms=self._settings.margin_ms,
            account_key=account.key,
            profile=account.profile.value,
            base_url=account.base_url,
            body=body,
            channel=channel,
        )

    async def post(
        self,
        provider: Provider,
        account: smsc_account.Account,
        claim: outbox.Claim,
        body: bytes,
        *,
        started: float,
        repeated: bool,
    ) -> effects.Effect:
        """`started`: monotonic seconds just before the intent was written."""

        def still_in_time() -> None:
            if self._monotonic() - started > self._settings.margin_ms / 1000:
                raise Frozen("stood still for longer than the margin; nothing was written")

        began = self._monotonic()
        answer = await self._client.send(account, body, before_first_byte=still_in_time)
        effect = effects.read(answer, self._context(provider, account, claim, repeated=repeated))
        if effect.said is Said.UNREACHABLE:
            effect.outcome["delay_ms"] = self._care.unreachable_delay_ms(account.key)
        self._measure(provider, claim, effect, self._monotonic() - began)
        balance = answer.balance if isinstance(answer, answers.Accepted) else None
        if not _may_have(effect, repeated=repeated):
            # First, or whoever claims what comes back at once would wait for our own hold. It ends by itself.
            with contextlib.suppress(errors.StoreAway):
                await self._accounts.end_hold(account.key, claim.client_id, _pairs(claim), taken=False)
        try:
            await self._write_outcome(provider, claim, effect)
            await self._care.learn(provider, account, effect, claim, balance=balance)
        except errors.StoreAway:
            # The effect is known all the same: what SMSC has taken must stay held apart.
            log.warning("batch_left", provider=provider.name, client_id=claim.client_id, code="StoreAway")
        return effect

    async def _write_outcome(self, provider: Provider, claim: outbox.Claim, effect: effects.Effect) -> None:
        """Until it is written; a store that is away for long leaves the batch to be settled by asking."""
        op = str(ULID())
        give_up = self._monotonic() + _OUTCOME_GIVE_UP_SECONDS
        tries = 0
        while True:
            try:
                written = await self._outbox.outcome(
                    provider.uid, op=op, client_id=claim.client_id, owner=claim.owner, outcome=effect.outcome
                )
            except errors.StoreAway:
                if self._monotonic() > give_up:
                    raise
                await asyncio.sleep(_STORE_RETRY_SECONDS[min(tries, len(_STORE_RETRY_SECONDS) - 1)])
                tries += 1
                continue
            if written.get("stale"):
                log.warning("outcome_late", provider=provider.name, result=effect.result)
            return

    def _context(
        self, provider: Provider, account: smsc_account.Account, claim: outbox.Claim, *, repeated: bool
    ) -> effects.Context:
        return effects.Context(
            profile=account.profile,
            channel=Channel(claim.group.channel),
            members=claim.members,
            prices=provider.prices,
            hold_ms=self._accounts.limits.hold_ms,
            repeated=repeated,
        )

    def _measure(
        self, provider: Provider, claim: outbox.Claim, effect: effects.Effect, seconds: float
    ) -> None:
        labels = (provider.namespace, provider.name)
        size = len(claim.members)
        self._metrics.batches.labels(*labels, claim.group.channel, effect.result).inc()
        self._metrics.batch_numbers.labels(*labels, claim.group.channel, effect.result).inc(size)
        self._metrics.batch_size.labels(*labels).observe(size)
        self._metrics.send_seconds.labels(*labels).observe(seconds)
        for estimated, roubles in effects.costs(effect).items():
            self._metrics.cost.labels(*labels, claim.group.channel, estimated).inc(float(roubles))
        if tracing.are_made():
            for member in claim.members:
                tracing.span(
                    tracing.Span.SEND, member.message_id, seconds=seconds, channel=claim.group.channel,
                    attempt=member.attempt, client_id=claim.client_id, numbers=size, result=effect.result,
                )  # fmt: skip

    async def _without_held_pairs(
        self, provider: Provider, account: smsc_account.Account, claim: outbox.Claim
    ) -> outbox.Claim:
        """(phone, text) pairs that another request carried just now wait until SMSC has forgotten them."""
        if not claim.members:
            return claim
        waits = await self._accounts.hold(
            account.key, claim.client_id, _pairs(claim), life_ms=self._hold_life_ms()
        )
        moves = [
            {"ref": member.ref, "delay_ms": wait + 50, "why": "same_text_just_sent"}
            for member, wait in zip(claim.members, waits, strict=True)
            if wait
        ]
        self._metrics.held_apart.labels(provider.namespace, provider.name).inc(len(moves))
        return await self._release(provider, claim, moves)

    def _hold_life_ms(self) -> int:
        """Of a hold whose end nobody tells: this process died with its POST under way."""
        return self._settings.post_total_ms + self._settings.margin_ms + self._accounts.limits.hold_ms

    async def _without_preferring_sms(self, provider: Provider, claim: outbox.Claim) -> outbox.Claim:
        """Numbers that prefer SMS leave a cascade that begins with Viber."""
        if (
            claim.split
            or claim.group.channel != Channel.VIBER
            or not provider.routing.learn_preferred_channel
        ):
            return claim
        if not claim.group.native_wait and not claim.group.valid_seconds:
            return claim  # Viber alone was asked for
        try:
            async with asyncio.timeout(self._settings.preference_timeout_seconds):
                known = await self._preferences.get_preferences(
                    provider.uid, [m.msisdn for m in claim.members]
                )
        except (errors.SmsbridgeError, TimeoutError):
            return claim
        moves = [
            self._to_sms(provider, claim, m) for m in claim.members if known.get(m.msisdn) is Channel.SMS
        ]
        return await self._release(provider, claim, moves)

    def _to_sms(self, provider: Provider, claim: outbox.Claim, member: outbox.Member) -> dict[str, Any]:
        legs = (cascade.Leg(Channel.SMS),)
        group = intake.group_of(provider, Lane(claim.group.lane), legs, 1, member.text)
        return {
            "ref": member.ref,
            "gid": group.gid,
            "gi": group.dump(),
            "ch": Channel.SMS.value,
            "legs": intake.dump_legs(legs),
            "nx": "0",
            "why": "prefers_sms",
        }

    async def _release(
        self, provider: Provider, claim: outbox.Claim, moves: list[dict[str, Any]]
    ) -> outbox.Claim:
        if not moves:
            return claim
        kept = await self._outbox.release(provider.uid, claim, moves)
        gone = frozenset(move["ref"] for move in moves)
        left = tuple(m for m in claim.members if m.ref not in gone) if kept else ()
        return replace(claim, members=left)


def _pairs(claim: outbox.Claim) -> list[tuple[str, str]]:
    """What is held apart: (phone, text) by channel. A cascade's SMS may follow its Viber message at once;
    should SMSC call it a duplicate all the same, it waits the hold out then.
    """
    return [(member.msisdn, f"{claim.group.channel}\0{member.text}") for member in claim.members]


def _may_have(effect: effects.Effect, *, repeated: bool) -> bool:
    """What SMSC refused as a whole it has not got: a split or a later try of it is no duplicate.

    A repeat that did not leave us says nothing of the first POST.
    """
    return effect.taken or (repeated and effect.outcome["kind"] == "back")


def _request(claim: outbox.Claim) -> wire.SendRequest:
    group = claim.group
    return wire.SendRequest(
        client_id=claim.client_id,
        numbers=tuple((member.msisdn, member.text) for member in claim.members),
        channel=Channel(group.channel),
        fallback_seconds=group.native_wait or None,
        valid_seconds=group.valid_seconds or None,
        sender_id=group.sender,
    )
