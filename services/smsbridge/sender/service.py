"""What the sender answers: takes messages, takes one back, describes the queue. No sending here."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from smsbridge.core import errors
from smsbridge.core.delivery import MessageState
from smsbridge.core.message import Lane, Reason
from smsbridge.core.provider import Provider
from smsbridge.rpc.enums import Submitted
from smsbridge.rpc.message import Outgoing
from smsbridge.runtime import tracing
from smsbridge.sender import intake
from smsbridge.sender.settings import SenderSettings
from smsbridge.smsc import account as smsc_account
from smsbridge.store import account as store_account
from smsbridge.store import outbox
from smsbridge.store.registry import RegistryView

_TAKEN = {
    "accepted": Submitted.ACCEPTED,
    "held": Submitted.HELD,
    "failed": Submitted.FAILED,
    "duplicate": Submitted.DUPLICATE,
}


class TooLate(errors.Refused):
    """The message is on its way or final: it cannot be taken back."""

    code = "TooLate"


@dataclass(frozen=True, slots=True)
class Answer:
    result: Submitted
    message_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LaneDepth:
    lane: Lane
    waiting: int
    oldest_age_ms: int


@dataclass(frozen=True, slots=True)
class Queue:
    provider: Provider
    lanes: tuple[LaneDepth, ...]
    held: int
    sending: int
    uncertain: int
    account: store_account.AccountState
    pause_reason: str


class SenderService:
    def __init__(
        self,
        settings: SenderSettings,
        *,
        registry: RegistryView,
        outbox_: outbox.Outbox,
        accounts: store_account.Accounts,
        stopped_for: Callable[[], Awaitable[str]],
        full: Callable[[], bool],
        taken: Callable[[Provider, Lane], None],
    ) -> None:
        """`stopped_for`: why nothing may leave this egress; `full`: True while the store is too full to
        accept; `taken`: called for what now waits.
        """
        self._stopped_for = stopped_for
        self._settings = settings
        self._registry = registry
        self._outbox = outbox_
        self._accounts = accounts
        self._full = full
        self._taken = taken

    async def submit(self, messages: Sequence[Outgoing]) -> list[Answer]:
        """In their order. Answers but REFUSED, UNKNOWN_PROVIDER and UNAVAILABLE mean that it is on disk."""
        answers: list[Answer] = [Answer(Submitted.UNAVAILABLE)] * len(messages)
        if self._full():
            return answers
        by_provider: dict[str, list[int]] = defaultdict(list)
        for index, message in enumerate(messages):
            by_provider[message.provider_uid].append(index)
        for uid, indexes in by_provider.items():
            provider = self._registry.get(uid)
            found = await self._submit_to(provider, [messages[i] for i in indexes])
            for index, answer in zip(indexes, found, strict=True):
                answers[index] = answer
        return answers

    async def _submit_to(self, provider: Provider | None, messages: Sequence[Outgoing]) -> list[Answer]:
        if provider is None:
            return [Answer(Submitted.UNKNOWN_PROVIDER)] * len(messages)
        try:
            return await self._submit_known(provider, messages)
        except errors.StoreAway:
            return [Answer(Submitted.UNAVAILABLE)] * len(messages)

    async def _submit_known(self, provider: Provider, messages: Sequence[Outgoing]) -> list[Answer]:
        answers: list[Answer] = [Answer(Submitted.REFUSED, reason="no message_id and no key")] * len(messages)
        fresh: list[tuple[int, outbox.NewMessage]] = []
        for index, message in enumerate(messages):
            if message.attempt > 1:
                answers[index] = await self._next_leg(provider, message)
            elif "|" in message.message_id:  # it stands between id and attempt in the store
                answers[index] = Answer(Submitted.REFUSED, message.message_id, "no such message_id")
            elif message.message_id or message.dedupe_key:
                prepared = intake.prepare(message, provider, default_region=self._settings.default_region)
                if provider.removed:  # it came through the door before: the portal is told what became of it
                    prepared = replace(prepared, fail=Reason.PROVIDER_REMOVED.value)
                fresh.append((index, prepared))
        if fresh:
            results = await self._outbox.accept(provider.uid, [item for _, item in fresh])
            for (index, item), result in zip(fresh, results, strict=True):
                answers[index] = Answer(_TAKEN[result], item.mid, item.fail if result == "failed" else "")
            _trace(provider, fresh, results)
        for lane in {Lane(item.lane) for _, item in fresh}:
            self._taken(provider, lane)
        return answers

    async def _next_leg(self, provider: Provider, message: Outgoing) -> Answer:
        """A cascade's later attempt; its number, text and legs are in the store already."""
        record = await self._outbox.message(provider.uid, message.message_id)
        if not record:
            return Answer(Submitted.REFUSED, message.message_id, "no such message")
        legs = intake.load_legs(record["legs"])
        if message.attempt > len(legs):
            return Answer(Submitted.REFUSED, message.message_id, "no such leg")
        lane = Lane(record["lane"])
        text = await self._outbox.text(provider.uid, record["th"])
        group = intake.group_of(provider, lane, legs, message.attempt, text)
        result = await self._outbox.accept_next(provider.uid, message.message_id, message.attempt, group)
        self._taken(provider, lane)
        return Answer(_TAKEN.get(result, Submitted.REFUSED), message.message_id)

    async def cancel(self, uid: str, message_id: str) -> MessageState:
        """Raises InputError where nobody knows the message, TooLate once it is on its way."""
        answer = await self._outbox.cancel(
            uid, message_id, state=MessageState.CANCELLED.value, reason=Reason.CANCELLED.value
        )
        if answer.get("unknown"):
            raise errors.InputError("no message has this id", field="message_id")
        if not answer["done"]:
            raise TooLate(f"it is {answer['state']} already and cannot be taken back")
        return MessageState.CANCELLED

    async def describe(self, uid: str = "") -> list[Queue]:
        """Of one provider, or of all."""
        found = [p for p in self._registry.all() if not uid or p.uid == uid]
        return [await self._describe(provider) for provider in found]

    async def _describe(self, provider: Provider) -> Queue:
        raw = await self._outbox.describe(provider.uid)
        account = await self._accounts.state(smsc_account.of(provider.account).key)
        stopped = await self._stopped_for()
        lanes = tuple(
            LaneDepth(lane, raw[lane.value]["waiting"], raw[lane.value]["oldest_age_ms"]) for lane in Lane
        )
        return Queue(
            provider=provider,
            lanes=lanes,
            held=raw["held"],
            sending=raw["sending"],
            uncertain=raw["uncertain"],
            account=account,
            pause_reason="paused" if provider.paused else account.pause or stopped,
        )


def _trace(
    provider: Provider, fresh: Sequence[tuple[int, outbox.NewMessage]], results: Sequence[str]
) -> None:
    """The root of each new message's spans: from the door until it is kept."""
    if not tracing.are_made():
        return
    now = time.time()
    for (_, item), result in zip(fresh, results, strict=True):
        if result != "duplicate":
            tracing.span(
                tracing.Span.MESSAGE, item.mid, seconds=now - item.acc / 1000, result=result,
                namespace=provider.namespace, provider=provider.name, origin=item.org, lane=item.lane,
            )  # fmt: skip
