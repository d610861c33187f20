"""Does what errands ask for: takes up to fifty of a provider, reads their entities in one batch, and hands
them to those who know what to do.

Any number of replicas may do this for one provider: what one has taken no other touches until its lease is
over.
"""

from typing import Protocol

import structlog
from ulid import ULID

from smsbridge.bitrix24 import client, limiter
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24.crm import Entity
from smsbridge.core import errors
from smsbridge.core.errand import ErrandKind
from smsbridge.core.installation import Installation
from smsbridge.core.message import TokenCheck
from smsbridge.core.provider import Provider
from smsbridge.hlr.entities import Crms, Installations, PortalApis, ProviderCrm
from smsbridge.hlr.errands import channels, desk, ends, settling
from smsbridge.hlr.errands.answering import Answering
from smsbridge.hlr.errands.channels import Channels
from smsbridge.hlr.errands.enriching import Enriching
from smsbridge.hlr.errands.load import Load
from smsbridge.hlr.metrics import HlrMetrics
from smsbridge.hlr.settings import HlrSettings
from smsbridge.hlr.updates import Ref
from smsbridge.provisioning import sections
from smsbridge.store import errands as store_errands
from smsbridge.store.errands import Lane
from smsbridge.store.registry import Entry

log = structlog.get_logger()

_AT_ONCE = 50  # as many as one batch carries


class Tokens(Protocol):
    def application_token_digests(self, found: Installation) -> tuple[str, ...]: ...


class ErrandWork:
    def __init__(
        self,
        settings: HlrSettings,
        *,
        entries: sections.Entries,
        errands: store_errands.Errands,
        crms: Crms,
        apis: PortalApis,
        installations: Installations,
        tokens: Tokens,
        enriching: Enriching,
        answering: Answering,
        channels: Channels,
        metrics: HlrMetrics,
        token_hold_seconds: float,
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._errands = errands
        self._crms = crms
        self._apis = apis
        self._installations = installations
        self._tokens = tokens
        self._enriching = enriching
        self._answering = answering
        self._channels = channels
        self._metrics = metrics
        self._token_hold_seconds = token_hold_seconds

    async def step(self, uid: str, lane: Lane) -> float | None:
        """Does some errands of one provider. Seconds until there may be more. Raises StoreAway."""
        entry = self._entries.entry(uid)
        if entry is None:
            return None
        installation = self._installations.for_provider(entry.provider)
        works = installation is not None and installation.works
        owner = str(ULID())
        lease_ms = round(self._settings.errand_lease_seconds * 1000)
        taken = await self._errands.take(
            uid,
            lane,
            owner=owner,
            lease_ms=lease_ms,
            most=_AT_ONCE if works or entry.provider.removed else 0,
            longest_ms=desk.LONGEST_MS,
        )
        self._count_dropped(entry.provider, taken)
        if not taken.errands:
            idle = self._settings.errand_idle_seconds
            return min(idle, taken.next_ms / 1000) if works and taken.next_ms > 0 else idle
        load = Load(
            self._errands,
            uid,
            owner,
            lease_ms,
            self._settings.errand_pause_seconds,
            self._settings.errand_retry_seconds,
            self._settings.errand_retry_most_seconds,
            left={one.id: one for one in taken.errands},
        )
        await self._do(load, entry, installation, lane)
        return 0.0

    async def measure(self) -> None:
        """Shows what waits. Raises StoreAway."""
        read = [(one, await self._errands.waiting(one.uid)) for one in self._entries.all() if not one.removed]
        self._metrics.errands_waiting.clear()
        self._metrics.errands_oldest.clear()
        for provider, waiting in read:
            for kind, found in waiting.items():
                labels = (provider.namespace, provider.name, kind.value)
                self._metrics.errands_waiting.labels(*labels).set(found.count)
                self._metrics.errands_oldest.labels(*labels).set(found.oldest_ms / 1000)

    async def _do(self, load: Load, entry: Entry, installation: Installation | None, lane: Lane) -> None:
        try:
            self._check_tokens(load, installation)
            self._check_wishes(load, entry)
            if load.left and installation is not None:
                api = self._apis.api(entry.provider, installation.member_id)
                await self._work(load, entry, api, lane)
            elif entry.provider.removed:  # nobody can be answered either
                self._end_all(load, ends.REMOVED)
        except portal_errors.PortalError as error:
            self._portal_failed(load, entry.provider, error)
        except errors.StoreAway:
            raise
        except errors.Away as error:  # the portal's limiter, or its tokens' lock
            self._portal_failed(load, entry.provider, error)
        except Exception:  # a defect: what it left undecided waits longer each time, and the loop tells
            await self._settle(load, entry.provider)
            raise
        await self._settle(load, entry.provider)

    async def _settle(self, load: Load, provider: Provider) -> None:
        await load.settle()
        for (kind, word), count in load.counts.items():
            self._metrics.errand(provider, kind, word, count)

    async def _work(self, load: Load, entry: Entry, api: client.PortalApi, lane: Lane) -> None:
        if lane is Lane.STEPS:
            await self._answering.work(load, api, removed=entry.provider.removed)
            return
        crm = await self._crms.of(load.uid, priority=limiter.Priority.LEADS)
        if crm is None:
            return
        read = await self._read(load, crm)
        await self._enriching.work(load, crm, read)
        await self._channels.changed(load, crm, read)
        await self._channels.spread(load, crm)

    async def _read(self, load: Load, crm: ProviderCrm) -> dict[Ref, Entity]:
        """The entities that errands are about; an errand whose entity could not be read is settled."""
        some = load.of(ErrandKind.ADDED, ErrandKind.WEBHOOK, ErrandKind.CHANGED)
        refs = {
            one.id: (one.errand.entity, one.errand.entity_id)
            for one in some
            if one.errand.entity is not None and one.errand.entity_id > 0
        }
        found = await channels.read_entities(crm, list(dict.fromkeys(refs.values())))
        for one in some:
            entity = found[refs[one.id]] if one.id in refs else None
            if isinstance(entity, portal_errors.PortalError):
                settling.failed(load, one, entity)
            elif entity is None and one.id in refs:
                if one.errand.kind is ErrandKind.CHANGED:
                    await self._channels.gone(crm, *refs[one.id])
                load.end(one, ends.GONE)
        return {ref: entity for ref, entity in found.items() if isinstance(entity, Entity)}

    def _check_tokens(self, load: Load, installation: Installation | None) -> None:
        """One whose application token was foreign waits: an update of the application may be on its way."""
        held = [one for one in load.left.values() if one.errand.token_check is TokenCheck.MISMATCH]
        if not held:
            return
        known = self._tokens.application_token_digests(installation) if installation is not None else ()
        for one in held:
            if one.errand.token_digest in known:
                continue
            if one.age_ms >= self._token_hold_seconds * 1000:
                load.end(one, ends.FOREIGN_TOKEN)
            else:
                load.later(one, self._settings.held_check_seconds)

    def _check_wishes(self, load: Load, entry: Entry) -> None:
        for one in list(load.left.values()):
            if one.errand.kind is not ErrandKind.STEP and entry.provider.removed:
                load.end(one, ends.REMOVED)
            elif not desk.is_wanted(entry, one.errand.kind):
                load.end(one, ends.OFF)

    def _end_all(self, load: Load, word: str) -> None:
        for one in list(load.left.values()):
            load.end(one, word)

    def _portal_failed(self, load: Load, provider: Provider, error: errors.SmsbridgeError) -> None:
        """What the whole portal refuses waits; nothing of it is a word about one errand."""
        log.warning(
            "errands_wait", namespace=provider.namespace, provider=provider.name, error=error.code,
            count=len(load.left),
        )  # fmt: skip

    def _count_dropped(self, provider: Provider, taken: store_errands.Load) -> None:
        for kind, count in taken.dropped.items():
            log.warning(
                "errands_dropped", namespace=provider.namespace, provider=provider.name,
                kind=kind.value, count=count,
            )  # fmt: skip
            self._metrics.errand(provider, kind, ends.TOO_OLD, count)
