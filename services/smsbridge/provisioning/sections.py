"""The sections of a registry entry that only some roles read, as typed as they were written."""

from collections.abc import Mapping
from typing import Any, Protocol

from smsbridge.core.provider import Provider
from smsbridge.provisioning import fields, spec
from smsbridge.store.registry import Entry


class Entries(Protocol):
    """As much of the registry as a role needs that reads sections."""

    def entry(self, uid: str) -> Entry | None: ...

    def all(self) -> list[Provider]: ...


def hlr(entry: Entry | None) -> spec.HlrSection:
    """How a provider wants its numbers looked up; the defaults where nobody says."""
    return spec.HlrSection.model_validate(dict(entry.sections.get("hlr", {})) if entry else {})


def crm(sections: Mapping[str, Any]) -> spec.CrmSection:
    """From an entry's sections; what another version wrote and we do not know is passed over."""
    given = sections.get("crm", {})
    known = [item.alias or name for name, item in spec.CrmSection.model_fields.items()]
    own = {name: given[name] for name in known if name in given}
    return spec.CrmSection.model_validate(own | {"fields": fields.names_of(sections)})
