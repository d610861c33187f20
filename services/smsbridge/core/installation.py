"""An installation: one application in one portal, with what lets us call that portal and recognise its calls.

How events change it is decided here, without any input or output: what an install, an update or an
uninstall may do,
which application token counts, which chain of tokens is used next. Who stores it is `store`'s business.
Times are Unix seconds: the portal's own clock for `ts` of events, as Bitrix24 gives them.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from enum import StrEnum

SPARE_CHAINS = 3  # further administrators whose tokens are kept
_EVENTS_REMEMBERED = 16  # a journal repeats an event soon or never


class Broken(StrEnum):
    """Why no token of an installation works. A closed list; `NO` is "it works"."""

    NO = ""
    UNINSTALLED = "Uninstalled"
    GRANT_REFUSED = "GrantRefused"  # every refresh token is dead
    REFUSED = "Refused"  # the portal or the OAuth host says no to the application; may be mended over there


class EventKind(StrEnum):
    INSTALL = "install"  # ONAPPINSTALL
    UPDATE = "update"  # ONAPPUPDATE
    FRAME = "frame"  # an administrator opened the application's page
    SECRET = "secret"  # noqa: S105 - a refresh token that came with the Secret


@dataclass(frozen=True, slots=True)
class Chain:
    """An access token and the one-time token that renews it, of one administrator."""

    user_id: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Tokens:
    """A new pair as an event or a refresh brought it, already confirmed to be of this client id and
    member_id.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int
    user_id: str = ""
    scopes: tuple[str, ...] = ()
    client_endpoint: str = ""
    server_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class InstallEvent:
    """`at` is the event's `ts`, or our own clock where it has none. `application_token` may be empty in
    frames.
    """

    kind: EventKind
    client_id: str
    member_id: str
    domain: str
    tokens: Tokens
    application_token: str = field(default="", repr=False)
    at: int = 0

    @property
    def digest(self) -> str:
        """Tells a repeated event from a new one. A Secret's token counts once, whenever it is read."""
        token = self.tokens.refresh_token or self.tokens.access_token
        when = 0 if self.kind is EventKind.SECRET else self.at
        return hashlib.sha256(f"{self.kind} {when} {token}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Installation:
    """`chain_version` counts changes of the tokens in use; `registrations_version` counts what wiped or
    may have
    wiped our registrations in the portal (install, update), so that they are made again.
    """

    client_id: str
    member_id: str
    domain: str
    client_endpoint: str = ""
    server_endpoint: str = ""
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: int = 0
    user_id: str = ""
    scopes: tuple[str, ...] = ()
    application_token: str = field(default="", repr=False)
    previous_application_token: str = field(default="", repr=False)
    installed_at: int = 0
    updated_at: int = 0
    uninstalled_at: int = 0
    chain_version: int = 0
    registrations_version: int = 0
    broken: Broken = Broken.NO
    spares: tuple[Chain, ...] = field(default=(), repr=False)
    events: tuple[str, ...] = ()  # digests of those that were applied, newest first
    secrets_taken: tuple[str, ...] = ()  # the same of refresh tokens out of Secrets

    @property
    def works(self) -> bool:
        return self.broken is Broken.NO and bool(self.refresh_token or self.access_token)

    @property
    def chain(self) -> Chain:
        return Chain(self.user_id, self.access_token, self.refresh_token, self.expires_at)

    def knows_application_token(self, token: str) -> bool:
        """Compared in constant time with the current one and the one before."""
        given = token.encode("utf-8", "surrogatepass")
        known = (self.application_token, self.previous_application_token)
        results = [bool(own) and hmac.compare_digest(own.encode(), given) for own in known]
        return any(results)


def installed(old: Installation | None, event: InstallEvent) -> Installation:
    """What an install event, an update, a frame or a Secret makes of `old`. A repeat or an older event
    changes nothing.
    """
    if old is None:
        old = Installation(client_id=event.client_id, member_id=event.member_id, domain=event.domain)
    if event.digest in (*old.events, *old.secrets_taken) or _known(old, event) or _outdated(old, event):
        return old
    gone = old.broken is Broken.UNINSTALLED
    tokens = event.tokens
    fresh = old.chain_version == 0 or gone
    dated = event.kind in (EventKind.INSTALL, EventKind.UPDATE)
    wiped = dated or not old.works
    changed_token = bool(event.application_token) and event.application_token != old.application_token
    new = replace(
        old,
        spares=() if fresh else _spares(old, tokens),
        domain=event.domain or old.domain,
        client_endpoint=tokens.client_endpoint or old.client_endpoint,
        server_endpoint=tokens.server_endpoint or old.server_endpoint,
        scopes=tokens.scopes or old.scopes,
        application_token=event.application_token or old.application_token,
        previous_application_token=old.application_token if changed_token else old.previous_application_token,
        installed_at=max(old.installed_at, event.at)
        if event.kind is EventKind.INSTALL or fresh
        else old.installed_at,
        updated_at=max(old.updated_at, event.at) if dated else old.updated_at,
        registrations_version=old.registrations_version + (1 if wiped else 0),
        events=_with_digest(old.events, event, of_secrets=False),
        secrets_taken=_with_digest(old.secrets_taken, event, of_secrets=True),
    )
    return _with_chain(new, tokens)


def uninstalled(old: Installation, *, application_token: str, at: int) -> Installation:
    """Counts only with the current application token and a `ts` after the install; otherwise `old` comes
    back.
    """
    given = application_token.encode("utf-8", "surrogatepass")
    current = old.application_token.encode()
    if not current or not hmac.compare_digest(current, given) or at <= old.installed_at:
        return old
    return replace(
        old,
        access_token="",
        refresh_token="",
        expires_at=0,
        spares=(),
        broken=Broken.UNINSTALLED,
        uninstalled_at=at,
        chain_version=old.chain_version + 1,
    )


def refreshed(old: Installation, *, used: str, tokens: Tokens) -> Installation | None:
    """The pair that the refresh token `used` was exchanged for takes its place, in use or spare; None
    where no chain
    of the installation has that token any more.
    """
    if old.refresh_token and hmac.compare_digest(old.refresh_token, used):
        return _with_chain(_moved(old, tokens), tokens)
    for number, spare in enumerate(old.spares):
        if not hmac.compare_digest(spare.refresh_token, used):
            continue
        renewed = Chain(
            tokens.user_id or spare.user_id, tokens.access_token, tokens.refresh_token, tokens.expires_at
        )
        return replace(old, spares=(*old.spares[:number], renewed, *old.spares[number + 1 :]))
    return None


def promoted(old: Installation, *, dead: str) -> Installation:
    """The chain whose refresh token is `dead` is dropped; the next spare comes into use. Without one it is
    broken.
    """
    spares = tuple(chain for chain in old.spares if chain.refresh_token != dead)
    if old.refresh_token != dead:
        return replace(old, spares=spares)
    if not spares:
        return replace(old, broken=Broken.GRANT_REFUSED)
    first, *rest = spares
    return replace(
        old,
        user_id=first.user_id,
        access_token=first.access_token,
        refresh_token=first.refresh_token,
        expires_at=0,  # nobody has used it lately: renewed first, so that the caller's one repeat is not lost
        spares=tuple(rest),
        chain_version=old.chain_version + 1,
    )


def renamed(old: Installation, client_endpoint: str) -> Installation:
    """The portal answered from another address than the one we knew."""
    return _moved(
        old, Tokens(access_token="", refresh_token="", expires_at=0, client_endpoint=client_endpoint)
    )


def with_broken(old: Installation, reason: Broken) -> Installation:
    return replace(old, broken=reason)


def host_of(endpoint: str) -> str:
    """The host name in a `client_endpoint`, lower case; empty where there is none."""
    _, scheme, rest = endpoint.partition("://")
    return rest.partition("/")[0].lower() if scheme else ""


def _known(old: Installation, event: InstallEvent) -> bool:
    """A frame whose tokens we already hold."""
    held = {old.refresh_token, *(chain.refresh_token for chain in old.spares)} - {""}
    return event.kind is EventKind.FRAME and old.works and event.tokens.refresh_token in held


def _outdated(old: Installation, event: InstallEvent) -> bool:
    """An install or an update that an uninstall, or a newer one of them, has overtaken."""
    if event.kind not in (EventKind.INSTALL, EventKind.UPDATE) or not event.at:
        return False
    return event.at < max(old.installed_at, old.updated_at, old.uninstalled_at)


def _with_digest(known: tuple[str, ...], event: InstallEvent, *, of_secrets: bool) -> tuple[str, ...]:
    """Secrets are read again and again, so theirs are kept apart from events, which come and go."""
    if (event.kind is EventKind.SECRET) is not of_secrets:
        return known
    return (event.digest, *known)[:_EVENTS_REMEMBERED]


def _spares(old: Installation, tokens: Tokens) -> tuple[Chain, ...]:
    """The chain in use becomes the first spare; one chain for each user, the newest ones."""
    kept: list[Chain] = []
    users = {tokens.user_id}
    for chain in (old.chain, *old.spares):
        if not chain.refresh_token or (chain.user_id in users) or chain.refresh_token == tokens.refresh_token:
            continue
        users.add(chain.user_id)
        kept.append(chain)
    return tuple(kept[:SPARE_CHAINS])


def _moved(old: Installation, tokens: Tokens) -> Installation:
    """A renamed portal is followed from its client_endpoint."""
    endpoint = tokens.client_endpoint or old.client_endpoint
    moved = host_of(endpoint) != host_of(old.client_endpoint)
    return replace(
        old,
        client_endpoint=endpoint,
        server_endpoint=tokens.server_endpoint or old.server_endpoint,
        scopes=tokens.scopes or old.scopes,
        domain=host_of(endpoint) if moved and old.domain == host_of(old.client_endpoint) else old.domain,
    )


def _with_chain(old: Installation, tokens: Tokens) -> Installation:
    return replace(
        old,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        expires_at=tokens.expires_at,
        user_id=tokens.user_id or old.user_id,
        chain_version=old.chain_version + 1,
        broken=Broken.NO,
    )
