"""Makes one provider true: its account is asked, its portal shows it, and conditions say what is so and
what is not.

Every step is safe to repeat; clients come as arguments. When it is done again is decided by whoever calls:
the provisioner's loop, here and in the operator alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from smsbridge.core.provider import DeletionPolicy, Provider
from smsbridge.provisioning import account_check, conditions, convert, portal_check, removal
from smsbridge.provisioning import sections as of_entry
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.manifests import ResourceError
from smsbridge.provisioning.public_url import PublicUrls
from smsbridge.provisioning.removal import Removal
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State


@dataclass(frozen=True, slots=True)
class Clients:
    account: account_check.AccountClients
    portal: portal_check.PortalClients
    public_urls: PublicUrls
    settings: ProvisioningSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """`again` is True where it should be tried before the usual interval is over.

    `put_back` is True where the portal had lost the provider, its steps or its events without a word, and has
    them again.
    """

    state: State
    again: bool
    put_back: bool = False

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.state.conditions


async def reconcile(
    provider: Provider,
    state: State,
    *,
    generation: int,
    clients: Clients,
    now: datetime,
    sections: Mapping[str, Any] | None = None,
) -> Outcome:
    """Raises StoreAway; nothing else that happens out there. `sections`: of the provider's registry entry."""
    state = replace(state, uid=provider.uid, generation=generation, errors=(), removed=False)
    account, state = await account_check.check(
        provider, state, clients=clients.account, settings=clients.settings, now=now
    )
    crm = of_entry.crm(sections or {})
    seen = await portal_check.check(provider, state, crm=crm, clients=clients.portal, now=now)
    portal, state = seen.conditions, seen.state
    if clients.settings.check_public_urls:
        portal = await _trusted(provider, portal, clients.public_urls)
    merged = conditions.merge(state.conditions, [*account, *portal], generation=generation, now=now)
    state = replace(state, conditions=merged)
    lacking = [item for item in merged if item.status is not Status.TRUE and item.type is not Type.READY]
    again = any(item.reason is not Reason.PAUSED for item in lacking)  # that is what the spec asks for
    return Outcome(state, again, seen.put_back)


async def _trusted(provider: Provider, found: Sequence[Condition], urls: PublicUrls) -> list[Condition]:
    """A registration that nobody will call is none."""
    if not any(item.type is Type.REGISTERED and item.status is Status.TRUE for item in found):
        return list(found)
    if not (distrust := await urls.distrust(provider.public_url)):
        return list(found)
    bad = conditions.condition(Type.REGISTERED, Status.FALSE, Reason.PUBLIC_URL_UNTRUSTED, detail=distrust)
    return [bad if item.type is Type.REGISTERED else item for item in found]


async def remove(provider: Provider, *, clients: Clients, succeeded: bool = False) -> Removal:
    """Takes the provider out of the portal, as far as its deletion policy and the portal allow. Raises
    StoreAway.

    `succeeded`: another provider stands under its code now.
    """
    if provider.deletion_policy is DeletionPolicy.RETAIN:
        return Removal(True, "deletionPolicy is Retain: the portal still shows it")
    return await removal.remove(provider, clients=clients.portal, succeeded=succeeded)


def sending(provider: Provider, state: State, *, pause: str, now: datetime) -> State:
    """The state with what the sender says of the account; nobody is asked."""
    found = account_check.sending_condition(provider, pause)
    merged = conditions.merge(state.conditions, [found], generation=state.generation, now=now)
    return replace(state, conditions=merged)


def invalid(state: State, found: Sequence[ResourceError], *, before: State, now: datetime) -> State:
    """A resource that is not valid; what ran before goes on with its old settings.

    `before`: what was shown last, so that a time moves only with its status.
    """
    generation = max((item.generation for item in found), default=0) or state.generation
    new = [_lacking_secret(item) for item in found if item.of_secret]
    reason = Reason.SECRET_MISSING if len(new) == len(found) else Reason.INVALID_SPEC
    sentences = tuple(f"{item.field}: {item.sentence}" if item.field else item.sentence for item in found)
    new.append(Condition(Type.READY, Status.FALSE, reason, "; ".join(sentences)))
    shown = {item.type: item for item in state.conditions} | {item.type: item for item in new}
    dated = conditions.dated(before.conditions, shown.values(), generation=generation, now=now)
    return replace(state, conditions=dated, generation=generation, errors=sentences)


def _lacking_secret(found: ResourceError) -> Condition:
    kind = Type.CREDENTIALS_VALID if found.field == convert.ACCOUNT_SECRET else Type.PORTAL_AUTHORIZED
    return Condition(kind, Status.FALSE, Reason.SECRET_MISSING, found.sentence)


def removed(state: State, outcome: Removal, *, now: datetime) -> State:
    """What is shown of a provider while it is still settled."""
    reason = Reason.UNREGISTERED if outcome.done else Reason.PORTAL_AWAY
    offered = state.find(Type.ROBOTS_READY)
    registered = [Type.REGISTERED]
    if offered is not None and offered.status is Status.TRUE:
        registered.append(Type.ROBOTS_READY)
    found = [conditions.Condition(type_, Status.FALSE, reason, outcome.message) for type_ in registered]
    found.append(conditions.condition(Type.SENDING, Status.FALSE, Reason.REMOVED))
    merged = conditions.merge(state.conditions, found, generation=state.generation, now=now)
    return replace(state, conditions=merged, removed=True, errors=())
