"""Updates of ours to entities of a CRM: in batches, each with a result of its own.

Everything that hlr writes to the CRM goes through `Updates.write`: it remembers each entity for a minute, so
that the event which the portal then sends us is not taken for a hand's.
"""

from collections.abc import Mapping, Sequence
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
            results += await self._write(portal_crm, some, priority)
        return results

    async def _write(
        self, portal_crm: ProviderCrm, some: Sequence[Change], priority: limiter.Priority
    ) -> list[batch.CommandResult]:
        portal = portal_crm.api.portal
        await self._marks.updating(portal, [change.ref for change in some])
        commands = [crm.update_command(change.kind, change.entity_id, change.fields) for change in some]
        results = await run(portal_crm.api, commands, priority=priority)
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
        try:
            results += (await api.batch(some, priority=priority)).results
        except portal_errors.PortalError as failure:
            results += [batch.CommandResult(error=failure)] * len(some)
        except errors.StoreAway:
            raise
        except errors.Away as held:  # the limiter has no turn soon
            nothing_left = portal_errors.PortalAway(held.sentence, after_first_byte=False)
            results += [batch.CommandResult(error=nothing_left)] * len(some)
    return results
