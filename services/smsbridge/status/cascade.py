"""Looks after what time brings: legs whose wait is over, forbidden messages, and the two outboxes.

The store decides which leg follows; here the sender is told of it and hlr of what was learnt, at least once
each.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog

from smsbridge.api.v1 import hlr_pb2, sender_pb2, types_pb2
from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.rpc import enums
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.ports import Providers
from smsbridge.store.delivery import Deliveries, Learned, Plan

log = structlog.get_logger()


class Sender(Protocol):
    async def submit(
        self, messages: Sequence[sender_pb2.OutgoingMessage]
    ) -> Sequence[sender_pb2.SubmitAnswer]: ...


class Hlr(Protocol):
    async def learn_channel(self, learned: Sequence[hlr_pb2.LearnedChannel]) -> None: ...


_TAKEN = frozenset(
    {
        sender_pb2.SUBMIT_RESULT_ACCEPTED,
        sender_pb2.SUBMIT_RESULT_DUPLICATE,
        sender_pb2.SUBMIT_RESULT_FAILED,
        sender_pb2.SUBMIT_RESULT_HELD,
    }
)
_REFUSED = sender_pb2.SUBMIT_RESULT_REFUSED
# A sender that has just started may not have read the registry yet: the leg waits.
_UNKNOWN = sender_pb2.SUBMIT_RESULT_UNKNOWN_PROVIDER


class Cascade:
    def __init__(
        self,
        *,
        deliveries: Deliveries,
        providers: Providers,
        sender: Sender,
        hlr: Hlr,
        metrics: StatusMetrics,
    ) -> None:
        self._deliveries = deliveries
        self._providers = providers
        self._sender = sender
        self._hlr = hlr
        self._metrics = metrics

    async def step(self) -> None:
        """Once over all providers. An owner who is away holds up nobody else's outbox."""
        away: errors.Away | None = None
        for provider in self._providers.all():
            tick = await self._deliveries.tick(provider.uid)
            try:
                await self._hand_over(provider, tick.plans)
                await self._teach(provider, tick.learned)
            except errors.StoreAway:
                raise
            except errors.Away as error:
                away = error
        if away is not None:
            raise away

    async def _hand_over(self, provider: Provider, plans: Sequence[Plan]) -> None:
        if not plans:
            return
        answers = await self._sender.submit([_next_leg(provider, plan) for plan in plans])
        done = []
        for plan, answer in zip(plans, answers, strict=True):
            if answer.result in _TAKEN:
                self._metrics.legs.labels(namespace=provider.namespace, provider=provider.name).inc()
                done.append((plan.ref, True))
            elif answer.result == _REFUSED or (answer.result == _UNKNOWN and provider.removed):
                log.warning("next_leg_refused", provider=provider.name, reason=answer.reason)
                done.append((plan.ref, False))
        await self._deliveries.told(provider.uid, plans=done)

    async def _teach(self, provider: Provider, learned: Sequence[Learned]) -> None:
        if not learned:
            return
        await self._hlr.learn_channel([_lesson(provider, item) for item in learned])
        await self._deliveries.told(provider.uid, learned=learned)


def _next_leg(provider: Provider, plan: Plan) -> sender_pb2.OutgoingMessage:
    """It refers to a message that the sender has: text, recipient and channel are there."""
    return sender_pb2.OutgoingMessage(
        provider_uid=provider.uid,
        message_id=plan.message_id,
        attempt=plan.attempt,
        origin=types_pb2.ORIGIN_SERVICE,  # must be named; the message's own is in the store
    )


def _lesson(provider: Provider, item: Learned) -> hlr_pb2.LearnedChannel:
    return hlr_pb2.LearnedChannel(
        provider_uid=provider.uid,
        msisdn=item.msisdn,
        channel=enums.CHANNEL.to_proto(item.channel),
        learned_at_ms=item.at_ms,
    )
