"""Leaves out of a claimed batch whom it is no use to send to, as look-ups told: `hlr.beforeSend`.

hlr gets 200 ms. An interactive message never waits for it, and a number that nobody knows is sent to.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from smsbridge.core import errors, text
from smsbridge.core.message import Channel, Lane
from smsbridge.core.number import Facts
from smsbridge.core.provider import Provider
from smsbridge.provisioning.spec import BeforeSend, HlrSection
from smsbridge.sender import effects, verdicts
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.sender.settings import SenderSettings
from smsbridge.store import outbox


class Numbers(Protocol):
    """As much of hlr as is asked here."""

    async def describe(
        self, provider_uid: str, msisdns: Sequence[str], *, timeout_seconds: float | None = None
    ) -> list[Facts]: ...

    async def lookup(
        self,
        provider_uid: str,
        msisdns: Sequence[str],
        *,
        wait_seconds: float = 0.0,
        timeout_seconds: float | None = None,
    ) -> list[Facts]: ...


class Checking:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        outbox_: outbox.Outbox,
        numbers: Numbers,
        rules: Callable[[str], HlrSection],
        metrics: SenderMetrics,
    ) -> None:
        """`rules`: how a provider, by its uid, wants its numbers looked up."""
        self._settings = settings
        self._outbox = outbox_
        self._numbers = numbers
        self._rules = rules
        self._metrics = metrics

    async def check(self, provider: Provider, claim: outbox.Claim) -> outbox.Claim:
        """The claim with those who are to be sent to now. Raises StoreAway."""
        rules = self._rules(provider.uid)
        if rules.before_send is BeforeSend.NEVER or claim.split or not claim.members:
            return claim
        lane = Lane(claim.group.lane)
        looks = rules.before_send is BeforeSend.ALWAYS and lane is Lane.BULK
        facts = await self._ask(provider, [m for m in claim.members if m.looked_ms >= 0], buys=looks)
        skip = rules.skip_unavailable
        if looks:
            found = verdicts.judge(claim.members, facts, skip_unavailable=skip, settings=self._settings)
        else:
            found = verdicts.Verdicts(
                verdicts.left_out(claim.members, facts, lane=lane, skip_unavailable=skip)
            )
        return await self._apply(provider, claim, found)

    async def _ask(
        self, provider: Provider, members: Sequence[outbox.Member], *, buys: bool
    ) -> dict[str, Facts]:
        """By MSISDN; empty where hlr did not answer in time."""
        msisdns = [member.msisdn for member in members]
        if not msisdns:
            return {}
        seconds = self._settings.preference_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                if buys:
                    found = await self._numbers.lookup(
                        provider.uid, msisdns, wait_seconds=seconds / 4, timeout_seconds=seconds
                    )
                else:
                    found = await self._numbers.describe(provider.uid, msisdns, timeout_seconds=seconds)
        except (errors.SmsbridgeError, TimeoutError):
            if not buys:  # who waits for a look-up is counted when the wait is over
                labels = (provider.namespace, provider.name, verdicts.HLR_AWAY)
                self._metrics.unchecked.labels(*labels).inc(len(msisdns))
            return {}
        return {one.msisdn: one for one in found}

    async def _apply(self, provider: Provider, claim: outbox.Claim, found: verdicts.Verdicts) -> outbox.Claim:
        gone = {member.ref for member, _ in found.left_out}
        if found.left_out or found.unchecked:
            left_out = [{"ref": member.ref, "reason": reason.value} for member, reason in found.left_out]
            if not await self._outbox.checked(
                provider.uid, claim, left_out=left_out, unchecked=found.unchecked
            ):
                return replace(claim, members=())
            self._count(provider, claim, found)
        if found.waits:
            if not await self._outbox.release(provider.uid, claim, found.waits):
                return replace(claim, members=())
            gone |= {move["ref"] for move in found.waits}
        return replace(claim, members=tuple(m for m in claim.members if m.ref not in gone))

    def _count(self, provider: Provider, claim: outbox.Claim, found: verdicts.Verdicts) -> None:
        labels = (provider.namespace, provider.name)
        for note in found.unchecked:
            self._metrics.unchecked.labels(*labels, note["why"]).inc()
        for member, reason in found.left_out:
            self._metrics.left_out.labels(*labels, reason.value).inc()
            self._save(provider, claim, member)

    def _save(self, provider: Provider, claim: outbox.Claim, member: outbox.Member) -> None:
        """What the message would have cost, by the provider's own price list."""
        channel = Channel(claim.group.channel)
        parts = text.segments(member.text) if channel is Channel.SMS else 1
        saved = effects.estimate(provider.prices, channel, parts)
        if saved:
            self._metrics.saved.labels(provider.namespace, provider.name).inc(float(saved))
