"""Brings messages to where SMSC has accepted them, through the sender's own doors to the store."""

import time
from collections.abc import Iterable

from smsbridge.core.message import Channel, Origin
from smsbridge.core.provider import Profile, Provider
from smsbridge.sender import effects, intake
from smsbridge.smsc import account as smsc_account
from smsbridge.status import verdict
from smsbridge.store import connection, delivery, outbox, receipts, tags
from tests.store import messages


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Journey:
    """One provider's messages. `own`: SMSC gives each number an id of its own. `cost`: what it says that one
    costs; without it the provider's prices stand.
    """

    def __init__(
        self, store: connection.Store, provider: Provider, *, own: bool = False, cost: str = ""
    ) -> None:
        self.store = store
        self.provider = provider
        self.own = own
        self.cost = cost
        self.account_key = smsc_account.of(provider.account).key
        self.box = outbox.Outbox(store)
        self.deliveries = delivery.Deliveries(store)
        self.receipts = receipts.Receipts(store)
        self._claims = 0

    @property
    def uid(self) -> str:
        return self.provider.uid

    async def accepted(self, numbers: Iterable[int], **changes: object) -> list[str]:
        """Takes messages; answers their ids."""
        fields = {"origin": Origin.CARD, "accepted_at_ms": now_ms(), "provider_uid": self.uid, **changes}
        new = [
            intake.prepare(messages.outgoing(n, **fields), self.provider, default_region="RU")
            for n in numbers
        ]
        await self.box.accept(self.uid, new)
        return [item.mid for item in new]

    async def sent(self, numbers: Iterable[int], **changes: object) -> list[str]:
        """Takes messages and has SMSC accept them; the ids are as `smsc_id` tells."""
        taken = await self.accepted(numbers, **changes)
        await self.pump()
        return taken

    async def pump(self, *, lane: str = "interactive", profile: Profile | None = None) -> list[outbox.Claim]:
        """Sends whatever is due; SMSC accepts all of it."""
        found = []
        while True:
            self._claims += 1
            op = f"cid{self._claims}"
            claim = await self.box.claim(
                self.uid, op=op, lane=lane, owner=op, lease_ms=45_000, client_id=op, most=100
            )
            if isinstance(claim, int):
                return found
            await self._send(claim, profile or self.provider.account.profile)
            found.append(claim)

    async def _send(self, claim: outbox.Claim, profile: Profile) -> None:
        cid = claim.client_id
        answer = await self.box.intend(
            self.uid,
            op=f"{cid}-i",
            client_id=cid,
            owner=claim.owner,
            total_ms=20_000,
            margin_ms=10_000,
            account_key=self.account_key,
            profile=profile.value,
            base_url="http://127.0.0.1:1",
            body=b"phones=1",
            channel=claim.group.channel,
        )
        assert "deadline_ms" in answer
        prices = effects.priced(self.provider.prices, Channel(claim.group.channel))
        accepted = [
            {
                "ref": m.ref,
                "sid": self.smsc_id(m.ref, cid),
                "own": self.own,
                "cnt": 1,
                "cost": self.cost,
                "est": False,
                **prices,
            }
            for m in claim.members
        ]
        outcome = {"kind": "accepted", "members": accepted, "refused": [], "missing": [], "ids": ["x1", "x2"]}
        await self.box.outcome(self.uid, op=f"{cid}-o", client_id=cid, owner=claim.owner, outcome=outcome)

    def smsc_id(self, ref: str, client_id: str) -> str:
        return f"own-{ref[:32].lstrip('0')}-{ref[-1]}" if self.own else client_id

    async def submissions(self) -> list[receipts.Submission]:
        """What the sender has to tell status now."""
        return [self._submission(item) for item in (await self._untold()).values()]

    async def told(self) -> None:
        """Status has them all."""
        refs = list(await self._untold())
        if refs:
            await self.box.submissions_told(self.uid, refs)

    async def _untold(self) -> dict[str, dict[str, object]]:
        return await self.box.submissions(self.uid, 100_000)

    def _submission(self, item: dict[str, object]) -> receipts.Submission:
        key = receipts.AttemptKey(
            provider_uid=self.uid,
            message_id=str(item["message_id"]),
            attempt=int(str(item["attempt"])),
            own_id=bool(item["own_id"]),
            client_id=str(item["client_id"]),
            profile=Profile(str(item["profile"])),
            channel=Channel(str(item["channel"])),
            native_cascade=bool(item["native_cascade"]),
        )
        return receipts.Submission(str(item["smsc_id"]), str(item["msisdn"]), key)

    async def index(self) -> list[receipts.Submission]:
        told = await self.submissions()
        await self.receipts.index(self.account_key, told)
        await self.told()
        return told

    async def say(
        self, mid: str, code: int, *, attempt: int = 1, err: int | None = None, source: str = verdict.CALLBACK
    ) -> str:
        """SMSC says `code` of an attempt; answers what it did."""
        view = await self.message(mid)
        change = verdict.read(
            verdict.Said(code, source, err),
            message_id=mid,
            attempt=attempt,
            profile=Profile(view.of_attempt(attempt, "prof")),
            channel=Channel(view.of_attempt(attempt, "ch")),
            provider=self.provider,
        ).change
        return (await self.deliveries.apply(self.uid, [change]))[0]

    async def message(self, mid: str) -> delivery.MessageView:
        view = await self.deliveries.message(self.uid, mid)
        assert view is not None
        return view

    async def state(self, mid: str) -> str:
        return (await self.message(mid)).record["st"]

    async def attempts(self, mid: str) -> list[str]:
        view = await self.message(mid)
        return [view.of_attempt(n, "st") for n in range(1, view.attempts + 1)]

    async def story(self, mid: str) -> list[str]:
        return [event["what"] for event in (await self.message(mid)).events]

    async def time_passes(self, *sets: str) -> None:
        """Everything in these sorted sets of the provider is due now."""
        for name in sets:
            key = tags.provider(self.uid) + name
            members = await self.store.redis.zrange(key, 0, -1)
            if members:
                await self.store.redis.zadd(key, dict.fromkeys(members, 0))

    async def closes(self, mid: str, *, attempt: int = 1) -> None:
        """The attempt's close time has come."""
        await self.store.redis.hset(f"{tags.provider(self.uid)}m:{mid}", f"a{attempt}:close", 1)
        await self.time_passes("poll")
