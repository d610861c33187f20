"""The addresses of a provider: what Bitrix24 and SMSC call. The keys in them are secrets.

What is shown where others may read it (a resource's status, a log) uses the masked form.
"""

import re
from dataclasses import dataclass, field

from smsbridge.core.provider import Provider
from smsbridge.store.keyring import Keyring

PORTAL_DOOR = "bitrix24"
SMSC_DOOR = "smsc"
_MASKED_KEY = "***"
_KEY = re.compile(rf"(/(?:{PORTAL_DOOR}|{SMSC_DOOR})/[^/\s]+/[^/\s]+/)[a-z2-7]{{32}}")

_OF_PORTAL = re.compile(rf"/{PORTAL_DOOR}/[^/\s]+/[^/\s]+/(?P<key>[a-z2-7]{{32}})/[^\s]+\Z")


@dataclass(frozen=True, slots=True)
class Urls:
    """A step's runs are posted to `robots` with the step's code behind it. `hlr` is for a Webhook step."""

    handler: str = field(repr=False)
    install: str = field(repr=False)
    events: str = field(repr=False)
    robots: str = field(repr=False)
    hlr: str = field(repr=False)
    callback: str = field(repr=False)


def of(provider: Provider, keyring: Keyring) -> Urls:
    return _urls(
        provider,
        portal_key=keyring.url_key(PORTAL_DOOR, provider.uid),
        smsc_key=keyring.url_key(SMSC_DOOR, provider.uid),
    )


def is_own(address: str, provider: Provider, keyring: Keyring) -> bool:
    """Whether it is one of this provider's doors for the portal, perhaps of an older key or publicUrl."""
    found = _OF_PORTAL.search(address)
    return found is not None and keyring.url_key_matches(PORTAL_DOOR, provider.uid, found["key"])


def without_keys(text: str) -> str:
    """What others say, without the keys of our addresses in it."""
    return _KEY.sub(rf"\1{_MASKED_KEY}", text)


def masked(provider: Provider) -> Urls:
    return _urls(provider, portal_key=_MASKED_KEY, smsc_key=_MASKED_KEY)


def _urls(provider: Provider, *, portal_key: str, smsc_key: str) -> Urls:
    base = provider.public_url.rstrip("/")
    portal = f"{base}/{PORTAL_DOOR}/{provider.namespace}/{provider.name}/{portal_key}"
    return Urls(
        handler=f"{portal}/handler",
        install=f"{portal}/install",
        events=f"{portal}/events",
        robots=f"{portal}/robots",
        hlr=f"{portal}/hlr",
        callback=f"{base}/{SMSC_DOOR}/{provider.namespace}/{provider.name}/{smsc_key}/callback",
    )
