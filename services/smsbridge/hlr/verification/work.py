"""Works at verifications that nobody works at: takes one by a lease, quotes it or runs it, gives it back.

Any replica may take any of them, so one that dies in the middle is taken over when its lease has ended.
"""

import asyncio
from collections.abc import Callable

import structlog
from ulid import ULID

from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24 import limiter
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.core.verification import NEEDS_QUOTE, Reason, State
from smsbridge.hlr import rules as hlr_rules
from smsbridge.hlr.entities import Crms, ProviderCrm
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.verification.numbers import Halt
from smsbridge.hlr.verification.quote import Quoting
from smsbridge.hlr.verification.run import Lost, Run, Tools
from smsbridge.hlr.verification.source import CrmSource, FileSource, Source
from smsbridge.provisioning import sections
from smsbridge.runtime import tasks
from smsbridge.smsc import account as smsc_account
from smsbridge.store.lookups import Lookups
from smsbridge.store.verifications import Record, Spent

log = structlog.get_logger()

# No word about the filter: the installation, or what the application may do.
_NOT_THE_FILTER = (portal_errors.AccessDenied, *portal_errors.OF_INSTALLATION)


class VerificationWork:
    def __init__(
        self,
        tools: Tools,
        *,
        entries: sections.Entries,
        crms: Crms,
        quoting: Quoting,
        spending: Lookups,
        default_region: str,
        unknown_kept_seconds: float,
    ) -> None:
        self._tools = tools
        self._entries = entries
        self._crms = crms
        self._quoting = quoting
        self._spending = spending
        self._default_region = default_region
        self._unknown_kept_seconds = unknown_kept_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.on_free: Callable[[], None] = lambda: None

    async def step(self) -> float | None:
        """Takes what is free, as long as there are hands. Raises StoreAway."""
        for provider in self._entries.all():
            while not self._closed and len(self._tasks) < self._tools.settings.at_once:
                token = str(ULID())
                found = await self._tools.verifications.take(provider.uid, token, lease_ms=self._lease_ms)
                if not found:
                    break
                if self._closed:
                    await self._give_back(provider.uid, found, token, seconds=0)
                    break
                self._begin(provider.uid, found, token)
        return None

    async def close(self) -> None:
        """What is in hand is given back: another replica goes on with it."""
        self._closed = True
        await tasks.end(*self._tasks)

    @property
    def _lease_ms(self) -> int:
        return round(self._tools.settings.lease_seconds * 1000)

    def _begin(self, uid: str, id: str, token: str) -> None:
        task = asyncio.create_task(self._hold(uid, id, token))
        self._tasks.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self.on_free()

        task.add_done_callback(end)

    async def _hold(self, uid: str, id: str, token: str) -> None:
        """Works at it as long as it is ours."""
        entry = self._entries.entry(uid)
        labels = (entry.provider.namespace, entry.provider.name) if entry is not None else ("", "")
        running = self._tools.metrics.verifications.labels(*labels)
        running.inc()
        work = asyncio.create_task(self._work(uid, id, token))
        beat = asyncio.create_task(self._beat(uid, id, token))
        rest = 0.0
        try:
            await asyncio.wait({work, beat}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        except Lost:
            log.info("verification_lost", provider=labels[1], verification=id)
        except Exception:  # the task's outermost edge: nobody awaits it, and its place is in the store
            log.exception("verification_broken", provider=labels[1], verification=id)
            rest = self._tools.settings.pause_seconds
        finally:
            await tasks.end(work, beat)
            running.dec()
            await self._give_back(uid, id, token, seconds=rest)

    async def _give_back(self, uid: str, id: str, token: str, *, seconds: float) -> None:
        try:
            await self._tools.verifications.renew(uid, id, token, lease_ms=round(seconds * 1000))
        except errors.StoreAway:
            return  # its lease ends by itself

    async def _beat(self, uid: str, id: str, token: str) -> None:
        """Returns when it is not ours any more: taken over, cancelled, or its provider is another one now."""
        settings, began_with = self._tools.settings, self._account_key(uid)
        while True:
            await asyncio.sleep(min(settings.lease_seconds / 3, settings.idle_seconds))
            if self._account_key(uid) != began_with:
                return
            try:
                if not await self._tools.verifications.renew(uid, id, token, lease_ms=self._lease_ms):
                    return
            except errors.StoreAway:
                continue  # a commit needs the store, too

    def _account_key(self, uid: str) -> str:
        """Empty for a provider that was removed."""
        entry = self._entries.entry(uid)
        return "" if entry is None or entry.provider.removed else smsc_account.of(entry.provider.account).key

    async def _work(self, uid: str, id: str, token: str) -> None:
        patience, verifications = self._tools.patience, self._tools.verifications
        record = await patience(lambda: verifications.get(uid, id))
        if record is None:
            return
        try:
            await self._advance(uid, record, token)
        except Halt as halt:
            await self._halt(uid, record, token, halt.reason)
        except portal_errors.PortalRefused as refused:
            log.warning("verification_refused", verification=id, code=refused.code, method=refused.method)
            of_filter = record.state is State.QUOTING and not isinstance(refused, _NOT_THE_FILTER)
            why = Reason.FILTER_REFUSED if of_filter else Reason.PORTAL_REFUSED
            await self._halt(uid, record, token, why)

    async def _advance(self, uid: str, record: Record, token: str) -> None:
        rules = hlr_rules.of(self._entries, uid, unknown_kept_seconds=self._unknown_kept_seconds)
        if rules is None:
            raise Halt(Reason.REMOVED)
        crm = await self._crm(uid, record)
        source = self._source(uid, record, crm)
        if record.state is State.QUOTING:
            await self._quote(rules, record, token, source)
        elif record.state is State.PAUSED:
            await self._look_again(rules, record, token, source)
        elif record.state is State.RUNNING:
            await self._run(rules, record, token, source, crm)

    async def _crm(self, uid: str, record: Record) -> ProviderCrm | None:
        """Raises Halt only for what is missing now: what was seen a while ago may be made since."""
        kind = record.source.entity
        if kind is None:
            return None
        crm = await self._seen(uid)
        if _lacking(crm, kind):
            await self._tools.patience(lambda: self._crms.look_again(uid))
            crm = await self._seen(uid)
        if lacking := _lacking(crm, kind):
            raise Halt(lacking)
        return crm

    async def _seen(self, uid: str) -> ProviderCrm | None:
        return await self._tools.patience(lambda: self._crms.of(uid, priority=limiter.Priority.VERIFICATION))

    def _source(self, uid: str, record: Record, crm: ProviderCrm | None) -> Source:
        kind = record.source.entity
        if crm is None or kind is None:
            return FileSource(self._tools.verifications, uid, record)
        return CrmSource(crm, kind, record.source.where, self._default_region)

    async def _quote(self, rules: Rules, record: Record, token: str, source: Source) -> None:
        quote = await self._quoting.work_out(rules, record, source)
        patience, key = self._tools.patience, rules.account.key
        before = await patience(lambda: self._before(rules, record))
        await patience(
            lambda: self._tools.verifications.quoted(
                rules.provider.uid,
                record.id,
                token,
                quote,
                account_key=key,
                before=before,
                entities=record.entities.get("done", 0),
            )
        )

    async def _before(self, rules: Rules, record: Record) -> Spent:
        """What it spent by accounts that the provider has no more."""
        if record.account_key in ("", rules.account.key):
            return record.before
        uid, old = rules.provider.uid, record.before
        spent = await self._spending.spending(record.account_key, uid, verification=record.id)
        return Spent(old.roubles + spent.spent, old.estimated + spent.estimated, old.bought + spent.bought)

    async def _look_again(self, rules: Rules, record: Record, token: str, source: Source) -> None:
        """Whether what it was paused for is over."""
        patience = self._tools.patience
        if stopped := await patience(lambda: self._tools.care.stopped(rules.account.key)):
            raise Halt(stopped)
        if record.reason == Reason.PORTAL_REFUSED:
            await patience(lambda: source.page(record.cursor))
        await patience(lambda: self._tools.verifications.go_on(rules.provider.uid, record.id, token))

    async def _run(
        self, rules: Rules, record: Record, token: str, source: Source, crm: ProviderCrm | None
    ) -> None:
        if record.account_key != rules.account.key:
            raise Halt(Reason.ACCOUNT_CHANGED)
        paid = rules.paid_by(record.id, record.allowed)
        await Run(self._tools, record, token, rules=paid, source=source, crm=crm).go()
        uid, verifications = rules.provider.uid, self._tools.verifications
        await self._tools.patience(lambda: verifications.end(uid, record.id, token, State.DONE))
        log.info("verification_done", provider=rules.provider.name, verification=record.id)

    async def _halt(self, uid: str, record: Record, token: str, reason: str) -> None:
        """Failed, or paused, with its place kept. What has no quote yet has nothing to wait with."""
        verifications, patience = self._tools.verifications, self._tools.patience
        log.warning("verification_halted", verification=record.id, reason=str(reason))
        unconfirmed = record.state is State.QUOTING and record.confirmed_at_ms == 0
        if unconfirmed or reason == Reason.REMOVED:
            await patience(lambda: verifications.end(uid, record.id, token, State.FAILED, reason))
            return
        if record.state is State.QUOTING:  # of the rest: it can be asked for again
            await patience(
                lambda: verifications.pause(uid, record.id, token, Reason.QUOTE_USED, again_ms=None)
            )
            return
        again = None if reason in NEEDS_QUOTE else round(self._tools.settings.pause_seconds * 1000)
        await patience(lambda: verifications.pause(uid, record.id, token, reason, again_ms=again))


def _lacking(crm: ProviderCrm | None, kind: EntityType) -> Reason | None:
    if crm is None:
        return Reason.NOT_INSTALLED
    names = crm.names
    wanted = {names.operator, names.region, names.reachability, names.checked_at}
    return Reason.NO_FIELDS if wanted.isdisjoint(crm.fields[kind]) else None
