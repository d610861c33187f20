"""Verifications as those see them who start, confirm, watch and end them. Works at none itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal

from ulid import ULID

from smsbridge.core import errors, msisdn
from smsbridge.core.number import Reachability
from smsbridge.core.provider import Provider
from smsbridge.core.verification import NEEDS_QUOTE, Progress, Source, State, Verification
from smsbridge.hlr.settings import VerificationSettings
from smsbridge.provisioning import sections
from smsbridge.rpc.errors import NotFound
from smsbridge.smsc import account as smsc_account
from smsbridge.store.lookups import Lookups, Spending
from smsbridge.store.verifications import Record, Verifications

_RATE_AFTER_SECONDS = 1.0  # a rate of less time than this says nothing


class VerificationService:
    """`wake`: somebody may work at one now."""

    def __init__(
        self,
        settings: VerificationSettings,
        *,
        verifications: Verifications,
        spending: Lookups,
        entries: sections.Entries,
        wake: Callable[[], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._verifications = verifications
        self._spending = spending
        self._entries = entries
        self._wake = wake
        self._wall = wall

    @property
    def most_numbers(self) -> int:
        return self._settings.most_numbers

    async def start(self, uid: str, source: Source, msisdns: Sequence[str]) -> Verification:
        """Raises InputError, NotFound and StoreAway."""
        provider = self._provider(uid)
        if source.entity is not None and msisdns:
            raise errors.InputError("takes no numbers beside entities of the CRM", field="numbers")
        if source.entity is None:
            self._check(source, msisdns)
        made = str(ULID())
        await self._verifications.make(uid, made, source, list(dict.fromkeys(msisdns)))
        self._wake()
        return await self._view(provider, await self._record(uid, made))

    async def confirm(self, id: str, *, uid: str = "", roubles: Decimal | None = None) -> Verification:
        """Raises NotFound, Refused and StoreAway."""
        provider, record = await self._find(id, uid)
        if record.state in {State.RUNNING, State.DONE}:
            return await self._view(provider, record)
        if record.state is not State.QUOTED or record.quote is None:
            raise errors.Refused(f"it has no quote to be confirmed: it is {record.state.value}")
        quoted = record.quote.roubles
        if roubles is not None and roubles != quoted:
            raise errors.Refused(f"its quote is {quoted:f} roubles, not {roubles:f}; look at it again")
        found = await self._spent(provider, record)
        allowed = found.spent + found.reserved + quoted
        if not await self._verifications.confirm(provider.uid, id, roubles=quoted, allowed=allowed):
            raise errors.Refused("it was changed at the same time; look at it again")
        self._wake()
        return await self._view(provider, await self._record(provider.uid, id))

    async def get(self, id: str, *, uid: str = "") -> Verification:
        """Raises NotFound and StoreAway."""
        return await self._view(*await self._find(id, uid))

    async def watch(self, id: str, *, uid: str = "") -> AsyncIterator[Verification]:
        """Now and at each change, until it stands. Raises NotFound and StoreAway."""
        provider, record = await self._find(id, uid)
        told: Verification | None = None
        while True:
            now = await self._view(provider, record)
            if now != told:
                yield now
            told = now
            if now.stands:
                return
            await asyncio.sleep(self._settings.watch_seconds)
            record = await self._record(provider.uid, id)

    async def cancel(self, id: str, *, uid: str = "") -> Verification:
        """Raises NotFound, Refused and StoreAway."""
        provider, record = await self._find(id, uid)
        if not await self._verifications.end(provider.uid, id, "", State.CANCELLED):
            record = await self._record(provider.uid, id)
            if record.state is not State.CANCELLED:
                raise errors.Refused(f"it has ended before: it is {record.state.value}")
        return await self._view(provider, await self._record(provider.uid, id))

    async def resume(self, id: str, *, uid: str = "") -> Verification:
        """Raises NotFound, Refused and StoreAway."""
        provider, record = await self._find(id, uid)
        if record.state.ended:
            raise errors.Refused(f"it has ended: it is {record.state.value}; start another one")
        if record.state is State.PAUSED:
            if record.reason in NEEDS_QUOTE:
                await self._verifications.quote_again(provider.uid, id)
            else:
                await self._verifications.go_on(provider.uid, id)
            self._wake()
        return await self._view(provider, await self._record(provider.uid, id))

    async def all(self, uid: str = "") -> list[Verification]:
        """The newest first. Raises StoreAway."""
        providers = [one for one in self._entries.all() if uid in ("", one.uid)]
        found = [
            await self._view(provider, record)
            for provider in providers
            for record in await self._verifications.all(provider.uid)
        ]
        return sorted(found, key=lambda one: one.created_at_ms, reverse=True)

    def _provider(self, uid: str) -> Provider:
        entry = self._entries.entry(uid)
        if entry is None or entry.provider.removed:
            raise NotFound("no such provider is known here")
        return entry.provider

    def _check(self, source: Source, msisdns: Sequence[str]) -> None:
        most = self._settings.most_numbers
        if not msisdns:
            raise errors.InputError("say contacts, leads or companies, or give numbers", field="source")
        if source.where:
            raise errors.InputError("a file takes no filter", field="source.filter")
        if len(msisdns) > most:
            raise errors.InputError(f"at most {most} numbers", field="numbers")
        msisdn.check_all(msisdns, field="numbers")

    async def _find(self, id: str, uid: str) -> tuple[Provider, Record]:
        for provider in [one for one in self._entries.all() if uid in ("", one.uid)]:
            record = await self._verifications.get(provider.uid, id)
            if record is not None:
                return provider, record
        raise NotFound("nobody knows this verification")

    async def _record(self, uid: str, id: str) -> Record:
        record = await self._verifications.get(uid, id)
        if record is None:
            raise NotFound("nobody knows this verification any more")
        return record

    async def _spent(self, provider: Provider, record: Record) -> Spending:
        key = record.account_key or smsc_account.of(provider.account).key
        return await self._spending.spending(key, provider.uid, verification=record.id)

    async def _view(self, provider: Provider, record: Record) -> Verification:
        spent = await self._spent(provider, record)
        price = provider.prices.sms
        return Verification(
            id=record.id,
            provider_uid=provider.uid,
            namespace=provider.namespace,
            name=provider.name,
            state=record.state,
            reason=record.reason,
            source=record.source,
            created_at_ms=record.created_at_ms,
            confirmed_at_ms=record.confirmed_at_ms,
            ended_at_ms=record.ended_at_ms,
            quote=record.quote,
            progress=self._progress(record, spent),
            outcomes=record.outcomes,
            carriers=record.carriers,
            regions=record.regions,
            saves=None if price is None else price * record.outcomes.get(Reachability.ABSENT, 0),
        )

    def _progress(self, record: Record, spent: Spending) -> Progress:
        counts, before = record.entities, record.before
        rate, left = self._rate(record)
        return Progress(
            entities=counts.get("done", 0),
            without_phone=counts.get("without_phone", 0),
            gone=counts.get("gone", 0),
            written=counts.get("written", 0),
            unchanged=counts.get("unchanged", 0),
            refused=counts.get("refused", 0),
            numbers=record.numbers,
            bought=before.bought + spent.bought,
            spent=before.roubles + spent.spent,
            estimated=before.estimated + spent.estimated,
            rate=rate,
            seconds_left=left,
        )

    def _rate(self, record: Record) -> tuple[float, int | None]:
        """Entities a second since somebody took it, and how long the rest takes."""
        if record.state is not State.RUNNING or not record.taken_at_ms:
            return 0.0, None
        done = record.entities.get("done", 0)
        seconds = self._wall() - record.taken_at_ms / 1000
        if seconds < _RATE_AFTER_SECONDS or done <= record.taken_entities:
            return 0.0, None
        rate = (done - record.taken_entities) / seconds
        every = record.quoted_entities + (record.quote.entities if record.quote is not None else 0)
        return round(rate, 1), round(max(0, every - done) / rate)
