"""What the status role answers: it keeps what SMSC said, and tells where a message is. Plain logic, no gRPC.

Keeping is all that happens before an answer; applying follows in `applier`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from smsbridge.core import errors, msisdn
from smsbridge.core.delivery import MessageState
from smsbridge.core.provider import Provider
from smsbridge.rpc import errors as rpc_errors
from smsbridge.smsc import account as smsc_account
from smsbridge.status import story
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.ports import Providers
from smsbridge.status.report import By, Report, Reports
from smsbridge.store.account import Accounts
from smsbridge.store.delivery import Deliveries, FoundView, LedgerView, MessageView
from smsbridge.store.receipts import Parked, Receipt, Receipts, Recorded, Submission


@dataclass(frozen=True, slots=True)
class Found:
    """A message with what people ask about it."""

    provider: Provider
    message_id: str
    view: MessageView
    next_step: str
    headline: str = ""

    @property
    def state(self) -> MessageState:
        return MessageState(self.view.record["st"])


class StatusService:
    def __init__(
        self,
        *,
        receipts: Receipts,
        deliveries: Deliveries,
        providers: Providers,
        accounts: Accounts,
        reports: Reports,
        metrics: StatusMetrics,
        kept: Callable[[], None],
        watch_seconds: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`kept` is called when something new may be in an inbox."""
        self._receipts = receipts
        self._deliveries = deliveries
        self._providers = providers
        self._accounts = accounts
        self._reports = reports
        self._metrics = metrics
        self._kept = kept
        self._watch_seconds = watch_seconds
        self._sleep = sleep

    async def record_submissions(self, submissions: Sequence[tuple[str, Submission]]) -> None:
        """(account key, submission). A repeat changes nothing. Raises StoreAway."""
        by_account: dict[str, list[Submission]] = defaultdict(list)
        for account_key, submission in submissions:
            by_account[account_key].append(submission)
        moved = 0
        for account_key, found in by_account.items():
            moved += await self._receipts.index(account_key, found)
        if moved:
            self._kept()

    async def record_receipts(self, receipts: Sequence[tuple[str, Receipt]]) -> Recorded:
        """(account key, receipt). On disk when it returns. Raises StoreAway."""
        by_account: dict[str, list[Receipt]] = defaultdict(list)
        for account_key, receipt in receipts:
            by_account[account_key].append(receipt)
        total = Recorded()
        for account_key, found in by_account.items():
            total += await self._receipts.record(account_key, found)
        self._metrics.receipts.labels(result="matched").inc(total.matched)
        self._metrics.receipts.labels(result="repeated").inc(total.repeated)
        self._metrics.receipts.labels(result="parked").inc(total.parked)
        if total.matched or total.repeated:
            self._kept()
        return total

    async def savings_of_today(self) -> list[tuple[Provider, Decimal]]:
        """What cascades saved against SMS only, where that is known. Raises StoreAway."""
        found = [(each, await self._reports.savings_of_today(each)) for each in self._providers.all()]
        return [(provider, saved) for provider, saved in found if saved is not None]

    async def parked(self) -> Parked:
        """Raises StoreAway."""
        return await self._receipts.parked()

    async def message(self, message_id: str, provider_uid: str = "") -> Found:
        """Raises NotFound, StoreAway. Without a uid it is searched with all providers."""
        for provider in self._candidates(provider_uid):
            view = await self._deliveries.message(provider.uid, message_id)
            if view is not None:
                state = await self._accounts.state(smsc_account.of(provider.account).key)
                next_step = story.next_step(view, provider, state)
                return Found(provider, message_id, view, next_step, story.headline(view, provider, state))
        raise rpc_errors.NotFound("no provider knows a message of this id; it may be older than 15 days")

    async def find(self, phone: str, provider_uid: str = "") -> list[tuple[Provider, FoundView]]:
        """The newest messages to a number, newest first, at most twenty of a provider.

        `phone` is a full international number. Raises InputError, NotFound for a uid that is not registered,
        StoreAway.
        """
        number = msisdn.digits_only(phone)
        if not msisdn.is_msisdn(number):
            raise errors.InputError("must be a full international number", field="phone")
        found = [
            (provider, view)
            for provider in self._candidates(provider_uid)
            for view in await self._deliveries.find(provider.uid, number)
        ]
        return sorted(found, key=lambda pair: pair[1].accepted_at_ms, reverse=True)

    async def report(self, *, by: By, since: str, until: str, provider_uid: str = "") -> Report:
        """Removed providers count until they are erased. Raises InputError, NotFound, StoreAway."""
        return await self._reports.report(self._candidates(provider_uid), by=by, since=since, until=until)

    async def watch(self, message_id: str, provider_uid: str = "") -> AsyncIterator[Found]:
        """At once, at each change, and for the last time when it is final. Raises as `message` does."""
        last: object = None
        while True:
            found = await self.message(message_id, provider_uid)
            provider_uid = found.provider.uid
            seen = (dict(found.view.record), len(found.view.events), found.view.portal_wanted)
            if seen != last:
                last = seen
                yield found
            if found.state.final:
                return
            await self._sleep(self._watch_seconds)

    async def ledgers(self, provider_uid: str = "") -> list[tuple[Provider, LedgerView]]:
        """Raises NotFound for a uid that is not registered, StoreAway."""
        return [
            (provider, await self._deliveries.ledger(provider.uid))
            for provider in self._candidates(provider_uid)
        ]

    async def journalled(self) -> int:
        return await self._deliveries.journalled()

    def _candidates(self, provider_uid: str) -> list[Provider]:
        if not provider_uid:
            return self._providers.all()
        provider = self._providers.get(provider_uid)
        if provider is None:
            raise rpc_errors.NotFound("no provider is registered under this uid")
        return [provider]
