"""An installation's tokens for whoever calls its portal, renewed one at a time over all processes
(guarantee 11).

A refresh token works once. So: one refresh in a process, one over all processes under the store's lock,
and the new pair
is stored before it is used. After a crash in between the old token is tried once more; if it is dead, the
chain of
another administrator takes over; without one the installation is broken, which a condition shows.

smsbridge_tokens_refreshed_total{result}    ok | or the error's code
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter

from smsbridge.bitrix24 import client as bitrix24
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24 import oauth
from smsbridge.core import errors
from smsbridge.core.installation import Broken, Installation, Tokens
from smsbridge.provisioning.settings import TokenSettings
from smsbridge.store.installations import Installations

log = structlog.get_logger()

_BROKEN_SENTENCES = {
    Broken.UNINSTALLED: "the application was uninstalled; install it again",
    Broken.GRANT_REFUSED: "no refresh token works any more; open the application as administrator",
    Broken.REFUSED: "the portal refuses the application's tokens; install it again",
}


class TokenMetrics:
    """Of every role that calls portals."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.refreshed = Counter(
            "smsbridge_tokens_refreshed",
            "Refresh tokens that were to be spent, by what came of it.",
            ["result"],
            registry=registry,
        )
        # There from the start: a rate sees nothing of a counter's first value.
        for result in ("ok", portal_errors.GrantRefused.code):
            self.refreshed.labels(result)


class OAuth(Protocol):
    async def refresh(self, installation: Installation, *, refresh_token: str) -> oauth.TokenPair:
        """Raises a PortalError."""


class PortalTokens:
    """A `bitrix24.client.TokenSource`; one for each installation in a process, so that refreshes meet in it.

    `endpoint` stands for the portal's own, for the sandbox. `probing` asks also where the portal refused
    us before, to
    find out whether it was mended; everybody else then raises without a request.
    """

    def __init__(
        self,
        installations: Installations,
        oauth_host: OAuth,
        *,
        client_id: str,
        member_id: str,
        endpoint: str = "",
        probing: bool = False,
        settings: TokenSettings | None = None,
        metrics: TokenMetrics | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._installations = installations
        self._oauth = oauth_host
        self._client_id = client_id
        self._member_id = member_id
        self._endpoint = endpoint
        self._probing = probing
        self._settings = settings or TokenSettings()
        self._refreshed = (metrics or TokenMetrics(CollectorRegistry())).refreshed
        self._clock = clock
        self._sleep = sleep
        self._single = asyncio.Lock()

    async def token(self) -> bitrix24.Token:
        """Raises InstallationBroken, PortalAway, StoreAway."""
        found = await self._working()
        if self._fresh(found):
            return self._token(found)
        return await self._renewed(unlike=found.access_token)

    async def expired(self, token: bitrix24.Token) -> bitrix24.Token:
        """A newer token than `token`. Raises as `token()` does."""
        return await self._renewed(unlike=token.access_token)

    async def moved(self, client_endpoint: str) -> None:
        """The portal answered from a new address."""
        found = await self._installations.get(self._client_id, self._member_id)
        if found is not None:
            await self._installations.moved(found, client_endpoint)

    async def _renewed(self, *, unlike: str) -> bitrix24.Token:
        lock_seconds = self._settings.refresh_seconds + self._settings.lock_extra_seconds
        async with self._single:
            while True:
                found = await self._working()
                if found.access_token != unlike and self._fresh(found):
                    return self._token(found)
                # One refresh under each lock, so that a lock always outlasts what is done under it.
                async with self._installations.lock(
                    self._client_id, self._member_id, lock_seconds, wait_seconds=lock_seconds
                ):
                    found = await self._working()
                    if found.access_token != unlike and self._fresh(found):
                        return self._token(found)
                    try:
                        return self._token(await self._refresh(found))
                    except portal_errors.GrantRefused:
                        await self._next_chain(found, dead=found.refresh_token)

    async def _refresh(self, found: Installation) -> Installation:
        """A new pair, stored. Raises GrantRefused where this chain is dead."""
        used = found.refresh_token
        try:
            pair = await self._spent(found, used)
        except portal_errors.GrantRefused:
            raise
        except portal_errors.InstallationBroken:
            await self._installations.mark_broken(found, Broken.REFUSED)
            raise
        if pair.member_id and pair.member_id != found.member_id:
            await self._installations.mark_broken(found, Broken.REFUSED)
            raise portal_errors.InstallationBroken(
                "the refresh token belongs to another portal; install again"
            )
        return await self._store(found, used=used, pair=pair)

    async def _spent(self, found: Installation, used: str) -> oauth.TokenPair:
        """Counted. Raises a PortalError."""
        try:
            pair = await self._oauth.refresh(found, refresh_token=used)
        except portal_errors.PortalError as error:
            self._refreshed.labels(error.code).inc()
            raise
        self._refreshed.labels("ok").inc()
        return pair

    async def _next_chain(self, found: Installation, *, dead: str) -> None:
        """Another administrator's comes into use. Raises InstallationBroken where there is none."""
        log.warning("refresh_token_refused", member_id=found.member_id, spare_chains=len(found.spares))
        left = await self._installations.drop_chain(found, dead=dead)
        if left is None or not left.works:
            raise _broken(left.broken if left else Broken.UNINSTALLED)

    async def _store(self, found: Installation, *, used: str, pair: oauth.TokenPair) -> Installation:
        """The old token is spent now: nothing but storing the new one helps, so it is tried for long."""
        tokens = tokens_of(pair)
        for _ in range(self._settings.store_attempts):
            with contextlib.suppress(errors.Away):
                stored = await self._installations.swap_tokens(found, used=used, tokens=tokens)
                current = await self._installations.get(found.client_id, found.member_id)
                if current is None or (not stored and not current.works):
                    raise _broken(Broken.UNINSTALLED)
                if current.refresh_token != tokens.refresh_token:
                    log.info("newer_tokens_found", member_id=found.member_id)
                log.info("tokens_refreshed", member_id=found.member_id)
                return current
            await self._sleep(self._settings.store_retry_seconds)
        raise errors.StoreAway(
            "a new pair of tokens could not be stored; open the application as administrator"
        )

    async def _working(self) -> Installation:
        found = await self._installations.get(self._client_id, self._member_id)
        if found is None:
            raise portal_errors.InstallationBroken("the application is not installed in this portal")
        if not found.works and not (self._probing and found.broken is Broken.REFUSED):
            raise _broken(found.broken)
        return found

    def _fresh(self, found: Installation) -> bool:
        return bool(found.access_token) and found.expires_at > self._clock() + self._settings.early_seconds

    def _token(self, found: Installation) -> bitrix24.Token:
        endpoint = self._endpoint or found.client_endpoint or f"https://{found.domain}/rest/"
        return bitrix24.Token(found.access_token, found.expires_at, endpoint)


def tokens_of(pair: oauth.TokenPair) -> Tokens:
    return Tokens(
        access_token=pair.access_token,
        refresh_token=pair.refresh_token,
        expires_at=pair.expires_at,
        user_id=pair.user_id,
        scopes=tuple(sorted(pair.scope)),
        client_endpoint=pair.client_endpoint,
        server_endpoint=pair.server_endpoint,
    )


def _broken(reason: Broken) -> portal_errors.InstallationBroken:
    known = _BROKEN_SENTENCES.get(reason, "the installation has no tokens; install the application again")
    return portal_errors.InstallationBroken(known, rest_code=reason.value)
