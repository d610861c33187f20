"""Asks status.php about attempts that got no receipt: 60 s after acceptance, then doubling, until they close.

Each question is counted in the store before it is made and needs a permit of its account. What the answers
mean is `verdict`'s business.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile, Provider
from smsbridge.smsc import account as smsc_account
from smsbridge.smsc import answers
from smsbridge.smsc import errors as smsc_errors
from smsbridge.smsc.client import SmscClient
from smsbridge.status import traces, verdict
from smsbridge.status.care import AccountCare
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.ports import Providers
from smsbridge.status.settings import StatusSettings
from smsbridge.store.account import Accounts, NoPermit
from smsbridge.store.delivery import Deliveries, Poll


class Poller:
    def __init__(
        self,
        settings: StatusSettings,
        *,
        deliveries: Deliveries,
        providers: Providers,
        accounts: Accounts,
        client: SmscClient,
        care: AccountCare,
        metrics: StatusMetrics,
    ) -> None:
        self._settings = settings
        self._deliveries = deliveries
        self._providers = providers
        self._accounts = accounts
        self._client = client
        self._care = care
        self._metrics = metrics

    async def step(self) -> float | None:
        """One helping of every provider. 0 where more is due."""
        if await self._care.stopped_seconds() > 0:
            return None
        overdue = [await self.ask_due(provider) for provider in self._providers.all()]
        return 0.0 if any(overdue) else None

    async def ask_due(self, provider: Provider) -> bool:
        """Asks about what is due; True where more of this provider is."""
        settings = self._settings
        taken = await self._deliveries.take_polls(
            provider.uid, most=settings.poll_most, lease_seconds=settings.poll_lease_seconds
        )
        if taken.closed:
            labels = {"namespace": provider.namespace, "provider": provider.name}
            self._metrics.closed.labels(**labels).inc(taken.closed)
        groups: dict[tuple[str, str], list[Poll]] = defaultdict(list)
        for poll in taken.polls:
            groups[poll.account_key, poll.profile].append(poll)
        for (account_key, profile), polls in groups.items():
            account = self._account(provider, account_key, Profile(profile))
            if account is None:
                # Its login left the registry; receipts may still come, and it closes in time.
                self._metrics.questions.labels(result="no_account").inc()
                await self._later(provider, polls, seconds=self._deliveries.longest_poll_seconds)
            else:
                await self._ask(provider, account, polls)
        return taken.overdue > 0

    def _account(self, provider: Provider, account_key: str, profile: Profile) -> smsc_account.Account | None:
        """The account an attempt was sent by, spoken to as it was then."""
        for candidate in (provider, *self._providers.all()):
            account = smsc_account.of(candidate.account)
            if account.key == account_key:
                return replace(account, profile=profile)
        return None

    async def _ask(self, provider: Provider, account: smsc_account.Account, polls: Sequence[Poll]) -> None:
        pause = self._settings.poll_refused_seconds
        result = "answered"
        try:
            async with self._accounts.permit(
                account.key, "status", seconds=self._settings.poll_permit_seconds
            ):
                polls = await self._allowed(provider, account, polls)
                found = await self._client.status(account, [_pair(poll) for poll in polls])
        except NoPermit as refusal:
            result, pause = "no_permit", refusal.wait_ms / 1000
        except smsc_errors.SmscRejected as refusal:
            result = "refused"
            await self._care.refused(account.key, provider, refusal)
        except smsc_errors.SmscAway:
            result = "away"
        self._metrics.questions.labels(result=result).inc()
        if result != "answered":
            await self._later(provider, polls, seconds=pause)
            return
        await self._apply(account.key, provider, list(zip(polls, found, strict=True)))

    async def _allowed(
        self, provider: Provider, account: smsc_account.Account, polls: Sequence[Poll]
    ) -> Sequence[Poll]:
        """Those that may be asked now; SMSC allows five questions a minute for one message."""
        may = await self._accounts.may_ask(account.key, [_pair(poll) for poll in polls])
        too_often = [poll for poll, allowed in zip(polls, may, strict=True) if not allowed]
        if too_often:
            self._metrics.questions.labels(result="too_often").inc()
            await self._later(provider, too_often, seconds=self._settings.poll_refused_seconds)
        return [poll for poll, allowed in zip(polls, may, strict=True) if allowed]

    async def _later(self, provider: Provider, polls: Sequence[Poll], *, seconds: float) -> None:
        if polls:
            await self._deliveries.ask_in(provider.uid, [poll.ref for poll in polls], seconds=seconds)

    async def _apply(
        self, account_key: str, provider: Provider, found: Sequence[tuple[Poll, answers.StatusAnswer]]
    ) -> None:
        verdicts = [_read(poll, answer, provider) for poll, answer in found]
        results = await self._deliveries.apply(provider.uid, [item.change for item in verdicts])
        traces.receipts(verdicts, results)
        for item, result in zip(verdicts, results, strict=True):
            word = "not_found" if item.reading.not_found else result
            self._metrics.receipt(provider, verdict.STATUS, word)
            if result == "changed":
                await self._care.heed(account_key, provider, item.reading)
        for (poll, _), item in zip(found, verdicts, strict=True):
            if not item.reading.known:
                self._metrics.unknown_codes.labels(profile=poll.profile).inc()


def _pair(poll: Poll) -> tuple[str, str]:
    """An id that the batch shares may be missing where the batch was adopted: then ours is it."""
    return poll.smsc_id or poll.client_id, poll.msisdn


def _read(poll: Poll, answer: answers.StatusAnswer, provider: Provider) -> verdict.Verdict:
    said = verdict.Said(
        answer.code, verdict.STATUS, answer.err, str(answer.cost) if answer.cost is not None else ""
    )
    return verdict.read(
        said,
        message_id=poll.message_id,
        attempt=poll.attempt,
        profile=Profile(poll.profile),
        channel=Channel(poll.channel),
        provider=provider,
    )
