"""Who calls: the key in the URL, and the application token in the body.

Both are compared in constant time. An unknown provider and a wrong key look the same to the caller.
"""

import hmac
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from smsbridge.core.installation import Installation
from smsbridge.core.message import TokenCheck
from smsbridge.core.provider import Provider

TOKEN_PURPOSE = "application_token"  # noqa: S105 - a name, for Keyring.digest


class Side(StrEnum):
    """Whose doors: each has a key of its own, so that neither vendor knows the other's."""

    BITRIX24 = "bitrix24"
    SMSC = "smsc"


class Keys(Protocol):
    """What of `store.keyring.Keyring` is needed here."""

    def url_key_matches(self, door: str, uid: str, key: str) -> bool: ...
    def digest(self, purpose: str, value: str) -> str: ...


class Installed(Protocol):
    """What of `store.installations_view.InstallationsView` is needed here."""

    def for_provider(self, provider: Provider) -> Installation | None: ...


class DoorKeys:
    """Finds the provider whose door it is. A key that was right once is remembered, so that a post costs one
    comparison and no HMAC.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._named: dict[str, tuple[Provider, ...]] = {}
        self._right: dict[tuple[Side, str], tuple[bytes, ...]] = {}

    def rebuild(self, providers: Iterable[Provider]) -> None:
        """Removed ones too: their callbacks are still taken. Living ones come first."""
        named: dict[str, list[Provider]] = {}
        for provider in sorted(providers, key=lambda item: item.removed):
            named.setdefault(f"{provider.namespace}/{provider.name}", []).append(provider)
        self._named = {name: tuple(found) for name, found in named.items()}

    def find(self, side: Side, name: str, key: str) -> Provider | None:
        """`name` is NAMESPACE/NAME. A provider made anew has the old one's name, and another key."""
        given = key.encode("utf-8", "surrogatepass")
        for provider in self._named.get(name, ()):
            if self._matches(side, provider.uid, key, given):
                return provider
        return None

    def _matches(self, side: Side, uid: str, key: str, given: bytes) -> bool:
        right = self._right.get((side, uid), ())
        if _is_one_of(given, right):
            return True
        if not self._keys.url_key_matches(side.value, uid, key):
            return False
        self._right[side, uid] = (*right, given)
        return True


class TokenBook:
    """The application tokens that count now, by provider, from the installations as the process sees them."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, tuple[bytes, ...]] = {}

    def rebuild(self, providers: Iterable[Provider], installed: Installed) -> None:
        self._known = {provider.uid: _tokens(provider, installed) for provider in providers}

    def check(self, provider_uid: str, token: str | None) -> tuple[TokenCheck, str]:
        """How `token` compares, and its digest where it differs, to compare it again later."""
        if not token:
            return TokenCheck.ABSENT, ""
        given = token.encode("utf-8", "surrogatepass")
        if _is_one_of(given, self._known.get(provider_uid, ())):
            return TokenCheck.MATCH, ""
        return TokenCheck.MISMATCH, self._keys.digest(TOKEN_PURPOSE, token)


def _is_one_of(given: bytes, known: Iterable[bytes]) -> bool:
    """Every one is compared, also after a match."""
    found = False
    for own in known:
        found |= hmac.compare_digest(own, given)
    return found


def _tokens(provider: Provider, installed: Installed) -> tuple[bytes, ...]:
    """The installation's current and previous one; before there is an installation, the Secret's."""
    found = installed.for_provider(provider)
    if found is None:
        tokens: tuple[str, ...] = (provider.portal.application_token,)
    else:
        tokens = (found.application_token, found.previous_application_token)
    return tuple(token.encode() for token in tokens if token)
