"""What a gateway keeps to serve while the store is away, and what it tells the store about its journal.

Snapshots of the registry and of the application tokens go into the journal's file, encrypted, whenever they
changed. The store is told how many messages the journal holds: a term of the ledger.
"""

import secrets
from collections.abc import Callable

import structlog

from smsbridge.core import errors
from smsbridge.gateway.journal import Journal, Kind
from smsbridge.store import tags
from smsbridge.store.connection import Store, translated
from smsbridge.store.installations_view import InstallationsView
from smsbridge.store.registry import RegistryView

log = structlog.get_logger()

JOURNAL_ID = "id"
_REGISTRY = "registry"
_INSTALLATIONS = "installations"
# A hash: depth by journal id. Who empties an orphan deletes its field.
DEPTHS_KEY = tags.DEPLOYMENT + "journal"


class Snapshots:
    """Restores at start what the store cannot tell, and keeps up with what it tells."""

    def __init__(self, journal: Journal, registry: RegistryView, installations: InstallationsView) -> None:
        self._journal = journal
        self._registry = registry
        self._installations = installations
        self._changed = {_REGISTRY: True, _INSTALLATIONS: True}

    def changed_registry(self) -> None:
        self._changed[_REGISTRY] = True

    def changed_installations(self) -> None:
        self._changed[_INSTALLATIONS] = True

    async def restore(self) -> None:
        """Does nothing where the store has been read already. A snapshot that no key opens is left alone."""
        restorers: dict[str, Callable[[bytes], None]] = {
            _REGISTRY: self._registry.restore,
            _INSTALLATIONS: self._installations.restore,
        }
        for name, restore in restorers.items():
            sealed = await self._journal.get(name)
            if sealed is None:
                continue
            try:
                restore(sealed)
            except (errors.SmsbridgeError, ValueError) as error:
                log.warning("snapshot_unreadable", snapshot=name, error=type(error).__name__)

    async def save(self) -> None:
        """What has changed since the last time."""
        makers = {_REGISTRY: self._registry.snapshot, _INSTALLATIONS: self._installations.snapshot}
        for name, make in makers.items():
            if not self._changed[name] or not self._registry.loaded:
                continue
            self._changed[name] = False
            try:
                await self._journal.put(name, make())
            except errors.Away:
                self._changed[name] = True
                raise


async def journal_id(journal: Journal) -> str:
    """The journal's own id, made once: it stays with the file, wherever the process runs."""
    known = await journal.get(JOURNAL_ID)
    if known is None:
        known = secrets.token_hex(8).encode()
        await journal.put(JOURNAL_ID, known)
    return known.decode()


async def report_depth(store: Store, journal: Journal, *, journal_id: str) -> None:
    """Raises StoreAway."""
    async with translated():
        await store.redis.hset(DEPTHS_KEY, journal_id, journal.depths[Kind.MESSAGE])
