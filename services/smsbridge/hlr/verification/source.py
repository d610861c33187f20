"""Where a verification's numbers come from: pages of the CRM by id, or the chunks of a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from smsbridge.bitrix24 import crm as portal_crm
from smsbridge.bitrix24 import forms, limiter
from smsbridge.bitrix24.crm import Entity
from smsbridge.core.errand import EntityType
from smsbridge.hlr import entities
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.store.verifications import CHUNK, Record, Verifications


@dataclass(frozen=True, slots=True)
class Item:
    """`entity` None: a number of a file."""

    msisdns: tuple[str, ...] = field(repr=False)
    entity: Entity | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`after`: where it begins; `next`: where what follows does; `last`: nothing does."""

    after: int
    next: int
    items: tuple[Item, ...]
    last: bool

    @property
    def msisdns(self) -> list[str]:
        """Each once."""
        return list(dict.fromkeys(msisdn for item in self.items for msisdn in item.msisdns))


class Source(Protocol):
    async def page(self, after: int) -> Page:
        """Raises a PortalError, StoreAway."""


@dataclass(frozen=True, slots=True)
class CrmSource:
    crm: ProviderCrm
    kind: EntityType
    where: Mapping[str, object] = field(repr=False)
    default_region: str

    async def page(self, after: int) -> Page:
        found = await portal_crm.page(
            self.crm.api,
            self.kind,
            priority=limiter.Priority.VERIFICATION,
            after=after,
            select=self.crm.select(self.kind),
            where=cast("Mapping[str, forms.Param]", self.where),
        )
        items = tuple(
            Item(tuple(entities.msisdns(one, default_region=self.default_region)), one)
            for one in found.entities
        )
        return Page(after, found.after, items, found.last)


@dataclass(frozen=True, slots=True)
class FileSource:
    verifications: Verifications
    uid: str
    record: Record

    async def page(self, after: int) -> Page:
        msisdns = await self.verifications.chunk(self.uid, self.record.id, after)
        last = (after + 1) * CHUNK >= self.record.size
        return Page(after, after + 1, tuple(Item((msisdn,)) for msisdn in msisdns), last)
