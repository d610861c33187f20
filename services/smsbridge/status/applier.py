"""Takes kept receipts from the accounts' inboxes and applies them to the providers' records, at least once.

What a receipt means is `verdict`'s business; that a repeat changes nothing, the store's.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from smsbridge.core.provider import Provider
from smsbridge.status import traces, verdict
from smsbridge.status.care import AccountCare
from smsbridge.status.metrics import StatusMetrics
from smsbridge.status.ports import Providers
from smsbridge.status.settings import StatusSettings
from smsbridge.store.delivery import Deliveries
from smsbridge.store.receipts import AttemptKey, InboxEntry, Receipts

_MOST = 200


class Applier:
    def __init__(
        self,
        settings: StatusSettings,
        *,
        receipts: Receipts,
        deliveries: Deliveries,
        providers: Providers,
        care: AccountCare,
        metrics: StatusMetrics,
    ) -> None:
        self._settings = settings
        self._receipts = receipts
        self._deliveries = deliveries
        self._providers = providers
        self._care = care
        self._metrics = metrics

    async def step(self) -> float | None:
        """Everything that is due in every inbox. 0 where more may be waiting."""
        full = [await self.drain(account_key) for account_key in await self._receipts.accounts()]
        return 0.0 if any(full) else None

    async def drain(self, account_key: str) -> bool:
        """One helping of an account's inbox; True where it was a full one."""
        entries = await self._receipts.take(account_key, most=_MOST)
        if entries:
            await self._apply_all(account_key, entries)
        return len(entries) == _MOST

    async def _apply_all(self, account_key: str, entries: Sequence[InboxEntry]) -> None:
        known: dict[str, list[tuple[InboxEntry, AttemptKey]]] = defaultdict(list)
        done, later = [], []
        for entry in entries:
            if entry.key is not None:
                known[entry.key.provider_uid].append((entry, entry.key))
            elif await self._without_phone(account_key, entry):
                done.append(entry.entry_id)
            else:
                later.append(entry.entry_id)
        await self._receipts.settle(
            account_key, done=done, later=later, delay_seconds=self._settings.incomplete_seconds
        )
        for uid, found in known.items():
            await self._apply(account_key, uid, found)
            await self._receipts.settle(account_key, done=[entry.entry_id for entry, _ in found])

    async def _apply(
        self, account_key: str, uid: str, found: Sequence[tuple[InboxEntry, AttemptKey]]
    ) -> None:
        provider = self._providers.get(uid)
        if provider is None:
            # Erased: nobody waits for it any more.
            self._metrics.receipt(None, verdict.CALLBACK, "gone", len(found))
            return
        verdicts = [_read(entry, key, provider) for entry, key in found]
        results = await self._deliveries.apply(uid, [item.change for item in verdicts])
        traces.receipts(verdicts, results)
        for result in results:
            self._metrics.receipt(provider, verdict.CALLBACK, result)
        for item, (_, key), result in zip(verdicts, found, results, strict=True):
            if not item.reading.known:
                self._metrics.unknown_codes.labels(profile=key.profile).inc()
            if result == "changed" and item.change.fell_back:
                self._metrics.fell_back.labels(provider.namespace, provider.name).inc()
            if result == "changed":  # a repeat is no news of the account
                await self._care.heed(account_key, provider, item.reading)

    async def _without_phone(self, account_key: str, entry: InboxEntry) -> bool:
        """Applies it where only one attempt can be meant, else sets off a question. False: too early."""
        by_uid: dict[str, list[AttemptKey]] = defaultdict(list)
        for key in entry.members:
            by_uid[key.provider_uid].append(key)
        open_keys: list[AttemptKey] = []
        sure = not entry.ask_only
        for uid, keys in by_uid.items():
            pairs = [(key.ref, key.client_id) for key in keys]
            state = await self._deliveries.open_attempts(uid, entry.receipt.smsc_id, pairs)
            shared = not all(key.own_id for key in keys)
            if shared and state.incomplete:
                return False
            sure = sure and not (shared and state.uncertain)
            open_keys += [key for key in keys if key.ref in state.refs]
        target = _meant(entry.members, open_keys, sure=sure)
        if target is None:
            self._metrics.receipt(self._only(by_uid), verdict.CALLBACK, "ambiguous")
            await self._ask(open_keys)
        else:
            await self._apply(account_key, target.provider_uid, [(entry, target)])
        return True

    def _only(self, uids: Collection[str]) -> Provider | None:
        """The provider it is of, where no other can be meant."""
        return self._providers.get(next(iter(uids))) if len(uids) == 1 else None

    async def _ask(self, open_keys: Sequence[AttemptKey]) -> None:
        for uid in {key.provider_uid for key in open_keys}:
            refs = [key.ref for key in open_keys if key.provider_uid == uid]
            await self._deliveries.ask_in(uid, refs, seconds=0, only_sooner=True)


def _meant(
    members: Sequence[AttemptKey], open_keys: Sequence[AttemptKey], *, sure: bool
) -> AttemptKey | None:
    """An id of one number's own names it; one that a batch shares does so only while one attempt is open."""
    if len(members) == 1 and members[0].own_id:
        return members[0]
    return open_keys[0] if sure and len(open_keys) == 1 else None


def _read(entry: InboxEntry, key: AttemptKey, provider: Provider) -> verdict.Verdict:
    receipt = entry.receipt
    said = verdict.Said(
        receipt.code, verdict.CALLBACK, receipt.err if receipt.err >= 0 else None, receipt.cost
    )
    return verdict.read(
        said,
        message_id=key.message_id,
        attempt=key.attempt,
        profile=key.profile,
        channel=key.channel,
        provider=provider,
    )
