"""What the demo sends, and through which providers. The last two digits of a number say how it behaves."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from smsbridge.core.message import Route
from smsbridge.sandbox.orders import MessageOrigin
from smsbridge.sandbox.settings import Profile

DOMAIN = "example.bitrix24.ru"
NAMESPACE = "demo"
CLIENT_ID = "local.5f3c1a.00000001"
BROADCAST_TEXT = "Распродажа до воскресенья: скидка 20 % на всё."
_WAIT_SECONDS = 3

# What is done with numbers before anything else: nobody waits for their statuses at the portal then.
BASE_CONTACTS = 1_000
LEAD_PHONE, ROBOT_PHONE = "+79162000101", "+79162000202"
NOT_ON_VIBER = tuple(f"+79163{number:04d}{ending}" for number in range(20) for ending in range(80, 85))
CASCADE_TEXTS = ("Мы переехали: ждём вас на Садовой.", "Садовая, 5: сегодня до полуночи.")

# Endings that make SMSC refuse the whole request (94 to 96) belong into tests of splitting, and one that is
# never reported (91) would keep its message "sent" for days.
_LEFT_OUT = frozenset({91, 94, 95, 96})


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    name: str
    code: str
    profile: Profile
    login: str
    password: str
    routing: str
    enrich_leads: str = "never"


PROVIDERS = (
    ProviderPlan(
        name="sms",
        code="smsc",
        profile=Profile.GUIDE,
        login="guide",
        password="secret-guide",  # noqa: S106 - the sandbox's own
        routing="{channel: sms, rules: [{name: vouchers, when: {textMatches: '^Ваучер'}, channel: viber}]}",
        enrich_leads="calls",
    ),
    ProviderPlan(
        name="cascade",
        code="smsc-cascade",
        profile=Profile.HTTP,
        login="http",
        password="secret-http",  # noqa: S106 - the sandbox's own
        routing=f"{{channel: cascade, order: [viber, sms], viberTimeout: {_WAIT_SECONDS}s}}",
    ),
)


@dataclass(frozen=True, slots=True)
class SingleOrder:
    """`author` 0 stands for nobody: the portal then sends no `auth` at all."""

    title: str
    code: str
    origin: MessageOrigin
    phone: str
    text: str
    route: Route
    profile: Profile
    author: int | None = None


SINGLES = (
    SingleOrder(
        "by hand from a card, by SMS",
        "smsc",
        MessageOrigin.CARD,
        "+79161000001",
        "Ваш заказ собран.",
        Route.SMS,
        Profile.GUIDE,
    ),
    SingleOrder(
        "by hand from a card, by Viber",
        "smsc",
        MessageOrigin.CARD,
        "+79161000002",
        "Ваучер на 500 рублей: ждём вас.",
        Route.VIBER,
        Profile.GUIDE,
    ),
    SingleOrder(
        "cascade that ends with Viber",
        "smsc-cascade",
        MessageOrigin.CARD,
        "+79161000003",
        "Курьер приедет сегодня.",
        Route.CASCADE,
        Profile.HTTP,
    ),
    SingleOrder(
        "cascade, not on Viber: SMS at once",
        "smsc-cascade",
        MessageOrigin.CARD,
        "+79161000080",
        "Курьер приедет сегодня.",
        Route.CASCADE,
        Profile.HTTP,
    ),
    SingleOrder(
        f"cascade, Viber silent: SMS after {_WAIT_SECONDS} s",
        "smsc-cascade",
        MessageOrigin.CARD,
        "+79161000086",
        "Курьер приедет сегодня.",
        Route.CASCADE,
        Profile.HTTP,
    ),
    SingleOrder(
        "by a robot, without auth",
        "smsc",
        MessageOrigin.DEFAULT_ROBOT,
        "+79161000004",
        "Заявка принята.",
        Route.SMS,
        Profile.GUIDE,
        author=0,
    ),
)


VERIFIES = f"{NAMESPACE}/{PROVIDERS[1].name}"  # whose account takes a hundred look-ups in one request


def broadcast_phones(count: int) -> list[str]:
    return list(itertools.islice(_phones("+7999"), count))


def base_phones() -> list[str]:
    """One for each contact of the base; some of them do not exist."""
    return list(itertools.islice(_phones("+7996"), BASE_CONTACTS))


def _phones(prefix: str) -> Iterator[str]:
    for number in itertools.count():
        if number % 100 not in _LEFT_OUT:
            yield f"{prefix}{number:07d}"


def manifests(*, public_url: str, sandbox_url: str) -> str:
    """SmscProvider and Secret documents, as a user writes them."""
    documents = [_application_secret()]
    for plan in PROVIDERS:
        documents += [_account_secret(plan), _provider(plan, public_url=public_url, sandbox_url=sandbox_url)]
    return "---\n".join(documents)


def _application_secret() -> str:
    return f"""\
apiVersion: v1
kind: Secret
metadata: {{name: bitrix24-app, namespace: {NAMESPACE}}}
stringData: {{clientId: {CLIENT_ID}, clientSecret: sandbox-client-secret}}
"""


def _account_secret(plan: ProviderPlan) -> str:
    return f"""\
apiVersion: v1
kind: Secret
metadata: {{name: {plan.name}-account, namespace: {NAMESPACE}}}
stringData: {{login: {plan.login}, password: {plan.password}}}
"""


def _provider(plan: ProviderPlan, *, public_url: str, sandbox_url: str) -> str:
    return f"""\
apiVersion: smsbridge.dev/v1alpha1
kind: SmscProvider
metadata: {{name: {plan.name}, namespace: {NAMESPACE}}}
spec:
  code: {plan.code}
  name: SMSC.ru ({plan.name})
  publicUrl: {public_url}
  portal:
    domain: {DOMAIN}
    appSecretRef: {{name: bitrix24-app}}
    endpoint: {sandbox_url}/portal/{DOMAIN}/rest/
    oauthEndpoint: {sandbox_url}/oauth
  smsc:
    accountSecretRef: {{name: {plan.name}-account}}
    api: {plan.profile.value}
    baseUrl: {sandbox_url}/smsc
    prices: {{sms: "4.00", viber: "2.30", hlr: "0.50"}}
  routing: {plan.routing}
  crm: {{enrichLeads: {plan.enrich_leads}}}
  sandbox: true
"""
