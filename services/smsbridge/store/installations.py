"""The portal installations, encrypted, each under its own tag; every change is a compare-and-set on its
revision.

The gateway writes what portals posted, whoever refreshes a token writes the new pair, everybody follows.
What an event may change is decided in `core.installation`; nothing here calls a portal.
"""

import asyncio
import base64
import contextlib
import functools
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from smsbridge.core import errors, installation
from smsbridge.core.installation import Broken, Installation, InstallEvent, Tokens
from smsbridge.core.provider import Provider
from smsbridge.store import keyring as keyrings
from smsbridge.store import tags
from smsbridge.store.connection import Store, translated

TOKEN_PURPOSE = "application_token"  # noqa: S105 - a name, for Keyring.digest
_CONTEXT = "installation"
_CHANGES_TRIED = 20  # a compare-and-set loses only to another writer, and those are few


class Busy(errors.Away):
    """Somebody else holds the installation's lock."""

    code = "InstallationBusy"


class Installations:
    """Raises StoreAway; then nobody knows whether a change was made, and it may be made again."""

    def __init__(self, store: Store, keyring: keyrings.Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def get(self, client_id: str, member_id: str) -> Installation | None:
        found, _ = await self._read(record_key(client_id, member_id))
        return found

    async def all(self) -> list[Installation]:
        answer = await self._list()
        found = await asyncio.gather(*(self._read(key) for key in answer.get("installations") or []))
        return [item for item, _ in found if item is not None]

    async def version(self) -> int:
        """Rises with every change of any installation."""
        answer = await self._store.run("registry_read", tags.DEPLOYMENT, "versions")
        return int(answer["installations_version"])

    async def bindings(self) -> dict[str, str]:
        """member_id by provider uid, as far as they are known."""
        return dict((await self._list()).get("bindings") or {})

    async def for_provider(self, provider: Provider) -> Installation | None:
        """Raises StoreAway. Once found it stays found, also when the portal is renamed."""
        bound = (await self.bindings()).get(provider.uid, "")
        if bound:
            known = await self.get(provider.portal.client_id, bound)
            if known is not None and known.works and _at_portal(provider, known):
                return known
        match = choose(provider, await self.all(), bound=bound)
        if match is not None and match.member_id != bound:
            await self._change("bind", provider.uid, match.member_id)
        return match

    async def install(self, event: InstallEvent) -> Installation:
        """An install, an update or a frame whose tokens `app.info` has confirmed to be an administrator's."""
        result = await self._modify(
            event.client_id, event.member_id, lambda old: installation.installed(old, event)
        )
        if result is None:
            raise RuntimeError("an install event makes an installation")
        return result

    async def uninstall(self, client_id: str, member_id: str, *, application_token: str, at: int) -> bool:
        """False where it does not count: no such installation, another token, or an older event."""

        def change(old: Installation | None) -> Installation | None:
            return old and installation.uninstalled(old, application_token=application_token, at=at)

        result = await self._modify(client_id, member_id, change)
        return result is not None and result.broken is Broken.UNINSTALLED

    async def swap_tokens(self, old: Installation, *, used: str, tokens: Tokens) -> bool:
        """Stores the pair that the refresh token `used` was exchanged for. False where no chain has it any
        more.
        """
        written = False

        def change(current: Installation | None) -> Installation | None:
            nonlocal written
            new = current and installation.refreshed(current, used=used, tokens=tokens)
            written = new is not None
            return new or current

        result = await self._modify(old.client_id, old.member_id, change)
        # A repeat after an answer that was lost finds the pair already there.
        return written or (result is not None and tokens.refresh_token in _refresh_tokens(result))

    async def drop_chain(self, old: Installation, *, dead: str) -> Installation | None:
        """The chain whose refresh token is `dead` goes; answers what is in use now, or broken."""
        return await self._modify(
            old.client_id,
            old.member_id,
            lambda current: current and installation.promoted(current, dead=dead),
        )

    async def mark_broken(self, old: Installation, reason: Broken) -> Installation | None:
        """Only while the tokens are still those that did not work."""
        return await self._modify(
            old.client_id,
            old.member_id,
            lambda current: _replace_broken(current, reason) if _same_chain(current, old) else current,
        )

    async def mend(self, old: Installation) -> Installation | None:
        """The tokens worked after all. An uninstalled application is mended by installing it alone."""
        return await self._modify(
            old.client_id,
            old.member_id,
            lambda current: _replace_broken(current, Broken.NO) if _same_chain(current, old) else current,
        )

    async def moved(self, old: Installation, client_endpoint: str) -> Installation | None:
        """A renamed portal answered from its new address."""

        def change(current: Installation | None) -> Installation | None:
            return current and installation.renamed(current, client_endpoint)

        return await self._modify(old.client_id, old.member_id, change)

    @asynccontextmanager
    async def lock(
        self, client_id: str, member_id: str, seconds: float, *, wait_seconds: float = 0.0
    ) -> AsyncIterator[None]:
        """Held for at most `seconds`, which must outlast what is done under it. Raises Busy after
        `wait_seconds`.
        """
        tag = tags.installation(record_key(client_id, member_id))
        token = secrets.token_hex(8)
        milliseconds = round(seconds * 1000)
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            answer = await self._store.run(
                "installation_lock", tag, "take", token, milliseconds, durable=True
            )
            if answer["held"]:
                break
            if asyncio.get_running_loop().time() >= deadline:
                raise Busy("the tokens of this installation are being renewed by another process")
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            with contextlib.suppress(errors.StoreAway):  # it ends by itself; what was done under it stands
                await self._store.run("installation_lock", tag, "release", token, milliseconds)

    def application_token_digests(self, found: Installation) -> tuple[str, ...]:
        """Of the current and the previous token, by every key: what held messages are compared with."""
        known = [token for token in (found.application_token, found.previous_application_token) if token]
        return tuple(digest for token in known for digest in self._keyring.digests(TOKEN_PURPOSE, token))

    async def _modify(
        self, client_id: str, member_id: str, change: Callable[[Installation | None], Installation | None]
    ) -> Installation | None:
        key = record_key(client_id, member_id)
        write = secrets.token_hex(8)
        for _ in range(_CHANGES_TRIED):
            old, revision = await self._read(key)
            new = change(old)
            if new is None or new == old:
                if old is not None:
                    await self._change("list", key)  # an earlier call may have ended between its two writes
                return old
            sealed = base64.b64encode(
                self._keyring.encrypt(_adapter().dump_json(new), context=f"{_CONTEXT} {key}")
            )
            tag = tags.installation(key)
            answer = await self._store.run(
                "installation_put", tag, write, revision, sealed.decode(), durable=True
            )
            if answer["stored"]:
                await self._change("list", key)
                return new
        raise errors.StoreAway("an installation is being changed by too many at once; it is tried again")

    async def _read(self, key: str) -> tuple[Installation | None, int]:
        async with translated():
            revision, sealed = await self._store.redis.hmget(
                tags.installation(key) + "record", "revision", "sealed"
            )
        if sealed is None:
            return None, 0
        plain = self._keyring.decrypt(base64.b64decode(sealed), context=f"{_CONTEXT} {key}")
        return _adapter().validate_json(plain), int(revision)

    async def _list(self) -> dict[str, Any]:
        return dict(await self._store.run("registry_read", tags.DEPLOYMENT, "installations"))

    async def _change(self, *args: str) -> None:
        await self._store.run("registry_change", tags.DEPLOYMENT, *args)


def record_key(client_id: str, member_id: str) -> str:
    """What an installation is stored under."""
    return hashlib.sha256(f"{client_id}\0{member_id}".encode()).hexdigest()[:32]


def choose(provider: Provider, candidates: list[Installation], *, bound: str = "") -> Installation | None:
    """The installation of a provider's application in its portal.

    By the Secret's member_id; else one that works under the domain of the spec; else the one it was
    `bound` to, which
    a renamed portal is found by; else whatever there was under the domain.
    """
    own = [item for item in candidates if item.client_id == provider.portal.client_id]
    if provider.portal.member_id:
        return next((item for item in own if item.member_id == provider.portal.member_id), None)
    here = [item for item in own if _at_portal(provider, item)]
    known = [item for item in own if bound and item.member_id == bound]
    # A portal that was made anew has another member_id under the same domain: the newest install is meant.
    for group in ([item for item in here if item.works], known, here):
        if group:
            return max(group, key=lambda item: item.installed_at)
    return None


def _at_portal(provider: Provider, item: Installation) -> bool:
    endpoint = provider.portal.endpoint
    domain = provider.portal.domain.lower()
    known = (item.domain.lower(), installation.host_of(item.client_endpoint))
    return domain in known or (bool(endpoint) and endpoint == item.client_endpoint)


def _same_chain(current: Installation | None, old: Installation) -> bool:
    return current is not None and current.chain_version == old.chain_version


def _replace_broken(current: Installation | None, reason: Broken) -> Installation | None:
    if current is None or current.broken is Broken.UNINSTALLED:
        return current
    return installation.with_broken(current, reason)


def _refresh_tokens(found: Installation) -> set[str]:
    return {found.refresh_token, *(chain.refresh_token for chain in found.spares)}


@functools.cache
def _adapter() -> TypeAdapter[Installation | None]:
    """None is never stored: of a dataclass alone pydantic takes no `config`, and its errors quote tokens."""
    return TypeAdapter(Installation | None, config=ConfigDict(hide_input_in_errors=True))
