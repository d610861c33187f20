"""The registration in the portal: found out, made, made again, and said as conditions.

A provider in order costs one request: a batch that lists our senders and steps, writes the same settings
again, and looks for our custom fields and bound events. `list` and `update` need an administrator, the
application's own token and the scope, so they prove all three. How it is taken back is in `removal`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from smsbridge.bitrix24 import answers, app, batch, limiter, messageservice
from smsbridge.bitrix24 import client as bitrix24
from smsbridge.bitrix24 import errors as portal_errors
from smsbridge.core import errors
from smsbridge.core.installation import Broken, EventKind, Installation, InstallEvent, Tokens
from smsbridge.core.provider import Provider
from smsbridge.provisioning import conditions, events, fields, robots, spec, urls
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
class Seen:
    """PortalAuthorized, Registered, FieldsReady and RobotsReady, and what is to be remembered.

    `put_back`: the portal had lost us, or a part of us, without an event that would explain it.
    """

    conditions: list[Condition]
    state: State
    put_back: bool = False


async def check(
    provider: Provider, state: State, *, crm: spec.CrmSection, clients: PortalClients, now: datetime
) -> Seen:
    """Raises StoreAway. `crm`: what is wanted there."""
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
        registered = await _registered(provider, found, state, crm=crm, clients=clients)
    except portal_errors.PortalError as error:
        return Seen(await _failed(found, error, state, clients=clients), state)
    if found.broken is not Broken.NO:
        await clients.installations.mend(found)
    done = [_authorized(Status.TRUE, Reason.AUTHORIZED), *registered.conditions]
    known = replace(state, registered=registered.mark, last_sync=now)
    return Seen(done, known, put_back=registered.lost)


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
    """`mark`: what it was made for, to see a change by. `lost`: the portal did not have what it had, and
    nothing had changed.
    """

    mark: str
    lost: bool
    conditions: list[Condition]


async def _registered(
    provider: Provider, found: Installation, state: State, *, crm: spec.CrmSection, clients: PortalClients
) -> _Registration:
    """Raises a PortalError."""
    addresses = urls.of(provider, clients.keyring)
    own = robots.Steps(provider.code, addresses.robots, offered=crm.robots)
    api = clients.portals.api(provider, found.member_id, probing=True)
    looked_at = clients.maker.moment()
    seen = await _look(api, provider, addresses, names=crm.fields, own=own)
    should = events.wanted(provider, crm, addresses, sees_crm=fields.are_managed(seen.fields))
    mark = _mark(found, addresses, [item.event for item in should], offered=crm.robots, ring=clients.keyring)
    settled = mark == state.registered
    bindings = _bindings(provider, should, seen.bound, settled=settled, ring=clients.keyring)
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
    steps = robots.read(own, seen.steps)
    commands = [*bindings.commands, *steps.changes]
    results = (await api.batch(commands, priority=limiter.Priority.TOKENS)).results if commands else ()
    of_events, of_steps = results[: len(bindings.commands)], results[len(bindings.commands) :]
    registration = _bound(bindings, of_events)
    if commands:
        log.info("registrations_changed", provider=provider.uid, made=sum(item.ok for item in results))
    anew = {
        Reason.REGISTERED: any(item.ok for item in of_events[: len(bindings.missing)]),
        Reason.ROBOTS_REGISTERED: any(item.ok for item in of_steps),
    }
    told = {item.reason for item in state.conditions}
    lost = how is messageservice.Registered.ADDED or any(anew[reason] for reason in anew.keys() & told)
    # Whoever was told that they are there is told nothing else before we know.
    known = steps.away is None or not settled or _of(state, Type.ROBOTS_READY) is not Status.TRUE
    said = (
        registration,
        await _fields(api, crm.fields, seen.fields, state, clients=clients, looked_at=looked_at),
        robots.condition(own, steps, of_steps) if known else None,
    )
    return _Registration(mark, settled and lost, [item for item in said if item is not None])


async def _fields(
    api: bitrix24.PortalApi,
    names: spec.Fields,
    looked: Sequence[batch.CommandResult],
    state: State,
    *,
    clients: PortalClients,
    looked_at: int,
) -> Condition | None:
    """FieldsReady; None where it cannot be told now and they were there."""
    try:
        return await fields.settle(api, names, looked, maker=clients.maker, looked_at=looked_at)
    except portal_errors.PortalUnavailable as error:
        if _of(state, Type.FIELDS_READY) is Status.TRUE:
            return None
        return conditions.condition(
            Type.FIELDS_READY, Status.UNKNOWN, Reason.PORTAL_AWAY, detail=error.sentence
        )


def _mark(
    found: Installation, addresses: urls.Urls, names: Sequence[str], *, offered: bool, ring: Keyring
) -> str:
    """Of all that decides what the portal should have of us."""
    parts = (str(found.registrations_version), addresses.install, *names, f"robots {offered}")
    return ring.digest("registration", " ".join(parts))


def _bindings(
    provider: Provider,
    should: Sequence[app.Binding],
    listed: batch.CommandResult,
    *,
    settled: bool,
    ring: Keyring,
) -> events.Changes:
    """Raises a PortalError where it cannot be told what is bound, and nobody knew before."""
    if listed.error is None:
        return events.changes(provider, should, app.read_bindings(listed.value), keyring=ring)
    if settled and isinstance(listed.error, errors.Away):
        return events.Changes()
    raise listed.error


def _bound(changes: events.Changes, results: Sequence[batch.CommandResult]) -> Condition:
    """Registered. Raises a PortalUnavailable."""
    refusals: list[str] = []
    for binding, result in zip((*changes.missing, *changes.surplus), results, strict=True):
        if isinstance(result.error, portal_errors.PortalUnavailable):
            raise result.error
        if result.error is not None and not app.was_bound(result.error):
            words = urls.without_keys(result.error.description or result.error.sentence)
            refusals.append(f"{binding.event}: {words}")
    if refusals:
        return _registration(Status.FALSE, Reason.EVENTS_REFUSED, detail="; ".join(refusals))
    return _registration(Status.TRUE, Reason.REGISTERED)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one batch told: our senders, whether ours took its settings again, which events are bound, and
    what there is of custom fields and steps.
    """

    codes: frozenset[str]
    updated: bool
    bound: batch.CommandResult
    fields: tuple[batch.CommandResult, ...]
    steps: tuple[batch.CommandResult, ...]


async def _look(
    api: bitrix24.PortalApi,
    provider: Provider,
    addresses: urls.Urls,
    *,
    names: spec.Fields,
    own: robots.Steps,
) -> _Look:
    """One request."""
    params: dict[str, str | dict[str, str]] = {"CODE": provider.code, "HANDLER": addresses.handler}
    params["NAME"] = _caption(provider.display_name)
    if provider.description:
        params["DESCRIPTION"] = _caption(provider.description)
    asked, steps = fields.look(names), robots.look(own)
    commands = [batch.Command(_LIST), batch.Command(_UPDATE, dict(params)), app.bindings_command()]
    answer = await api.batch([*commands, *asked, *steps], priority=limiter.Priority.TOKENS)
    listed, updated, bound, *others = answer.results
    if listed.error:
        raise listed.error
    codes = frozenset(answers.text_of(code).lower() for code in answers.as_list(listed.value))
    if provider.code.lower() in codes and isinstance(updated.error, errors.Away):
        raise updated.error
    return _Look(
        codes,
        updated=provider.code.lower() in codes and updated.ok,
        bound=bound,
        fields=tuple(others[: len(asked)]),
        steps=tuple(others[len(asked) :]),
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
            *(item for item in _wait_for_crm() if not _of(state, item.type)),
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
    return [_registration(Status.FALSE, Reason.WAITING_FOR_PORTAL), *_wait_for_crm()]


def _wait_for_crm() -> list[Condition]:
    return [fields.waiting(), robots.waiting()]


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
