"""A provider taken out of its portal: the registration, our steps, and the events that were bound for it.

One request, in which each fails alone. A removal waits for nobody: a portal that is gone or refuses ends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from smsbridge.bitrix24 import batch, bizproc, limiter, messageservice
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.installation import Broken
from smsbridge.core.provider import Provider
from smsbridge.provisioning import events, robots, urls
from smsbridge.provisioning.portal_check import PortalClients


@dataclass(frozen=True, slots=True)
class Removal:
    """`done` is False where it is worth another try."""

    done: bool
    message: str


async def remove(provider: Provider, *, clients: PortalClients, succeeded: bool = False) -> Removal:
    """Raises StoreAway, nothing that the portal says.

    `succeeded`: another provider stands under its code now, so only what no other has is taken away.
    """
    found = await clients.installations.for_provider(provider)
    if found is None or found.broken is Broken.UNINSTALLED:
        return Removal(True, "the application is not installed: nothing to take back")
    api = clients.portals.api(provider, found.member_id, probing=True)
    commands = events.removal(urls.of(provider, clients.keyring))
    if not succeeded:
        commands = [messageservice.delete_command(provider.code), *robots.removal(provider.code), *commands]
    try:
        answer = await api.batch(commands, priority=limiter.Priority.TOKENS)
    except errors.StoreAway:
        raise
    except errors.Away as error:
        return Removal(False, error.sentence)
    except errors.SmsbridgeError as error:
        return Removal(True, f"the portal lets us do nothing: {error.sentence}")
    gone = "another provider stands under its code now" if succeeded else "the portal shows it no more"
    return _outcome(answer.results, gone=gone)


def _outcome(results: Sequence[batch.CommandResult], *, gone: str) -> Removal:
    lacking = [result.error for result in results if result.error is not None and not _is_gone(result.error)]
    for error in lacking:
        if isinstance(error, errors.Away):
            return Removal(False, error.sentence)
    if lacking:
        return Removal(True, f"the portal does not let us take back everything: {lacking[0].sentence}")
    return Removal(True, gone)


def _is_gone(error: portal_errors.PortalError) -> bool:
    """Nothing to take away. Without its scope an application has no steps."""
    if messageservice.is_missing(error) or bizproc.is_missing(error):
        return True
    return isinstance(error, portal_errors.InsufficientScope) and error.method.startswith("bizproc.")
