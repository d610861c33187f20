"""Makes one provider true: its account is asked, its portal shows it, and conditions say what is so and
what is not.

Every step is safe to repeat; clients come as arguments. When it is done again is decided by whoever calls:
the local
provisioner's loop or the operator.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from smsbridge.core.provider import DeletionPolicy, Provider
from smsbridge.provisioning import account_check, conditions, portal_check
from smsbridge.provisioning.conditions import Condition, Reason, Status, Type
from smsbridge.provisioning.portal_check import Removal
from smsbridge.provisioning.settings import ProvisioningSettings
from smsbridge.provisioning.state import State


@dataclass(frozen=True, slots=True)
class Clients:
    account: account_check.AccountClients
    portal: portal_check.PortalClients
    settings: ProvisioningSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """`again` is True where it should be tried before the usual interval is over."""

    state: State
    again: bool

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.state.conditions


async def reconcile(
    provider: Provider, state: State, *, generation: int, clients: Clients, now: datetime
) -> Outcome:
    """Raises StoreAway; nothing else that happens out there."""
    state = replace(state, uid=provider.uid, generation=generation, errors=(), removed=False)
    account, state = await account_check.check(
        provider, state, clients=clients.account, settings=clients.settings, now=now
    )
    portal, state = await portal_check.check(provider, state, clients=clients.portal, at=int(now.timestamp()))
    fields = conditions.condition(Type.FIELDS_READY, Status.TRUE, Reason.NOT_MANAGED)
    merged = conditions.merge(state.conditions, [*account, *portal, fields], generation=generation, now=now)
    state = replace(state, conditions=merged)
    lacking = [item for item in merged if item.status is not Status.TRUE and item.type is not Type.READY]
    again = any(item.reason is not Reason.PAUSED for item in lacking)  # that is what the spec asks for
    return Outcome(state, again)


async def remove(provider: Provider, *, clients: Clients) -> Removal:
    """Takes the provider out of the portal, as far as its deletion policy and the portal allow. Raises
    StoreAway.
    """
    if provider.deletion_policy is DeletionPolicy.RETAIN:
        return Removal(True, "deletionPolicy is Retain: the portal still shows it")
    return await portal_check.remove(provider, clients=clients.portal)


def invalid(state: State, sentences: tuple[str, ...], *, now: datetime) -> State:
    """A resource that is not valid; what ran before goes on with its old settings."""
    message = "; ".join(sentences)
    bad = Condition(Type.READY, Status.FALSE, Reason.INVALID_SPEC, message, state.generation, now)
    old = state.find(Type.READY)
    if old is not None and old.status is Status.FALSE:
        bad = replace(bad, at=old.at)
    others = tuple(item for item in state.conditions if item.type is not Type.READY)
    return replace(state, conditions=(*others, bad), errors=sentences)


def removed(state: State, removal: Removal, *, now: datetime) -> State:
    """What is shown of a provider while it is still settled."""
    reason = Reason.UNREGISTERED if removal.done else Reason.PORTAL_AWAY
    found = [
        replace(conditions.condition(Type.REGISTERED, Status.FALSE, reason), message=removal.message),
        conditions.condition(Type.SENDING, Status.FALSE, Reason.REMOVED),
    ]
    merged = conditions.merge(state.conditions, found, generation=state.generation, now=now)
    return replace(state, conditions=merged, removed=True, errors=())
