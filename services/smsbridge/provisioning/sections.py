"""The sections of a registry entry that only some roles read, as typed as they were written."""

from typing import Protocol

from smsbridge.core.provider import Provider
from smsbridge.provisioning import spec
from smsbridge.store.registry import Entry


class Entries(Protocol):
    """As much of the registry as a role needs that reads sections."""

    def entry(self, uid: str) -> Entry | None: ...

    def all(self) -> list[Provider]: ...


def hlr(entry: Entry | None) -> spec.HlrSection:
    """How a provider wants its numbers looked up; the defaults where nobody says."""
    return spec.HlrSection.model_validate(dict(entry.sections.get("hlr", {})) if entry else {})


def crm(entry: Entry | None) -> spec.CrmSection:
    """What a provider does in the CRM; what another version wrote and we do not know is passed over."""
    given = dict(entry.sections.get("crm", {})) if entry else {}
    names = {item.alias or name for name, item in spec.CrmSection.model_fields.items()}
    known = {name: value for name, value in given.items() if name in names and name != "fields"}
    return spec.CrmSection.model_validate(known)
