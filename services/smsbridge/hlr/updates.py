"""Updates of ours to entities of a CRM: in batches, each with a result of its own.

Everything that hlr writes to the CRM goes through `Updates.write`: it remembers each entity for a minute, so
that the event which the portal then sends us is not taken for a hand's.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import batch, client, crm, forms, limiter
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.errand import EntityType
from smsbridge.hlr.entities import ProviderCrm
from smsbridge.store.channels import ChannelMarks

Ref = tuple[EntityType, int]


@dataclass(frozen=True, slots=True)
class Change:
    """Of one entity; `fields` is not empty."""

    kind: EntityType
    entity_id: int
    fields: Mapping[str, forms.Param]

    @property
    def ref(self) -> Ref:
        return self.kind, self.entity_id


class Updates:
    def __init__(self, marks: ChannelMarks) -> None:
        self._marks = marks

    async def write(
        self, portal_crm: ProviderCrm, changes: Sequence[Change], *, priority: limiter.Priority
    ) -> list[batch.CommandResult]:
        """A result for each, in order; what a whole request met stands in each of its commands' places.

        Raises StoreAway.
        """
        results: list[batch.CommandResult] = []
        for start in range(0, len(changes), batch.MAX_COMMANDS):
            some = changes[start : start + batch.MAX_COMMANDS]
            results += await whole(self.request(portal_crm, some, priority=priority), len(some))
        return results

    async def request(
        self, portal_crm: ProviderCrm, some: Sequence[Change], *, priority: limiter.Priority
    ) -> Sequence[batch.CommandResult]:
        """Up to 50 in one request. Raises what that met as a whole."""
        portal, refs = portal_crm.api.portal, [change.ref for change in some]
        await self._marks.updating(portal, refs)
        commands = [crm.update_command(change.kind, change.entity_id, change.fields) for change in some]
        try:
            results = (await portal_crm.api.batch(commands, priority=priority)).results
        except errors.SmsbridgeError as failure:
            if not may_be_done(failure):
                await self._marks.not_updated(portal, refs)
            raise
        undone = [
            change.ref for change, result in zip(some, results, strict=True) if not may_be_done(result.error)
        ]
        await self._marks.not_updated(portal, undone)
        return results


def may_be_done(error: errors.SmsbridgeError | None) -> bool:
    """Whether a command was done, or nobody knows."""
    if isinstance(error, portal_errors.PortalAway):
        return error.after_first_byte
    return error is None


async def run(
    api: client.PortalApi, commands: Sequence[batch.Command], *, priority: limiter.Priority
) -> list[batch.CommandResult]:
    """All of them, fifty a request; what a whole request met stands in its commands' places."""
    results: list[batch.CommandResult] = []
    for start in range(0, len(commands), batch.MAX_COMMANDS):
        some = commands[start : start + batch.MAX_COMMANDS]
        results += await whole(_batch(api, some, priority), len(some))
    return results


async def _batch(
    api: client.PortalApi, some: Sequence[batch.Command], priority: limiter.Priority
) -> Sequence[batch.CommandResult]:
    return (await api.batch(some, priority=priority)).results


async def whole(
    request: Awaitable[Sequence[batch.CommandResult]], count: int
) -> Sequence[batch.CommandResult]:
    """Its results; what it met as a whole in the place of each. Raises StoreAway."""
    try:
        return await request
    except portal_errors.PortalError as failure:
        return [batch.CommandResult(error=failure)] * count
    except errors.StoreAway:
        raise
    except errors.Away as held:  # the limiter has no turn soon
        nothing_left = portal_errors.PortalAway(held.sentence, after_first_byte=False)
        return [batch.CommandResult(error=nothing_left)] * count
