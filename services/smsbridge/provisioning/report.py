"""Providers as `provider list` and `provider show` print them: what is registered, what is true of it, its
addresses.

Only `show` holds whole URLs; their keys are secrets, so it is for the one who runs the deployment.
"""

import dataclasses
from typing import Any

from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import state as states
from smsbridge.provisioning import urls
from smsbridge.provisioning.conditions import Type
from smsbridge.provisioning.state import State
from smsbridge.smsc import account as accounts
from smsbridge.store.keyring import Keyring
from smsbridge.store.registry import Entry, Registry


async def list_providers(registry: Registry) -> list[dict[str, Any]]:
    """One row each, also for a resource that is not valid and never was registered. Raises StoreAway."""
    entries = (await registry.load()).entries.values()
    known = {label: states.from_json(body) for label, body in (await registry.states()).items()}
    rows = [_row(entry, known.get(_label(entry.provider), State())) for entry in entries]
    living = {_label(entry.provider) for entry in entries}
    rows += [_invalid_row(label, state) for label, state in known.items() if label not in living]
    return sorted(rows, key=lambda row: (row["namespace"], row["name"], row["removed"]))


async def show_provider(registry: Registry, keyring: Keyring, *, namespace: str, name: str) -> dict[str, Any]:
    """Raises InputError where there is none, StoreAway."""
    label = f"{namespace}/{name}"
    entries = [e for e in (await registry.load()).entries.values() if _label(e.provider) == label]
    body = (await registry.states()).get(label)
    state = states.from_json(body or {})
    if not entries:
        if body is None:
            raise errors.InputError(f"there is no provider {label}; see `smsbridge provider list`")
        return {**_invalid_row(label, state), **_found(state)}
    entry = max(entries, key=lambda e: (not e.provider.removed, e.provider.removed_at_ms))
    addresses = urls.of(entry.provider, keyring)
    return {
        **_row(entry, state),
        "handlerUrl": addresses.handler,
        "callbackUrl": addresses.callback,
        "installUrl": addresses.install,
        "eventsUrl": addresses.events,
        "hlrUrl": addresses.hlr,
        **_found(state),
        "settings": _settings(entry),
    }


def status_of(provider: Provider, state: State) -> dict[str, Any]:
    """The status of a Kubernetes resource: the keys of the URLs are masked."""
    addresses = urls.masked(provider)
    return {
        "handlerUrl": addresses.handler,
        "callbackUrl": addresses.callback,
        "installUrl": addresses.install,
        "hlrUrl": addresses.hlr,
        **conditions_of(state),
        "balance": None if state.balance is None else str(state.balance),
        "lastSync": state.last_sync.isoformat(timespec="seconds") if state.last_sync else None,
    }


def _row(entry: Entry, state: State) -> dict[str, Any]:
    provider = entry.provider
    own = state if state.uid in ("", provider.uid) else State()
    ready = own.find(Type.READY)
    return {
        "namespace": provider.namespace,
        "name": provider.name,
        "uid": provider.uid,
        "code": provider.code,
        "portal": provider.portal.domain,
        "memberId": own.member_id,
        "channel": provider.routing.route.value,
        "api": provider.account.profile.value,
        "account": accounts.of(provider.account).key,
        "ready": own.ready and not provider.removed,
        "reason": "Removed" if provider.removed else (ready.reason.value if ready else "NotYet"),
        "message": ready.message if ready else "it was not looked at yet",
        "paused": provider.paused,
        "balance": None if own.balance is None else str(own.balance),
        "generation": entry.generation,
        "removed": provider.removed,
    }


def _invalid_row(label: str, state: State) -> dict[str, Any]:
    namespace, _, name = label.partition("/")
    ready = state.find(Type.READY)
    return {
        "namespace": namespace,
        "name": name,
        "uid": "",
        "code": "",
        "portal": "",
        "memberId": "",
        "channel": "",
        "api": "",
        "account": "",
        "ready": False,
        "reason": ready.reason.value if ready else "NotYet",
        "message": ready.message if ready else "",
        "paused": False,
        "balance": None,
        "generation": 0,
        "removed": False,
    }


def conditions_of(state: State) -> dict[str, Any]:
    """As a Kubernetes resource shows them."""
    return {
        "observedGeneration": state.generation,
        "conditions": [item.to_json() for item in state.conditions],
    }


def _found(state: State) -> dict[str, Any]:
    return {**conditions_of(state), "errors": list(state.errors)}


def _settings(entry: Entry) -> dict[str, Any]:
    """What roles work with, without a secret."""
    provider = entry.provider
    routing = provider.routing
    return {
        "publicUrl": provider.public_url,
        "senderId": provider.account.sender_id,
        "routing": {
            "channel": routing.route.value,
            "order": [channel.value for channel in routing.order],
            "viberTimeoutSeconds": routing.viber_timeout_seconds,
            "viberStopsOn": routing.viber_stops_on.value,
            "learnPreferredChannel": routing.learn_preferred_channel,
            "rules": [{"name": rule.name, "channel": rule.route.value} for rule in routing.rules],
        },
        "batching": dataclasses.asdict(provider.batching),
        "validity": dataclasses.asdict(provider.validity),
        "deletionPolicy": provider.deletion_policy.value,
        "sandbox": provider.sandbox,
        **entry.sections,
    }


def _label(provider: Provider) -> str:
    return f"{provider.namespace}/{provider.name}"
