"""The registration in the portal: found out, made, made again, taken away, and said as conditions.

A provider in order costs one request: a batch that lists our senders, writes the same settings again, and
looks for our custom fields. `list` and `update` need an administrator, the application's own token and the
scope, so they prove all three.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from smsbridge.bitrix24 import answers, app, batch, limiter, messageservice
from smsbridge.bitrix24 import client as bitrix24
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.bitrix24.inbound import AppEventKind
from smsbridge.core import errors
from smsbridge.core.installation import Broken, EventKind, Installation, InstallEvent, Tokens
from smsbridge.core.provider import Provider
from smsbridge.provisioning import conditions, fields, spec, urls
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.portal import Portals
from smsbridge.provisioning.state import State
from smsbridge.store.installations import Installations
from smsbridge.store.keyring import Keyring

log = structlog.get_logger()

SCOPE = "messageservice"
_LIST, _UPDATE = "messageservice.sender.list", "messageservice.sender.update"

# What a refusal means, most special first; none of them is about the registration itself.
_REFUSALS: tuple[tuple[type[errors.SmsbridgeError], Status, Reason], ...] = (
    (portal_errors.InsufficientScope, Status.FALSE, Reason.SCOPE_MISSING),
    (portal_errors.AccessDenied, Status.FALSE, Reason.NOT_ADMINISTRATOR),
    (portal_errors.GrantRefused, Status.FALSE, Reason.TOKENS_DEAD),
    (portal_errors.ClientRefused, Status.FALSE, Reason.CLIENT_REFUSED),
    (portal_errors.PortalGone, Status.FALSE, Reason.PORTAL_GONE),
    (portal_errors.InstallationBroken, Status.FALSE, Reason.PORTAL_REFUSES),
    (portal_errors.Overloaded, Status.FALSE, Reason.PORTAL_BLOCKED),
    (portal_errors.PortalUnavailable, Status.UNKNOWN, Reason.PORTAL_AWAY),
)
_BROKEN = {
    Broken.UNINSTALLED: Reason.UNINSTALLED,
    Broken.GRANT_REFUSED: Reason.TOKENS_DEAD,
    Broken.REFUSED: Reason.PORTAL_REFUSES,
}


@dataclass(frozen=True, slots=True)
class PortalClients:
    portals: Portals
    installations: Installations
    keyring: Keyring
    maker: fields.Maker = field(default_factory=fields.Maker)


@dataclass(frozen=True, slots=True)
class Removal:
    """`done` is False where it is worth another try."""

    done: bool
    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """PortalAuthorized, Registered and FieldsReady, and what is to be remembered.

    `put_back`: the portal had lost us without an event that would explain it.
    """

    conditions: list[Condition]
    state: State
    put_back: bool = False


async def check(
    provider: Provider, state: State, *, names: spec.Fields, clients: PortalClients, now: datetime
) -> Seen:
    """Raises StoreAway. `names`: of the custom fields."""
    try:
        found = await _installation(provider, clients, at=int(now.timestamp()))
    except portal_errors.PortalError as error:
        return Seen([_unauthorized(error), *_waiting(state, error)], state)
    if found is None:
        where = urls.masked(provider).install
        lacking = _authorized(Status.FALSE, Reason.NOT_INSTALLED, detail=f"installUrl is {where}")
        return Seen([lacking, *_wait()], state)
    state = replace(state, member_id=found.member_id)
    try:
        registered = await _registered(provider, found, state, names=names, clients=clients)
    except portal_errors.PortalError as error:
        return Seen(await _failed(found, error, state, clients=clients), state)
    if found.broken is not Broken.NO:
        await clients.installations.mend(found)
    done = [
        _authorized(Status.TRUE, Reason.AUTHORIZED),
        _registration(Status.TRUE, Reason.REGISTERED),
        *registered.fields,
    ]
    known = replace(state, registered=registered.mark, last_sync=now)
    return Seen(done, known, put_back=registered.anew and registered.mark == state.registered)


async def remove(provider: Provider, *, clients: PortalClients) -> Removal:
    """Takes the registration back. Never raises for what the portal says: a removal waits for nobody."""
    found = await clients.installations.for_provider(provider)
    if found is None or found.broken is Broken.UNINSTALLED:
        return Removal(True, "the application is not installed: nothing to take back")
    api = clients.portals.api(provider, found.member_id, probing=True)
    try:
        await messageservice.unregister(api, code=provider.code)
    except errors.StoreAway:
        raise
    except errors.Away as error:
        return Removal(False, error.sentence)
    except errors.SmsbridgeError as error:
        return Removal(True, f"the portal lets us do nothing: {error.sentence}")
    return Removal(True, "the portal shows it no more")


async def _installation(provider: Provider, clients: PortalClients, *, at: int) -> Installation | None:
    found = await clients.installations.for_provider(provider)
    token = provider.portal.refresh_token
    if not token or (found is not None and found.works):
        return found
    taken = _secret_digest(token)
    if found is not None and taken in found.secrets_taken:
        return found
    made = await clients.portals.bootstrap(provider, origin=token, at=at)
    log.info("installed_from_secret", provider=provider.uid, member_id=made.member_id)
    return made


@dataclass(frozen=True, slots=True)
class _Registration:
    """`mark`: what it was made for, to see a change by. `anew`: the portal did not have it."""

    mark: str
    anew: bool
    fields: list[Condition]


async def _registered(
    provider: Provider, found: Installation, state: State, *, names: spec.Fields, clients: PortalClients
) -> _Registration:
    """Raises a PortalError."""
    addresses = urls.of(provider, clients.keyring)
    api = clients.portals.api(provider, found.member_id, probing=True)
    mark = clients.keyring.digest("registration", f"{found.registrations_version} {addresses.install}")
    settled = mark == state.registered
    looked_at = clients.maker.moment()
    seen = await _look(api, provider, addresses, names=names, events=not settled)
    how = messageservice.Registered.UPDATED
    if not seen.updated:
        how = await messageservice.register(
            api,
            code=provider.code,
            name=provider.display_name,
            description=provider.description,
            handler=addresses.handler,
            listed=seen.codes,
        )
        log.info("provider_registered", provider=provider.uid, code=provider.code, how=how.value)
    if not settled and not seen.bound:
        # Nobody binds it for us, and it goes with every update of the application.
        await app.bind_event(api, event=AppEventKind.UNINSTALL.value, handler=addresses.install)
    anew = how is messageservice.Registered.ADDED
    try:
        ready = await fields.settle(api, names, seen.fields, maker=clients.maker, looked_at=looked_at)
    except portal_errors.PortalUnavailable as error:
        # Whoever was told that they are there is told nothing else before we know.
        told = _of(state, Type.FIELDS_READY)
        unknown = conditions.condition(
            Type.FIELDS_READY, Status.UNKNOWN, Reason.PORTAL_AWAY, detail=error.sentence
        )
        return _Registration(mark, anew, [] if told is Status.TRUE else [unknown])
    return _Registration(mark, anew, [ready])


@dataclass(frozen=True, slots=True)
class _Look:
    """What one batch told: our senders, whether ours took its settings again, whether our event is bound,
    and what there is of custom fields.
    """

    codes: frozenset[str]
    updated: bool
    bound: bool
    fields: tuple[batch.CommandResult, ...]


async def _look(
    api: bitrix24.PortalApi, provider: Provider, addresses: urls.Urls, *, names: spec.Fields, events: bool
) -> _Look:
    """One request. `events`: ask also for the bound events."""
    params: dict[str, str | dict[str, str]] = {"CODE": provider.code, "HANDLER": addresses.handler}
    params["NAME"] = _caption(provider.display_name)
    if provider.description:
        params["DESCRIPTION"] = _caption(provider.description)
    asked = fields.look(names)
    commands = [batch.Command(_LIST), batch.Command(_UPDATE, dict(params)), *asked]
    if events:
        commands.append(batch.Command(app.EVENTS_METHOD))
    listed, updated, *others = (await api.batch(commands, priority=limiter.Priority.TOKENS)).results
    found, bound = others[: len(asked)], others[len(asked) :]
    for result in (listed, *bound):
        if result.error:
            raise result.error
    codes = frozenset(answers.text_of(code).lower() for code in answers.as_list(listed.value))
    if provider.code.lower() in codes and isinstance(updated.error, errors.Away):
        raise updated.error
    event = AppEventKind.UNINSTALL.value
    return _Look(
        codes,
        updated=provider.code.lower() in codes and updated.ok,
        bound=any(app.is_bound(item.value, event=event, handler=addresses.install) for item in bound),
        fields=tuple(found),
    )


async def _failed(
    found: Installation, error: portal_errors.PortalError, state: State, *, clients: PortalClients
) -> list[Condition]:
    refused = isinstance(error, portal_errors.PortalRefused)
    if refused and not any(isinstance(error, kind) for kind, _, _ in _REFUSALS):
        # The portal may repeat what it was sent.
        detail = urls.without_keys(error.description or error.sentence)
        return [
            _authorized(Status.TRUE, Reason.AUTHORIZED),
            _registration(Status.FALSE, Reason.REGISTRATION_REFUSED, detail=detail),
            *([] if _of(state, Type.FIELDS_READY) else [_fields_wait()]),
        ]
    current = await clients.installations.get(found.client_id, found.member_id)
    if (
        current is not None
        and current.broken is Broken.NO
        and isinstance(error, portal_errors.InstallationBroken)
    ):
        current = await clients.installations.mark_broken(current, Broken.REFUSED)
    if current is not None and current.broken in _BROKEN:
        return [
            _authorized(Status.FALSE, _BROKEN[current.broken], detail=error.rest_code),
            *_waiting(state, error),
        ]
    return [_unauthorized(error), *_waiting(state, error)]


def _unauthorized(error: portal_errors.PortalError) -> Condition:
    for kind, status, reason in _REFUSALS:
        if isinstance(error, kind):
            return _authorized(status, reason, detail=error.sentence)
    return _authorized(Status.FALSE, Reason.PORTAL_REFUSES, detail=error.sentence)


def _waiting(state: State, error: errors.SmsbridgeError) -> list[Condition]:
    """A portal that does not answer still shows what it showed."""
    shown = _wait()
    if isinstance(error, errors.Away):
        return [item for item in shown if not _of(state, item.type)]
    return shown


def _wait() -> list[Condition]:
    return [_registration(Status.FALSE, Reason.WAITING_FOR_PORTAL), _fields_wait()]


def _fields_wait() -> Condition:
    return conditions.condition(Type.FIELDS_READY, Status.UNKNOWN, Reason.WAITING_FOR_PORTAL)


def _of(state: State, type_: Type) -> Status | None:
    found = state.find(type_)
    return found.status if found is not None else None


def _authorized(status: Status, reason: Reason, *, detail: str = "") -> Condition:
    return conditions.condition(Type.PORTAL_AUTHORIZED, status, reason, detail=detail)


def _registration(status: Status, reason: Reason, *, detail: str = "") -> Condition:
    return conditions.condition(Type.REGISTERED, status, reason, detail=detail)


def _caption(value: str | Mapping[str, str]) -> str | dict[str, str]:
    return value if isinstance(value, str) else dict(value)


def _secret_digest(refresh_token: str) -> str:
    tokens = Tokens("", refresh_token, 0)
    return InstallEvent(EventKind.SECRET, client_id="", member_id="", domain="", tokens=tokens).digest
