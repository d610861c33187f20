"""From a checked spec and the data of its Secrets to a `Provider` in the form that roles use.

The one place where the words of a manifest meet those of the domain. It reads no file and calls nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smsbridge.core import errors
from smsbridge.core import provider as domain
from smsbridge.core.message import Origin
from smsbridge.provisioning import spec as specs
from smsbridge.provisioning import values

APP_SECRET, ACCOUNT_SECRET = "spec.portal.appSecretRef", "spec.smsc.accountSecretRef"
_APP_KEYS = ("clientId", "clientSecret", "memberId", "refreshToken", "applicationToken")
_ACCOUNT_KEYS = ("login", "password", "apiKey", "callbackSecret")
_DEFAULT_BASE_URL = "https://smsc.ru"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a provider is declared: what a manifest or a Kubernetes resource tells beside its spec."""

    namespace: str
    name: str
    uid: str = ""  # empty: the registry keeps one for the name
    generation: int = 0  # 0: the registry counts


@dataclass(frozen=True, slots=True)
class Declared:
    """`provider.uid` is empty where the registry still has to give one."""

    source: Source
    provider: domain.Provider
    sections: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.source.namespace}/{self.source.name}"


Secret = Mapping[str, str]


def check_secrets(spec: specs.SmscProviderSpec, app: Secret, account: Secret) -> list[errors.InputError]:
    """What is missing in the Secrets; values are never shown."""
    app_name, account_name = spec.portal.app_secret_ref.name, spec.smsc.account_secret_ref.name
    found = [
        errors.InputError(
            f"the Secret {app_name} has no {key}; add it{_near(key, app, _APP_KEYS)}", field=APP_SECRET
        )
        for key in ("clientId", "clientSecret")
        if not app.get(key)
    ]
    login, password, api_key = (bool(account.get(key)) for key in ("login", "password", "apiKey"))
    if not api_key and not login:
        hint = _near("login", account, _ACCOUNT_KEYS) or _near("apiKey", account, _ACCOUNT_KEYS)
        sentence = (
            f"the Secret {account_name} has neither login and password nor apiKey; add one of them{hint}"
        )
        found.append(errors.InputError(sentence, field=ACCOUNT_SECRET))
    elif login and not password and not api_key:
        hint = _near("password", account, _ACCOUNT_KEYS)
        sentence = f"the Secret {account_name} has a login but no password; add it{hint}"
        found.append(errors.InputError(sentence, field=ACCOUNT_SECRET))
    elif api_key and (login or password):
        sentence = f"the Secret {account_name} has login or password and also apiKey; keep one of the two"
        found.append(errors.InputError(sentence, field=ACCOUNT_SECRET))
    return found


def declared(spec: specs.SmscProviderSpec, *, source: Source, app: Secret, account: Secret) -> Declared:
    """The Secrets must have passed `check_secrets`."""
    provider = domain.Provider(
        uid=source.uid,
        namespace=source.namespace,
        name=source.name,
        code=spec.code,
        public_url=spec.public_url.rstrip("/"),
        portal=_portal(spec.portal, app),
        account=_account(spec.smsc, account),
        display_name=spec.name,
        description=spec.description,
        prices=domain.Prices(
            sms=spec.smsc.prices.sms, viber=spec.smsc.prices.viber, hlr=spec.smsc.prices.hlr
        ),
        routing=_routing(spec.routing),
        batching=domain.Batching(
            max_numbers=spec.batching.max_numbers,
            linger_ms=values.milliseconds(spec.batching.linger),
            interactive_linger_ms=values.milliseconds(spec.batching.interactive_linger),
        ),
        validity=domain.Validity(
            interactive_seconds=values.seconds(spec.validity.interactive),
            bulk_seconds=values.seconds(spec.validity.bulk),
        ),
        paused=spec.paused,
        deletion_policy=spec.deletion_policy,
        sandbox=spec.sandbox,
    )
    sections = {
        "hlr": spec.hlr.model_dump(mode="json", by_alias=True),
        "crm": spec.crm.model_dump(mode="json", by_alias=True),
    }
    return Declared(source, provider, sections)


def _portal(portal: specs.Portal, app: Secret) -> domain.PortalSettings:
    return domain.PortalSettings(
        domain=portal.domain,
        client_id=app["clientId"],
        client_secret=app["clientSecret"],
        member_id=app.get("memberId", ""),
        refresh_token=app.get("refreshToken", ""),
        application_token=app.get("applicationToken", ""),
        endpoint=portal.endpoint,
        oauth_endpoint=portal.oauth_endpoint,
    )


def _account(smsc: specs.Smsc, account: Secret) -> domain.AccountSettings:
    return domain.AccountSettings(
        base_url=(smsc.base_url or _DEFAULT_BASE_URL).rstrip("/"),
        profile=smsc.api,
        login=account.get("login", ""),
        password=account.get("password", ""),
        api_key=account.get("apiKey", ""),
        callback_secret=account.get("callbackSecret", ""),
        sender_id=smsc.sender_id,
    )


def _routing(routing: specs.RoutingSection) -> domain.Routing:
    return domain.Routing(
        route=routing.channel,
        order=tuple(routing.order),
        viber_timeout_seconds=values.seconds(routing.viber_timeout),
        viber_stops_on=routing.viber_stops_on,
        learn_preferred_channel=routing.learn_preferred_channel,
        rules=tuple(
            domain.Rule(
                name=rule.name,
                route=rule.channel,
                origins=frozenset(Origin(origin.value) for origin in rule.when.origin),
                document_types=frozenset(rule.when.document_type),
                text_matches=rule.when.text_matches,
                phone_prefixes=tuple(rule.when.phone_prefix),
            )
            for rule in routing.rules
        ),
    )


def _near(wanted: str, data: Secret, known: tuple[str, ...]) -> str:
    """A key that was perhaps meant to be `wanted`: another spelling of it."""
    plain = wanted.lower()
    for key in data:
        if key not in known and key.lower().replace("_", "").replace("-", "") == plain:
            return f" (there is {key}: write it {wanted})"
    return ""
