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
