"""What a new reading of the manifests means for the registry: which providers are made, changed, kept and
removed.

Pure decisions over what is declared and what is registered; `service` carries them out.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from smsbridge.core.provider import Provider
from smsbridge.provisioning import account_check
from smsbridge.provisioning.convert import Declared
from smsbridge.provisioning.manifests import Manifests, ResourceError
from smsbridge.store.registry import Entry


@dataclass(frozen=True, slots=True)
class Plan:
    """`put`: new or changed, with their next generation. `invalid`: what is wrong, by NAMESPACE/NAME."""

    put: tuple[Entry, ...] = ()
    remove: tuple[Provider, ...] = ()
    invalid: Mapping[str, tuple[ResourceError, ...]] = field(default_factory=dict)
    general: tuple[str, ...] = ()


def plan(manifests: Manifests, declared: Sequence[Declared], entries: Mapping[str, Entry]) -> Plan:
    """`declared` are those of `manifests` with their uids. Who is registered already goes first in a
    conflict.
    """
    living = {uid: entry for uid, entry in entries.items() if not entry.provider.removed}
    invalid: dict[str, list[ResourceError]] = {}
    for error in manifests.errors:
        if error.label:
            invalid.setdefault(error.label, []).append(error)
    # Those of namespaces that were not looked into stand as they are.
    accepted = [
        entry.provider for entry in living.values() if not manifests.looked_into(entry.provider.namespace)
    ]
    put: list[Entry] = []
    for item in sorted(declared, key=lambda d: d.provider.uid not in living):
        old = living.get(item.provider.uid)
        if refused := refusal(item.provider, old.provider if old else None, accepted):
            at, sentence = refused
            found = ResourceError(item.label, "", at, sentence, item.source.generation)
            invalid.setdefault(item.label, []).append(found)
            if old is not None:
                accepted.append(old.provider)
            continue
        accepted.append(item.provider)
        if (entry := _changed(item, old)) is not None:
            put.append(entry)
    remove = [e.provider for e in living.values() if _gone(e.provider, manifests, declared)]
    return Plan(
        put=tuple(put),
        remove=tuple(remove),
        invalid={label: tuple(found) for label, found in invalid.items()},
        general=tuple(str(error) for error in manifests.errors if not error.label),
    )


def refusal(provider: Provider, old: Provider | None, others: Iterable[Provider]) -> tuple[str, str] | None:
    """None where `provider` may stand beside `others`, else field, and what is wrong with it."""
    if old is not None and old.code != provider.code:
        return "spec.code", (
            f"is immutable, robots and letters keep it; set it back to {old.code}, "
            "or remove the provider and make another"
        )
    others = list(others)
    for other in others:
        if other.uid == provider.uid:
            label = f"{other.namespace}/{other.name}"
            return "metadata.uid", f"is that of {label}; leave it out to get one"
    if conflict := account_check.profile_conflict(provider, others):
        return "spec.smsc.api", (
            f"{conflict.namespace}/{conflict.name} uses the same login with api "
            f"{conflict.account.profile}; use one profile for both, or a sub-account of its own"
        )
    for other in others:
        if _same_place(provider, other):
            return "spec.code", (
                f"{other.namespace}/{other.name} has it in the same portal and application; "
                "give each provider a code of its own"
            )
    return None


def successors(provider: Provider, living: Iterable[Provider]) -> list[Provider]:
    """Who stands under the same code in the same portal now: for their sake nothing may be unregistered."""
    return [other for other in living if other.uid != provider.uid and _same_place(provider, other)]


def _same_place(one: Provider, other: Provider) -> bool:
    """The same code in the same portal and application: only one of them can be registered."""
    return (
        one.portal.client_id == other.portal.client_id
        and one.portal.domain == other.portal.domain
        and one.code.lower() == other.code.lower()
    )


def _changed(item: Declared, old: Entry | None) -> Entry | None:
    counted = item.source.generation
    new = Entry(item.provider, counted or 1, item.sections)
    if old is None:
        return new
    if (new.provider, dict(new.sections)) == (old.provider, dict(old.sections)):
        # Changed there and back again: whoever waits for this generation has to see it.
        return new if counted not in (0, old.generation) else None
    return dataclasses.replace(new, generation=counted or old.generation + 1)


def _gone(provider: Provider, manifests: Manifests, declared: Sequence[Declared]) -> bool:
    """Removed, or replaced by one of the same name with another uid. Doubt keeps it."""
    if any(item.provider.uid == provider.uid for item in declared):
        return False
    if not manifests.looked_into(provider.namespace):
        return False
    label = f"{provider.namespace}/{provider.name}"
    if label not in manifests.labels:
        return manifests.complete
    return any(item.label == label for item in declared)
