"""Messages as the sender stores them, for tests of the store."""

from smsbridge.core.message import Origin, ReportTo, Route, TokenCheck
from smsbridge.core.provider import (
    AccountSettings,
    Batching,
    PortalSettings,
    Prices,
    Profile,
    Provider,
    Routing,
)
from smsbridge.rpc.message import Outgoing

UID = "0f0e0d0c-0b0a-4908-8706-050403020100"
NOW_MS = 1_790_000_000_000


def provider(
    *,
    uid: str = UID,
    profile: Profile = Profile.GUIDE,
    routing: Routing | None = None,
    batching: Batching | None = None,
    base_url: str = "http://127.0.0.1:1",
    login: str = "guide",
    password: str = "secret-guide",
    prices: Prices | None = None,
    **changes: object,
) -> Provider:
    return Provider(
        uid=uid,
        namespace="crm",
        name="smsc",
        code="smsc",
        public_url="http://127.0.0.1:2",
        portal=PortalSettings(domain="example.bitrix24.ru", client_id="local.1", client_secret="s"),
        account=AccountSettings(base_url=base_url, profile=profile, login=login, password=password),
        routing=routing or Routing(),
        batching=batching or Batching(linger_ms=0, interactive_linger_ms=0),
        prices=prices or Prices(),
        **changes,  # type: ignore[arg-type]
    )


def phone(number: int) -> str:
    """One of the sandbox's numbers that everything is delivered to: they end in 00 to 79."""
    return f"+7999{number // 80 * 100 + number % 80:07d}"


def outgoing(
    number: int, *, text: str = "Привет", accepted_at_ms: int = NOW_MS, **changes: object
) -> Outgoing:
    fields: dict[str, object] = {
        "provider_uid": UID,
        "message_id": f"{number:032x}",
        "recipient": phone(number),
        "text": text,
        "origin": Origin.MARKETING,
        "accepted_at_ms": accepted_at_ms,
        "report_to": ReportTo.PORTAL,
        "token_check": TokenCheck.MATCH,
    }
    return Outgoing(**{**fields, **changes})  # type: ignore[arg-type]


CASCADE = Routing(route=Route.CASCADE)
