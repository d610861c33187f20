"""Runs a confirmed verification: pages side by side, committed in their order.

A page is read, its numbers are looked up, what changed is written, and only then it is committed: whatever
cuts this off, the next one begins at the first page that was not. What it does again then costs nothing,
because what was bought is known, and changes nothing, because what was written is there.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial

from smsbridge.bitrix24 import forms
from smsbridge.bitrix24.crm import Entity
from smsbridge.core.errand import EntityType
from smsbridge.core.number import Facts
from smsbridge.core.provider import Profile
from smsbridge.core.verification import Reason
from smsbridge.hlr import entities
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.hlr.errands.channels import Channels
from smsbridge.hlr.lookups import LookupService
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.rules import Rules
from smsbridge.hlr.settings import VerificationSettings
from smsbridge.hlr.updates import Updates
from smsbridge.hlr.verification.numbers import Halt, Numbers
from smsbridge.hlr.verification.patience import Patience
from smsbridge.hlr.verification.source import Page, Source
from smsbridge.hlr.verification.writes import Writer
from smsbridge.runtime import tasks
from smsbridge.store.care import Care
from smsbridge.store.verifications import Done, Record, Verifications

_UNCOMMITTED = 10  # times as many pages as are in hand may wait for one before them


class Lost(Exception):
    """It is not ours any more: somebody took it over, or cancelled it."""


@dataclass(frozen=True, slots=True)
class Tools:
    settings: VerificationSettings
    verifications: Verifications
    lookups: LookupService
    care: Care
    metrics: HlrMetrics
    patience: Patience
    channels: Channels
    updates: Updates


@dataclass(slots=True)
class _InHand:
    page: Page
    task: "asyncio.Task[Done]" = field(repr=False)


class Run:
    """`crm` None: nothing is written."""

    def __init__(
        self,
        tools: Tools,
        record: Record,
        token: str,
        *,
        rules: Rules,
        source: Source,
        crm: ProviderCrm | None,
    ) -> None:
        self._tools = tools
        self._record = record
        self._token = token
        self._rules = rules
        self._source = source
        self._crm = crm
        self._kind = record.source.entity or EntityType.CONTACT  # no crm, no kind
        settings = tools.settings
        guide = rules.account.profile is Profile.GUIDE
        self._window = settings.pages_guide if guide else settings.pages_http
        self._numbers = Numbers(
            settings, rules=rules, lookups=tools.lookups, care=tools.care, patience=tools.patience
        )
        self._pages: deque[_InHand] = deque()
        self._writing = 0  # pages that wait for their writes
        self._all_read = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._writer: Writer | None = None
        if crm is not None:
            self._writer = Writer(
                crm,
                self._kind,
                updates=tools.updates,
                at_once=settings.writes_at_once,
                linger_seconds=settings.linger_seconds,
                patience=tools.patience,
                alone=self._nothing_else_comes,
            )

    async def go(self) -> None:
        """To its end. Raises Halt, Lost, and a PortalRefused."""
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(self._on_change)
        writing = asyncio.create_task(self._writer.run()) if self._writer is not None else None
        try:
            while not (reading.done() and not self._pages):
                self._changed.clear()
                await self._commit_what_is_done()
                _raise_first(reading, *(one.task for one in self._pages))
                if self._numbers.out_of_money:
                    await tasks.end(reading)
                    await self._finish_writing()
                    raise Halt(Reason.QUOTE_USED)
                if self._pages or not reading.done():
                    await self._wait()
        finally:
            try:
                await tasks.end(reading)  # first: it begins pages
            finally:
                await tasks.end(writing, *(one.task for one in self._pages))

    def _on_change(self, _: object = None) -> None:
        self._changed.set()
        self._room.set()
        if self._writer is not None:
            self._writer.wake()

    async def _wait(self) -> None:
        """For something to commit; whether there is money is looked at now and then."""
        try:
            async with asyncio.timeout(self._tools.settings.look_again_seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        after, last = self._record.cursor, False
        while not last:
            while not self._has_room:
                self._room.clear()
                await self._room.wait()
            page = await self._tools.patience(partial(self._source.page, after))
            task = asyncio.create_task(self._page(page))
            task.add_done_callback(self._on_change)
            self._pages.append(_InHand(page, task))
            after, last = page.next, page.last
        self._all_read = True

    @property
    def _unfinished(self) -> int:
        return sum(not one.task.done() for one in self._pages)

    @property
    def _has_room(self) -> bool:
        return self._unfinished < self._window and len(self._pages) < self._window * _UNCOMMITTED

    def _nothing_else_comes(self) -> bool:
        """Every page in hand waits for its writes, and no further one can be read before."""
        return self._writing == self._unfinished and (self._all_read or not self._has_room)

    async def _page(self, page: Page) -> Done:
        tools, uid = self._tools, self._rules.provider.uid
        if self._crm is not None:
            # At once: what was read tells nothing of a hand once look-ups were waited for.
            await tools.patience(partial(self._look_for_hands, self._crm, page))
        found = await tools.patience(lambda: tools.verifications.known(uid, self._record.id, page.msisdns))
        found |= await self._numbers.look_up([m for m in page.msisdns if m not in found])
        counts, changes = Counter({"done": len(page.items)}), []
        for item in page.items:
            if item.entity is None or self._crm is None:
                continue
            if not item.msisdns:
                counts["without_phone"] += 1
                continue
            change = self._change(self._crm, item.entity, item.msisdns, found)
            if change:
                changes.append((item.entity.entity_id, change))
            else:
                counts["unchanged"] += 1
        if changes and self._writer is not None:
            counts += await self._write(self._writer, changes)
        return Done(page.after, page.next, counts, {m: found[m] for m in page.msisdns})

    async def _look_for_hands(self, crm: ProviderCrm, page: Page) -> None:
        """Keeps the preferred channels that somebody has set; what we wrote within the last minute tells
        nothing, and is read when it changes.
        """
        read = [(self._kind, one.entity, one.msisdns) for one in page.items if one.entity is not None]
        await self._tools.channels.seen_all(crm, read)

    def _change(
        self, crm: ProviderCrm, entity: Entity, msisdns: tuple[str, ...], found: dict[str, Facts]
    ) -> dict[str, forms.Param]:
        facts = entities.best(found[msisdn] for msisdn in msisdns)
        return crm.facts_changes(self._kind, entity, facts) if facts is not None else {}

    async def _write(self, writer: Writer, changes: list[tuple[int, dict[str, forms.Param]]]) -> Counter[str]:
        self._writing += 1
        try:
            return await writer.write(changes)
        finally:
            self._writing -= 1

    async def _finish_writing(self) -> None:
        """What was begun is written and committed, as far as nothing before it is open."""
        while self._writing:
            await self._wait()
            self._changed.clear()
            _raise_first(*(one.task for one in self._pages))
        await self._commit_what_is_done()

    async def _commit_what_is_done(self) -> None:
        while self._pages and self._pages[0].task.done():
            done = self._pages[0].task.result()
            await self._commit(done)
            self._pages.popleft()
            self._room.set()

    async def _commit(self, done: Done) -> None:
        tools, provider = self._tools, self._rules.provider
        lease_ms = round(tools.settings.lease_seconds * 1000)
        new = await tools.patience(
            lambda: tools.verifications.commit(
                provider.uid, self._record.id, self._token, done, lease_ms=lease_ms
            )
        )
        if new is None:
            raise Lost
        labels = (provider.namespace, provider.name)
        for word, many in new.items():
            tools.metrics.verified_numbers.labels(*labels, word).inc(many)
        for word, many in done.entities.items():
            if word != "done":
                tools.metrics.verified_entities.labels(*labels, word).inc(many)


def _raise_first(*given: "asyncio.Task[object]") -> None:
    for task in given:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
