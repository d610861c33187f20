"""The installations as one process sees them, at most a second old, so that a door can look at one without
waiting.

While the store is away it stays as it was. It writes nothing.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable

import structlog
from pydantic import ConfigDict, TypeAdapter

from smsbridge.core import errors
from smsbridge.core.installation import Installation
from smsbridge.core.provider import Provider
from smsbridge.runtime import tasks
from smsbridge.store import installations as stored
from smsbridge.store.keyring import Keyring

log = structlog.get_logger()

_SNAPSHOT_CONTEXT = "installations snapshot"
# A writer that died between its two writes raised no version: everything is read again so often.
_FULL_READ_POLLS = 10


class InstallationsView:
    def __init__(self, source: stored.Installations, keyring: Keyring, *, poll_seconds: float = 1.0) -> None:
        self._source = source
        self._keyring = keyring
        self._poll_seconds = poll_seconds
        self._version = -1
        self._polls = 0
        self._found: dict[tuple[str, str], Installation] = {}
        self._bindings: dict[str, str] = {}
        self._callbacks: list[Callable[[list[Installation]], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._away = False

    async def start(self) -> None:
        await self._follow_once()
        self._task = asyncio.create_task(self._follow(), name="installations view")

    async def stop(self) -> None:
        await tasks.end(self._task)
        self._task = None

    def get(self, client_id: str, member_id: str) -> Installation | None:
        return self._found.get((client_id, member_id))

    def all(self) -> list[Installation]:
        return list(self._found.values())

    def for_provider(self, provider: Provider) -> Installation | None:
        return stored.choose(provider, self.all(), bound=self._bindings.get(provider.uid, ""))

    def on_change(self, callback: Callable[[list[Installation]], None]) -> None:
        """Called with those that are new or changed."""
        self._callbacks.append(callback)

    async def refresh(self) -> None:
        """Raises StoreAway."""
        version = await self._source.version()
        self._take(await self._source.all(), await self._source.bindings())
        self._version = version

    def snapshot(self) -> bytes:
        """Encrypted, without the portals' tokens: what a door needs to recognise a call while the store is
        away.
        """
        bare = [_without_tokens(item) for item in self._found.values()]
        plain = _snapshots().dump_json((bare, self._bindings))
        return self._keyring.encrypt(plain, context=_SNAPSHOT_CONTEXT)

    def restore(self, sealed: bytes) -> None:
        """Does nothing once the store itself has been read. Raises KeyringError."""
        found, bindings = _snapshots().validate_json(self._keyring.decrypt(sealed, context=_SNAPSHOT_CONTEXT))
        if self._version < 0:
            self._take(found, bindings)

    def _take(self, found: Iterable[Installation], bindings: dict[str, str]) -> None:
        new = {(item.client_id, item.member_id): item for item in found}
        changed = [item for key, item in new.items() if self._found.get(key) != item]
        self._found = new
        self._bindings = bindings
        if changed:
            for callback in self._callbacks:
                callback(changed)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self._follow_once()

    async def _follow_once(self) -> None:
        self._polls += 1
        try:
            if self._polls % _FULL_READ_POLLS == 0 or await self._source.version() != self._version:
                await self.refresh()
            self._away = False
        except Exception as error:  # the loop's outermost edge: it must follow on, whatever one look brought
            if not self._away:
                known = isinstance(error, errors.SmsbridgeError)
                log.warning("installations_not_read", error=type(error).__name__, exc_info=not known)
            self._away = True


def _without_tokens(item: Installation) -> Installation:
    return Installation(
        client_id=item.client_id,
        member_id=item.member_id,
        domain=item.domain,
        client_endpoint=item.client_endpoint,
        application_token=item.application_token,
        previous_application_token=item.previous_application_token,
        installed_at=item.installed_at,
        broken=item.broken,
    )


@functools.cache
def _snapshots() -> TypeAdapter[tuple[list[Installation], dict[str, str]]]:
    shape = tuple[list[Installation], dict[str, str]]
    return TypeAdapter(shape, config=ConfigDict(hide_input_in_errors=True))
