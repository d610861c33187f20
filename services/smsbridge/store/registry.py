"""The provider registry: settings and credentials of every provider, encrypted, and what became of them.

`Registry` is for its one writer (the provisioner or the operator), `RegistryView` for everybody who
follows it.
Nothing here decides what a provider should look like, or calls anybody.
"""

import asyncio
import base64
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ConfigDict, TypeAdapter

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.runtime import tasks
from smsbridge.store import keyring as keyrings
from smsbridge.store import tags
from smsbridge.store.connection import Store, translated

log = structlog.get_logger()

_CONTEXT = "provider"
_SNAPSHOT_CONTEXT = "registry snapshot"


@dataclass(frozen=True, slots=True)
class Entry:
    """A provider with the generation of its settings, and the sections that only some roles read, as plain
    JSON.
    """

    provider: Provider
    generation: int = 1
    sections: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contents:
    """`now_ms` is the store's clock at that moment."""

    version: int = 0
    now_ms: int = 0
    entries: Mapping[str, Entry] = field(default_factory=dict)
    let_go: frozenset[str] = frozenset()  # removed ones whose portal is not to be asked any more

    @property
    def providers(self) -> dict[str, Provider]:
        return {uid: entry.provider for uid, entry in self.entries.items()}


class Registry:
    """Raises StoreAway. Every write may be repeated."""

    def __init__(self, store: Store, keyring: keyrings.Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def uid_of(self, namespace: str, name: str, *, candidate: str) -> str:
        """The uid of a living provider of that name; `candidate` becomes it where there is none."""
        answer = await self._change("uid", _label(namespace, name), candidate)
        return str(answer["uid"])

    async def put(
        self, provider: Provider, *, generation: int = 1, sections: Mapping[str, Any] | None = None
    ) -> int:
        """Answers the registry's new version."""
        entry = Entry(dataclasses.replace(provider, removed_at_ms=0), generation, sections or {})
        sealed = self._keyring.encrypt(_entries().dump_json({provider.uid: entry}), context=_CONTEXT)
        label = _label(provider.namespace, provider.name)
        answer = await self._change("put", provider.uid, label, base64.b64encode(sealed).decode())
        return int(answer["version"])

    async def tombstone(self, provider: Provider) -> int:
        """Its doors shut; its settings stay, so that what is under way can be settled. The name is free
        again.
        """
        label = _label(provider.namespace, provider.name)
        return int((await self._change("remove", provider.uid, label))["version"])

    async def let_go(self, uid: str) -> None:
        """A removed provider's portal has been asked; it may belong to another one from now on."""
        await self._change("let-go", uid)

    async def erase(self, uid: str) -> None:
        """Everything that was kept under the provider's tag, then the provider itself."""
        keys = await self._store.keys(tags.provider(uid))
        async with translated():
            for start in range(0, len(keys), 500):
                await self._store.redis.unlink(*keys[start : start + 500])
        await self._change("erase", uid)

    async def load(self) -> Contents:
        """Raises KeyringError where the registry was sealed with a key that is not in the ring."""
        answer = await self._read("providers")
        removed = answer.get("removed") or {}
        entries = {}
        for uid, sealed in (answer.get("providers") or {}).items():
            entry = self._open(sealed)[uid]
            if uid in removed:
                gone = dataclasses.replace(entry.provider, removed_at_ms=int(removed[uid]))
                entry = dataclasses.replace(entry, provider=gone)
            entries[uid] = entry
        let_go = frozenset(answer.get("let_go") or ())
        return Contents(int(answer["version"]), int(answer["now_ms"]), entries, let_go)

    async def version(self) -> int:
        return int((await self._read("versions"))["version"])

    async def put_state(self, namespace: str, name: str, state: Mapping[str, Any] | None) -> None:
        """Conditions and figures of a provider, for people. Not encrypted: no secrets may be in it. None
        takes it away.
        """
        text = (
            ""
            if state is None
            else json.dumps(state, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        )
        await self._change("state", _label(namespace, name), text)

    async def states(self) -> dict[str, dict[str, Any]]:
        """By NAMESPACE/NAME."""
        answer = await self._read("states")
        return {label: json.loads(text) for label, text in (answer.get("states") or {}).items()}

    async def hold(self, owner: str, *, seconds: float) -> str:
        """Makes `owner` the one writer for so long, where nobody else is; a repeat renews it. Says who is."""
        return str((await self._change("hold", owner, str(int(seconds * 1000))))["owner"])

    async def leave(self, owner: str) -> None:
        """Ends `hold` early, so that the next one need not wait."""
        await self._change("leave", owner)

    async def check_key(self, *, advance: bool = False) -> str:
        """Empty where what the store holds was sealed with a key of our ring, else a sentence (guarantee 14).

        `advance`: the writer moves the stored fingerprint on to the ring's first key when keys are rotated.
        """
        stored = str((await self._change("key", self._keyring.fingerprint, ""))["fingerprint"])
        if stored not in self._keyring.fingerprints:
            return (
                "the store was sealed with another master key; add that one to the key file as a further line"
            )
        if advance and stored != self._keyring.fingerprint:
            await self._change("key", stored, self._keyring.fingerprint)
        return ""

    async def _change(self, *args: str) -> dict[str, Any]:
        answer = await self._store.run("registry_change", tags.DEPLOYMENT, *args, durable=True)
        return dict(answer)

    async def _read(self, what: str) -> dict[str, Any]:
        return dict(await self._store.run("registry_read", tags.DEPLOYMENT, what))

    def _open(self, sealed: str) -> dict[str, Entry]:
        return _entries().validate_json(self._keyring.decrypt(base64.b64decode(sealed), context=_CONTEXT))


class RegistryView:
    """The registry as one process sees it: whole and at most a second old. While the store is away it
    stays as it was.
    """

    def __init__(
        self,
        store: Store,
        keyring: keyrings.Keyring,
        *,
        poll_seconds: float = 1.0,
        start_wait_seconds: float = 1.0,
    ) -> None:
        self._registry = Registry(store, keyring)
        self._keyring = keyring
        self._poll_seconds = poll_seconds
        self._start_wait_seconds = start_wait_seconds
        self._contents = Contents()
        self._names: dict[tuple[str, str], Provider] = {}
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._away = False
        self.loaded = False  # a registry has been seen: in the store, or in a snapshot

    @property
    def version(self) -> int:
        return self._contents.version

    async def start(self) -> None:
        """Follows from now on. A store that hangs holds nobody up: it is waited for `start_wait_seconds`."""
        looked = asyncio.Event()
        self._task = asyncio.create_task(self._follow(looked), name="registry view")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._start_wait_seconds):
                await looked.wait()

    async def stop(self) -> None:
        await tasks.end(self._task)
        self._task = None

    def get(self, uid: str) -> Provider | None:
        entry = self._contents.entries.get(uid)
        return entry.provider if entry else None

    def entry(self, uid: str) -> Entry | None:
        return self._contents.entries.get(uid)

    def find(self, namespace: str, name: str) -> Provider | None:
        """The living one of that name, else the one removed last."""
        return self._names.get((namespace, name))

    def all(self) -> list[Provider]:
        return [entry.provider for entry in self._contents.entries.values()]

    def live(self) -> list[Provider]:
        return [provider for provider in self.all() if not provider.removed]

    def on_change(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def refresh(self) -> None:
        """Raises StoreAway."""
        self._take(await self._registry.load())

    def snapshot(self) -> bytes:
        """Encrypted; for a process that must serve its providers while the store is away."""
        plain = _contents().dump_json(self._contents)
        return self._keyring.encrypt(plain, context=_SNAPSHOT_CONTEXT)

    def restore(self, sealed: bytes) -> None:
        """Does nothing once the store itself has been read. Raises KeyringError."""
        plain = self._keyring.decrypt(sealed, context=_SNAPSHOT_CONTEXT)
        contents = _contents().validate_json(plain)
        if contents is not None and not self.loaded:
            self._take(dataclasses.replace(contents, version=-1))

    def _take(self, contents: Contents) -> None:
        self._contents = contents
        # Living ones last, so that they win; of the removed ones the newest.
        ordered = sorted(
            contents.entries.values(), key=lambda e: (not e.provider.removed, e.provider.removed_at_ms)
        )
        self._names = {(e.provider.namespace, e.provider.name): e.provider for e in ordered}
        self.loaded = True
        for callback in self._callbacks:
            callback()

    async def _follow(self, looked: asyncio.Event) -> None:
        while True:
            await self._follow_once()
            looked.set()
            await asyncio.sleep(self._poll_seconds)

    async def _follow_once(self) -> None:
        try:
            if not self.loaded or await self._registry.version() != self._contents.version:
                await self.refresh()
            self._away = False
        except Exception as error:  # the loop's outermost edge: it must follow on, whatever one look brought
            if not self._away:
                known = isinstance(error, errors.SmsbridgeError)
                log.warning("registry_not_read", error=type(error).__name__, exc_info=not known)
            self._away = True


@functools.cache
def _entries() -> TypeAdapter[dict[str, Entry]]:
    return TypeAdapter(dict[str, Entry], config=ConfigDict(hide_input_in_errors=True))


@functools.cache
def _contents() -> TypeAdapter[Contents | None]:
    """None is never stored: of a dataclass alone pydantic takes no `config`, and its errors quote secrets."""
    return TypeAdapter(Contents | None, config=ConfigDict(hide_input_in_errors=True))


def _label(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"
