"""The way to a provider's portal: the client bound to the installation's tokens, and the OAuth host behind
them.

One `Portals` serves a process. Which portal a provider has is `store.installations`' knowledge; what is
asked there is
the caller's.
"""

from smsbridge.bitrix24 import client as bitrix24
from smsbridge.bitrix24 import endpoints, limiter, oauth, transport
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.installation import EventKind, Installation, InstallEvent, Tokens
from smsbridge.core.provider import Provider
from smsbridge.provisioning import tokens
from smsbridge.provisioning.settings import TokenSettings
from smsbridge.store.installations import Installations


class OAuthHost:
    """`tokens.OAuth` for one provider's application."""

    def __init__(self, http: transport.Transport, provider: Provider, *, settings: TokenSettings) -> None:
        self._http = http
        self._portal = provider.portal
        self._settings = settings

    async def refresh(self, installation: Installation, *, refresh_token: str) -> oauth.TokenPair:
        """Raises a PortalError."""
        return await oauth.refresh(
            self._http,
            self._base(installation.server_endpoint),
            client_id=self._portal.client_id,
            client_secret=self._portal.client_secret,
            refresh_token=refresh_token,
            total_seconds=self._settings.refresh_seconds,
        )

    async def app_info(self, access_token: str, *, server_endpoint: str = "") -> oauth.AppInfo:
        """Raises as `refresh` does."""
        return await oauth.app_info(self._http, self._base(server_endpoint), access_token)

    def _base(self, server_endpoint: str) -> str:
        try:
            return endpoints.oauth_base(server_endpoint, override=self._portal.oauth_endpoint)
        except errors.InputError as error:
            raise portal_errors.InstallationBroken(error.sentence) from error


class Portals:
    """`http` is an open transport; its block outlives this."""

    def __init__(
        self,
        http: transport.Transport,
        limits: limiter.Limiter,
        installations: Installations,
        *,
        settings: TokenSettings | None = None,
        metrics: tokens.TokenMetrics | None = None,
    ) -> None:
        self._http = http
        self._installations = installations
        self._settings = settings or TokenSettings()
        self._metrics = metrics
        self._strict = bitrix24.Bitrix24Client(http, limits)
        self._sandbox = bitrix24.Bitrix24Client(http, limits, bitrix24.ClientSettings(sandbox=True))
        self._sources: dict[tuple[str, ...], tokens.PortalTokens] = {}

    def client(self, provider: Provider) -> bitrix24.Bitrix24Client:
        """A provider outside the sandbox never gets one that would speak plain http."""
        return self._sandbox if provider.sandbox else self._strict

    def oauth(self, provider: Provider) -> OAuthHost:
        return OAuthHost(self._http, provider, settings=self._settings)

    def tokens(self, provider: Provider, member_id: str, *, probing: bool = False) -> tokens.PortalTokens:
        """The same one for every provider of an installation, as long as its credentials stay."""
        portal = provider.portal
        key = (
            portal.client_id,
            portal.client_secret,
            member_id,
            portal.endpoint,
            portal.oauth_endpoint,
            str(probing),
        )
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = tokens.PortalTokens(
                self._installations,
                self.oauth(provider),
                client_id=portal.client_id,
                member_id=member_id,
                endpoint=portal.endpoint,
                probing=probing,
                settings=self._settings,
                metrics=self._metrics,
            )
        return source

    def api(self, provider: Provider, member_id: str, *, probing: bool = False) -> bitrix24.PortalApi:
        source = self.tokens(provider, member_id, probing=probing)
        return bitrix24.PortalApi(self.client(provider), member_id, source, on_moved=source.moved)

    async def bootstrap(self, provider: Provider, *, origin: str, at: int) -> Installation:
        """Installs from the Secret's refresh token, without an install event. Raises a PortalError.

        With a memberId the token is stored before it is spent; without one, only the refresh tells whose
        it is.
        """
        event = _secret_event(provider, member_id=provider.portal.member_id, refresh_token=origin, at=at)
        if not provider.portal.member_id:
            unknown = Installation(provider.portal.client_id, "", provider.portal.domain)
            pair = await self.oauth(provider).refresh(unknown, refresh_token=origin)
            event = _secret_event(provider, member_id=pair.member_id, refresh_token=origin, at=at)
            found = await self._installations.install(event)
            await self._installations.swap_tokens(found, used=origin, tokens=tokens.tokens_of(pair))
            return await self._installations.get(found.client_id, found.member_id) or found
        return await self._installations.install(event)


def _secret_event(provider: Provider, *, member_id: str, refresh_token: str, at: int) -> InstallEvent:
    return InstallEvent(
        kind=EventKind.SECRET,
        client_id=provider.portal.client_id,
        member_id=member_id,
        domain=provider.portal.domain,
        tokens=Tokens("", refresh_token, 0, client_endpoint=f"https://{provider.portal.domain}/rest/"),
        application_token=provider.portal.application_token,
        at=at,
    )
