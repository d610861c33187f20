"""Application events: install, update, uninstall, and the page opened in the portal's frame (guarantee 11).

A door only writes an event down (`encode`); a worker confirms and applies it (`Installing.apply`), again and
again until that is settled. A new pair of tokens counts only after the OAuth host itself has named our client
id and the portal, and the portal has called the token's user an administrator. No address that the event
names is called before that.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Protocol

from smsbridge.bitrix24 import app, client, endpoints, inbound, limiter, oauth, transport
from smsbridge.core import errors, installation
from smsbridge.core.installation import EventKind
from smsbridge.core.provider import Provider


class What(StrEnum):
    INSTALL = "install"
    UPDATE = "update"
    UNINSTALL = "uninstall"
    FRAME = "frame"


_OF_EVENT = {
    inbound.AppEventKind.INSTALL: What.INSTALL,
    inbound.AppEventKind.UPDATE: What.UPDATE,
    inbound.AppEventKind.UNINSTALL: What.UNINSTALL,
}
_KINDS = {What.INSTALL: EventKind.INSTALL, What.UPDATE: EventKind.UPDATE, What.FRAME: EventKind.FRAME}


class Settled(StrEnum):
    """What became of an event; label values and reasons of what is set aside."""

    APPLIED = "applied"
    NOT_CONFIRMED = "not_confirmed"  # another application's or another portal's token, or a dead one
    NOT_ADMINISTRATOR = "not_administrator"
    PROVIDER_REMOVED = "provider_removed"
    NOT_COUNTED = "not_counted"  # an uninstall with another token, or older than the install
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class PortalEvent:
    """An event as it is written down. `at`: the portal's `ts` (unix seconds), or ours where it gave none."""

    what: What
    provider_uid: str
    member_id: str
    at: int
    expires_at: int
    domain: str
    server_endpoint: str
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    application_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`installed`: the portal counts the application as fully installed. `portal_url`: where its pages live,
    as the OAuth host says; empty where the event was not confirmed.
    """

    settled: Settled
    installed: bool = False
    portal_url: str = ""


class Installations(Protocol):
    """What of `store.installations.Installations` is needed here."""

    async def install(self, event: installation.InstallEvent) -> installation.Installation: ...

    async def uninstall(self, client_id: str, member_id: str, *, application_token: str, at: int) -> bool: ...


def of_app_event(event: inbound.AppEvent, *, provider_uid: str, now: int) -> PortalEvent:
    auth = event.auth
    return _event(_OF_EVENT[event.kind], auth, provider_uid=provider_uid, at=event.ts or now, now=now)


def of_frame(frame: inbound.FrameOpened, *, provider_uid: str, now: int) -> PortalEvent:
    return _event(What.FRAME, frame.auth, provider_uid=provider_uid, at=now, now=now)


def _event(what: What, auth: inbound.AuthBlock, *, provider_uid: str, at: int, now: int) -> PortalEvent:
    return PortalEvent(
        what=what,
        provider_uid=provider_uid,
        member_id=auth.member_id,
        at=at,
        expires_at=auth.access_expires_at(now),
        domain=auth.domain,
        server_endpoint=auth.server_endpoint,
        access_token=auth.access_token,
        refresh_token=auth.refresh_token,
        application_token=auth.application_token,
    )


def encode(event: PortalEvent) -> bytes:
    return json.dumps(asdict(event)).encode()


def decode(payload: bytes) -> PortalEvent:
    """Raises InputError for what `encode` did not write."""
    try:
        fields = json.loads(payload)
        return PortalEvent(**{**fields, "what": What(fields["what"])})
    except (ValueError, TypeError, KeyError) as error:
        raise errors.InputError("not an event as this version writes it") from error


class Installing:
    def __init__(
        self,
        *,
        http: transport.Transport,
        limits: limiter.Limiter,
        installations: Installations,
        confirm_seconds: float = 20.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._limits = limits
        self._installations = installations
        self._confirm_seconds = confirm_seconds
        self._clock = clock

    async def apply(self, event: PortalEvent, provider: Provider) -> Outcome:
        """Raises Away where it is to be tried again. A repeat changes nothing."""
        if event.what is What.UNINSTALL:
            counted = await self._installations.uninstall(
                provider.portal.client_id,
                event.member_id,
                application_token=event.application_token,
                at=event.at,
            )
            return Outcome(Settled.APPLIED if counted else Settled.NOT_COUNTED)
        try:
            info = await self._confirm(event, provider)
        except (errors.Refused, errors.InputError):
            return Outcome(Settled.NOT_CONFIRMED)
        endpoint = _endpoint(info, provider)
        outcome = Outcome(Settled.APPLIED, installed=info.installed, portal_url=endpoint)
        try:
            if not await self._is_admin(event, provider, endpoint):
                return Outcome(Settled.NOT_ADMINISTRATOR, info.installed, endpoint)
        except errors.Refused:
            return Outcome(Settled.NOT_CONFIRMED, info.installed, endpoint)
        await self._installations.install(_install_event(event, provider, info, endpoint))
        return outcome

    async def _confirm(self, event: PortalEvent, provider: Provider) -> oauth.AppInfo:
        """Raises Refused, InputError or Away."""
        if not event.member_id or not event.access_token:
            raise errors.InputError("the event carries no tokens")
        base = endpoints.oauth_base(event.server_endpoint, override=provider.portal.oauth_endpoint)
        info = await oauth.app_info(self._http, base, event.access_token, total_seconds=self._confirm_seconds)
        app.check_owner(info, client_id=provider.portal.client_id, member_id=event.member_id)
        endpoints.check(_endpoint(info, provider), sandbox=provider.sandbox)
        return info

    async def _is_admin(self, event: PortalEvent, provider: Provider, endpoint: str) -> bool:
        """Raises Refused or Away."""
        settings = client.ClientSettings(call_seconds=self._confirm_seconds, sandbox=provider.sandbox)
        token = client.FixedToken(client.Token(event.access_token, event.expires_at, endpoint))
        api = client.PortalApi(
            client.Bitrix24Client(self._http, self._limits, settings), event.member_id, token
        )
        return await app.is_admin(api)


def _endpoint(info: oauth.AppInfo, provider: Provider) -> str:
    """The portal's REST address as the OAuth host names it; with `sandbox` the settings may name another."""
    if provider.sandbox and provider.portal.endpoint:
        return provider.portal.endpoint
    return info.client_endpoint


def _install_event(
    event: PortalEvent, provider: Provider, info: oauth.AppInfo, endpoint: str
) -> installation.InstallEvent:
    # The domain of the event is the caller's word; the OAuth host's word has been checked.
    domain = info.domain or installation.host_of(endpoint)
    return installation.InstallEvent(
        kind=_KINDS[event.what],
        client_id=provider.portal.client_id,
        member_id=event.member_id,
        domain=domain,
        tokens=installation.Tokens(
            access_token=event.access_token,
            refresh_token=event.refresh_token,
            expires_at=event.expires_at,
            user_id=info.user_id,
            scopes=tuple(sorted(info.scopes)),
            client_endpoint=endpoint,
            server_endpoint=event.server_endpoint,
        ),
        application_token=event.application_token,
        at=event.at,
    )
