"""A provider: one registration in one portal, with the account it sends by and the rules it follows.

This is the form in which settings travel between the registry and the roles. Where they come from
(a manifest, a Kubernetes resource) is `provisioning`'s business.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from smsbridge.core.message import Channel, Origin, Route


class Profile(StrEnum):
    """Which of SMSC's two descriptions the account follows."""

    GUIDE = "guide"
    HTTP = "http"


class ViberStop(StrEnum):
    DELIVERED = "delivered"
    READ = "read"


class DeletionPolicy(StrEnum):
    UNREGISTER = "Unregister"
    RETAIN = "Retain"


@dataclass(frozen=True, slots=True)
class PortalSettings:
    domain: str
    client_id: str
    client_secret: str = field(repr=False)
    member_id: str = ""  # a hint from the Secret; empty until an installation tells
    refresh_token: str = field(default="", repr=False)
    application_token: str = field(default="", repr=False)
    endpoint: str = ""  # override of https://DOMAIN/rest/, sandbox only
    oauth_endpoint: str = ""  # override of the OAuth host, sandbox only


@dataclass(frozen=True, slots=True)
class AccountSettings:
    base_url: str = "https://smsc.ru"
    profile: Profile = Profile.GUIDE
    login: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    callback_secret: str = field(default="", repr=False)
    sender_id: str = ""


@dataclass(frozen=True, slots=True)
class Prices:
    """Roubles, used where the profile reports no cost; figures from them are estimated."""

    sms: Decimal | None = None
    viber: Decimal | None = None
    hlr: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule whose every given condition holds decides the route."""

    name: str
    route: Route
    origins: frozenset[Origin] = frozenset()
    document_types: frozenset[str] = frozenset()
    text_matches: str = ""
    phone_prefixes: tuple[str, ...] = ()

    def matches(self, *, origin: Origin, document_type: str, text: str, msisdn: str) -> bool:
        if self.origins and origin not in self.origins:
            return False
        if self.document_types and document_type not in self.document_types:
            return False
        if self.phone_prefixes and not msisdn.startswith(self.phone_prefixes):
            return False
        return not self.text_matches or re.search(self.text_matches, text) is not None


@dataclass(frozen=True, slots=True)
class Routing:
    route: Route = Route.SMS
    order: tuple[Channel, ...] = (Channel.VIBER, Channel.SMS)
    viber_timeout_seconds: int = 3600
    viber_stops_on: ViberStop = ViberStop.DELIVERED
    learn_preferred_channel: bool = True
    rules: tuple[Rule, ...] = ()

    def choose(self, *, origin: Origin, document_type: str, text: str, msisdn: str) -> tuple[Route, str]:
        """The route and the name of the rule that chose it, empty for the default."""
        for rule in self.rules:
            if rule.matches(origin=origin, document_type=document_type, text=text, msisdn=msisdn):
                return rule.route, rule.name
        return self.route, ""


@dataclass(frozen=True, slots=True)
class Batching:
    max_numbers: int = 100
    linger_ms: int = 5000
    interactive_linger_ms: int = 200


@dataclass(frozen=True, slots=True)
class Validity:
    """From the door to the hand-over to SMSC; later than that a message is expired."""

    interactive_seconds: int = 3600
    bulk_seconds: int = 86400


@dataclass(frozen=True, slots=True)
class Provider:
    """`uid` identifies it for ever: a provider that was removed and made again is another one."""

    uid: str
    namespace: str
    name: str
    code: str
    public_url: str
    portal: PortalSettings
    account: AccountSettings
    display_name: str | Mapping[str, str] = "SMSC.ru"
    description: str | Mapping[str, str] | None = None
    prices: Prices = Prices()
    routing: Routing = Routing()
    batching: Batching = Batching()
    validity: Validity = Validity()
    paused: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.UNREGISTER
    sandbox: bool = False
    removed_at_ms: int = 0  # a tombstone: its doors are shut, what is under way is still settled

    @property
    def removed(self) -> bool:
        return self.removed_at_ms > 0
