"""What the status role needs of others, as far as it needs it."""

from typing import Protocol

from smsbridge.core.provider import Provider


class Providers(Protocol):
    """The registry, as `store.registry.RegistryView` shows it, with removed ones until they are erased."""

    def get(self, uid: str) -> Provider | None: ...

    def all(self) -> list[Provider]: ...
