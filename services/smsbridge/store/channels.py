"""What we wrote to the channel fields of a portal's CRM, and which of its events our own updates set off.

Portal tag: providers of one portal share its entities, and what one of them wrote is no hand to the others.
Entities are named by type and id, fields by their name. Raises StoreAway.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from smsbridge.core.errand import EntityType
from smsbridge.core.message import Channel
from smsbridge.store import connection, scripts, tags

_FLIGHT_MS = 120_000  # a batch and the wait for its turn take 90 s at most

Ref = tuple[EntityType, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """`ours`: what we wrote there. `fresh`: it is being written, or was just now, so that what was read of
    the field may be older: nothing can be concluded from it.
    """

    ours: frozenset[Channel] = frozenset()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """The channel field of one entity, in one portal."""

    entity: EntityType
    entity_id: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}:{self.entity}:{self.entity_id}"


class ChannelMarks:
    def __init__(self, store: connection.Store, *, rest_seconds: float, own_update_seconds: float) -> None:
        self._store = store
        self._rest_ms = round(rest_seconds * 1000)
        self._own_ms = round(own_update_seconds * 1000)

    async def read(self, portal: str, fields: Sequence[Field]) -> list[Mark]:
        return await self._change(portal, "read", [(field, None) for field in fields])

    async def begin(self, portal: str, written: Sequence[tuple[Field, Channel | None]]) -> None:
        """Before it is written; None empties the field."""
        await self._change(portal, "begin", written, durable=True)

    async def wrote(self, portal: str, fields: Sequence[Field]) -> None:
        await self._change(portal, "wrote", [(field, None) for field in fields])

    async def failed(self, portal: str, fields: Sequence[Field]) -> None:
        """Nothing was written. Where nobody knows, nothing is said."""
        await self._change(portal, "failed", [(field, None) for field in fields])

    async def forget(self, portal: str, fields: Sequence[Field]) -> None:
        await self._change(portal, "forget", [(field, None) for field in fields])

    async def updating(self, portal: str, refs: Iterable[Ref]) -> None:
        """Before an update of ours: one event of each entity will come back."""
        await self._own(portal, "mark", refs)

    async def not_updated(self, portal: str, refs: Iterable[Ref]) -> None:
        await self._own(portal, "undo", refs)

    async def swallow(self, portal: str, refs: Iterable[Ref]) -> list[bool]:
        """Whether an event of each is one of ours. Each of ours is told once."""
        return await self._own(portal, "swallow", refs)

    async def _change(
        self, portal: str, how: str, given: Sequence[tuple[Field, Channel | None]], *, durable: bool = False
    ) -> list[Mark]:
        if not given:
            return []
        rows = [{"ref": str(field), "how": how, "ch": channel or ""} for field, channel in given]
        tag = tags.portal(portal)
        answer = await self._store.run(
            "channel_marks", tag, _FLIGHT_MS, self._rest_ms, scripts.encode(rows), durable=durable
        )
        return [Mark(frozenset(map(Channel, item["ours"] or ())), bool(item["fresh"])) for item in answer]

    async def _own(self, portal: str, how: str, refs: Iterable[Ref]) -> list[bool]:
        names = [f"{entity}:{entity_id}" for entity, entity_id in refs]
        if not names:
            return []
        tag = tags.portal(portal)
        found: Any = await self._store.run("own_updates", tag, how, self._own_ms, scripts.encode(names))
        return list(found)
