"""What a provider needs beside sending: leases, validity, held messages, removal, and telling status.

Each step is safe to run in every replica at once.
"""

import structlog
from ulid import ULID

from smsbridge.api.v1 import status_pb2
from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Channel, Lane, Reason
from smsbridge.core.provider import Provider
from smsbridge.rpc import clients, enums
from smsbridge.sender import effects, service
from smsbridge.sender.metrics import SenderMetrics
from smsbridge.store import outbox
from smsbridge.store.installations import Installations

log = structlog.get_logger()

_TELL_AT_ONCE = 200
_FAIL_LEASE_MS = 10_000


class Upkeep:
    def __init__(
        self,
        *,
        outbox_: outbox.Outbox,
        installations: Installations,
        status: clients.StatusClient,
        metrics: SenderMetrics,
    ) -> None:
        self._outbox = outbox_
        self._installations = installations
        self._status = status
        self._metrics = metrics

    async def reap(self, provider: Provider) -> None:
        """What outlived its lease goes back, what outlived its validity ends."""
        found = await self._outbox.reap(provider.uid)
        if found["reaped"]:
            log.warning(
                "claims_put_back", namespace=provider.namespace, provider=provider.name, count=found["reaped"]
            )
        if provider.removed:
            await self._fail_waiting(provider)

    async def _fail_waiting(self, provider: Provider) -> None:
        """A removed provider sends nothing more; what waits, also later legs of cascades, fails."""
        for lane in Lane:
            while claim := await self._claim(provider, lane):
                outcome = {
                    "kind": "fail",
                    "reason": Reason.PROVIDER_REMOVED.value,
                    "text": "",
                    "code": 0,
                    "ids": effects.new_ids(),
                }
                await self._outbox.outcome(
                    provider.uid,
                    op=str(ULID()),
                    client_id=claim.client_id,
                    owner=claim.owner,
                    outcome=outcome,
                )
        for message_id in await self._outbox.some_in(provider.uid, MessageState.HELD.value, 500):
            await self._outbox.cancel(
                provider.uid,
                message_id,
                state=MessageState.FAILED.value,
                reason=Reason.PROVIDER_REMOVED.value,
            )

    async def _claim(self, provider: Provider, lane: Lane) -> outbox.Claim | None:
        op = str(ULID())
        found = await self._outbox.claim(
            provider.uid, op=op, lane=lane, owner=op, lease_ms=_FAIL_LEASE_MS, client_id=op, most=100
        )
        return found if isinstance(found, outbox.Claim) else None

    async def compare_held(self, provider: Provider) -> bool:
        """True where one was released. One whose token is still foreign after its time is refused."""
        released, passed = False, 0
        while held := await self._outbox.held(provider.uid, offset=passed):
            installation = await self._installations.for_provider(provider)
            known = self._installations.application_token_digests(installation) if installation else ()
            for item in held:
                if item["digest"] in known:
                    released |= await self._outbox.unhold(provider.uid, item["mid"])
                elif not (item["due"] and await self._refuse_token(provider, item["mid"])):
                    passed += 1  # those that stay must not hide the ones behind them
        return released

    async def _refuse_token(self, provider: Provider, message_id: str) -> bool:
        answer = await self._outbox.cancel(
            provider.uid, message_id, state=MessageState.FAILED.value, reason=Reason.TOKEN_REFUSED.value
        )
        return bool(answer.get("done"))

    async def tell(self, provider: Provider) -> float | None:
        """Tells status what SMSC accepted; at least once, and again until it is answered."""
        found = await self._outbox.submissions(provider.uid, _TELL_AT_ONCE)
        if not found:
            return None
        submissions = [_submission(provider, fields) for fields in found.values()]
        await self._status.record_submissions(submissions)
        await self._outbox.submissions_told(provider.uid, found)
        return 0.0

    def measure(self, queue: service.Queue) -> None:
        labels = (queue.provider.namespace, queue.provider.name)
        for depth in queue.lanes:
            self._metrics.queue_depth.labels(*labels, depth.lane).set(depth.waiting)
            self._metrics.oldest.labels(*labels, depth.lane).set(depth.oldest_age_ms / 1000)
        self._metrics.uncertain.labels(*labels).set(queue.uncertain)
        holds = "" if queue.provider.removed else queue.pause_reason  # what waits there fails
        for reason in ("paused", "login", "money", "blocked", "bad_requests"):
            self._metrics.paused.labels(*labels, reason).set(1 if holds == reason else 0)


def _submission(provider: Provider, fields: dict[str, object]) -> status_pb2.Submission:
    """From the JSON that store/prelude_batch.lua keeps; its names are the message's."""
    channel = enums.CHANNEL.to_proto(Channel(str(fields.pop("channel"))))
    return status_pb2.Submission(provider_uid=provider.uid, channel=channel, **fields)  # type: ignore[arg-type]
