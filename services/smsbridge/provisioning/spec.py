"""`SmscProvider` as a typed spec: every field with what it is for, its unit and its default.

What a field alone can tell wrong is refused here; what takes two fields, in `spec_rules`. References to
Secrets
are only named here: `manifests` follows them. The reference in docs/resource.md is made from these
descriptions.
"""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from smsbridge.core.message import Channel, Origin, Route
from smsbridge.core.provider import DeletionPolicy, Profile, ViberStop
from smsbridge.provisioning import values
from smsbridge.provisioning.values import Caption, Duration, Pattern, Roubles, Strings

API_VERSION = "smsbridge.dev/v1alpha1"
KIND = "SmscProvider"


class BeforeSend(StrEnum):
    NEVER = "never"
    CACHED = "cached"
    ALWAYS = "always"


class EnrichLeads(StrEnum):
    NEVER = "never"
    CALLS = "calls"
    ALL = "all"


class RuleOrigin(StrEnum):
    CARD = Origin.CARD.value
    ROBOT = Origin.ROBOT.value
    SERVICE = Origin.SERVICE.value
    MARKETING = Origin.MARKETING.value


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", hide_input_in_errors=True, alias_generator=to_camel, frozen=True
    )


class Reference(Section):
    name: str = Field(
        min_length=1, max_length=253, description="Name of a Secret in the provider's namespace."
    )


def _domain(value: str) -> str:
    if not values.is_host(value):
        raise ValueError(
            "is no host name; write it alone as in example.bitrix24.ru, without https:// and path"
        )
    return value.lower()


def _digits(prefixes: list[str]) -> list[str]:
    plain = [prefix.removeprefix("+") for prefix in prefixes]
    if not all(prefix.isascii() and prefix.isdigit() and len(prefix) <= 15 for prefix in plain):
        raise ValueError('must be the first digits of international numbers, in quotes: "7999"')
    return plain


class Portal(Section):
    domain: Annotated[str, AfterValidator(_domain)] = Field(
        description="Host name of the Bitrix24 portal, as in `example.bitrix24.ru`. It finds the "
        "installation the first time; later the portal is known by its member_id and may be renamed."
    )
    app_secret_ref: Reference = Field(
        description="Secret of the Bitrix24 application: `clientId`, `clientSecret`; optionally "
        "`memberId`, `refreshToken`, `applicationToken`, which install it without an install event."
    )
    endpoint: str = Field(
        default="",
        description="Stands for `https://DOMAIN/rest/`; only with `sandbox: true`. Empty: the portal's own.",
    )
    oauth_endpoint: str = Field(
        default="",
        description="Stands for `https://oauth.bitrix.info`, so `/oauth/token/` follows it; only with "
        "`sandbox: true`. Empty: the host that the installation names.",
    )


class PricesSection(Section):
    sms: Roubles | None = Field(default=None, description="Roubles a segment. Empty: no estimate.")
    viber: Roubles | None = Field(default=None, description="Roubles a Viber message. Empty: no estimate.")
    hlr: Roubles | None = Field(default=None, description="Roubles a look-up. Empty: 0.50 is assumed.")


class Smsc(Section):
    account_secret_ref: Reference = Field(
        description="Secret of the SMSC account: `login` and `password`, or `apiKey`; optionally "
        "`callbackSecret`, with which SMSC signs its callbacks."
    )
    api: Profile = Field(
        default=Profile.GUIDE,
        description="Which description of SMSC's API the account follows: `guide` (the integration guide) "
        "or `http` (the published HTTP API). One login cannot be used with both.",
    )
    sender_id: str = Field(
        default="",
        max_length=64,
        description="Sender ID the recipient sees, registered at SMSC. Empty: the account's own.",
    )
    prices: PricesSection = Field(
        default=PricesSection(),
        description="Prices for figures where the profile reports no cost; such figures are marked as "
        "estimated.",
    )
    base_url: str = Field(
        default="",
        description="Stands for `https://smsc.ru`, so `/sys/send.php` follows it; only with `sandbox: true`.",
    )


class When(Section):
    origin: Annotated[list[RuleOrigin], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        default_factory=list,
        description="Where the message comes from, a list (or, in a file, one alone): `card`, `robot` "
        "(robots and workflows), "
        "`service` (one-time codes, robots with the default provider), `marketing`. Empty: any.",
    )
    document_type: Strings = Field(
        default_factory=list,
        description="CRM type of the card or document, a list (or, in a file, one alone): `LEAD`, `DEAL`, "
        "`CONTACT`, `COMPANY`, `DYNAMIC_183` and the like. Empty: any.",
    )
    text_matches: Pattern = Field(
        default="",
        description="Python regular expression that is searched in the text. Keep it in single quotes. "
        "Empty: any.",
    )
    phone_prefix: Annotated[Strings, AfterValidator(_digits)] = Field(
        default_factory=list,
        description="First digits of the number in international form, a list (or, in a file, one alone), in "
        "quotes. Empty: any.",
    )


class RuleSection(Section):
    name: str = Field(
        min_length=1,
        max_length=63,
        description="Shows in a message's story and in reports; unique in its provider.",
    )
    when: When = Field(description="Every condition given must hold; at least one must be given.")
    channel: Route = Field(description="`sms`, `viber` or `cascade` for the messages it matches.")


class RoutingSection(Section):
    channel: Route = Field(
        default=Route.SMS,
        description="Channel of the messages that no rule matches: `sms`, `viber` or `cascade`.",
    )
    order: list[Channel] = Field(
        default_factory=lambda: [Channel.VIBER, Channel.SMS],
        description="Order of a cascade. `[sms, viber]` only with `smsc.api: http`.",
    )
    viber_timeout: Duration = Field(
        default=timedelta(hours=1),
        description="How long a cascade waits for Viber before it sends an SMS: `60s` to `24h`, from `1s` "
        "with `sandbox: true`.",
    )
    viber_stops_on: ViberStop = Field(
        default=ViberStop.DELIVERED,
        description="What ends a cascade with `smsc.api: http`: Viber `delivered`, or only when it was "
        "`read`.",
    )
    learn_preferred_channel: bool = Field(
        default=True,
        description="Remember that a cascade ended in SMS, and skip Viber for that number next time.",
    )
    rules: list[RuleSection] = Field(
        default_factory=list, max_length=100, description="The first one that matches chooses the channel."
    )


class BatchingSection(Section):
    max_numbers: int = Field(
        default=100, ge=1, le=100, strict=True, description="Numbers in one request to SMSC: 1 to 100."
    )
    linger: Duration = Field(
        default=timedelta(seconds=5),
        description="How long bulk messages wait for others like them: `0s` to `60s`.",
    )
    interactive_linger: Duration = Field(
        default=timedelta(milliseconds=200),
        description="The same for messages somebody waits for: `0s` to `5s`.",
    )


class ValiditySection(Section):
    interactive: Duration = Field(
        default=timedelta(hours=1),
        description="How old a message from a card, a robot or a one-time code may be when it is handed "
        "to SMSC; later it is expired: `1m` to `72h`.",
    )
    bulk: Duration = Field(default=timedelta(hours=24), description="The same for marketing: `1m` to `72h`.")


class CacheTtl(Section):
    active: Duration = Field(
        default=timedelta(hours=336), description="For a number that is reachable: `1m` to `8760h`."
    )
    unavailable: Duration = Field(
        default=timedelta(hours=24), description="For a number that is not reachable now: `1m` to `8760h`."
    )
    absent: Duration = Field(
        default=timedelta(hours=2160), description="For a number that does not exist: `1m` to `8760h`."
    )


class HlrSection(Section):
    before_send: BeforeSend = Field(
        default=BeforeSend.NEVER,
        description="Look numbers up before sending: `never`, `cached` (use what is known) or `always` "
        "(costs money).",
    )
    skip_unavailable: bool = Field(
        default=False,
        description="With `cached` or `always`: also leave out unavailable numbers, in bulk messages only.",
    )
    cache_ttl: CacheTtl = Field(
        default=CacheTtl(), description="How long a look-up's result counts as fresh."
    )
    daily_budget: Roubles = Field(
        default=Decimal("500.00"),
        description="Roubles a day for look-ups before sending, of leads, by robots and by hand. A "
        "verification spends its own confirmed quote.",
    )


def _user_field(value: str) -> str:
    name = value.removeprefix("UF_CRM_")
    if name == value or not (name.isascii() and name.replace("_", "").isalnum() and name == name.upper()):
        raise ValueError("is no custom field; write UF_CRM_ and capital letters, digits or _")
    if len(value) > 50:
        raise ValueError("is over 50 characters, Bitrix24's limit; make it shorter")
    return value


UserField = Annotated[str, AfterValidator(_user_field)]


class Fields(Section):
    operator: UserField = Field(default="UF_CRM_OPERATOR", description="Mobile operator of the number.")
    region: UserField = Field(default="UF_CRM_REGION", description="Region the number is registered in.")
    reachability: UserField = Field(default="UF_CRM_SMS_REACH", description="What the last look-up said.")
    checked_at: UserField = Field(default="UF_CRM_SMS_CHECKED", description="When that was.")
    channel: UserField = Field(
        default="UF_CRM_SMS_CHANNEL", description="Preferred channel; a value set by hand wins."
    )


class CrmSection(Section):
    enrich_leads: EnrichLeads = Field(
        default=EnrichLeads.NEVER,
        description="Look the number of a new lead or contact up: `never`, `calls` (those that a call "
        "made) or `all`. It costs money, and needs the application's scope `crm`.",
    )
    robots: bool = Field(
        default=True,
        description="Offer two steps in the portal, as robots and as workflow activities: *Send through "
        "SMSC* (code `CODE.send`) and *Check number (HLR)* (`CODE.hlr`, which costs money). They need the "
        "application's scope `bizproc`; with `false` they are taken away.",
    )
    fields: Fields = Field(
        default=Fields(),
        description="Custom fields of contacts, leads and companies, made where they are missing and the "
        "application has the scope `crm`.",
    )


class SmscProviderSpec(Section):
    code: str = Field(
        pattern=r"^[A-Za-z0-9._\-]{1,128}$",
        description="CODE of the provider in Bitrix24: `A-Z a-z 0-9 . - _`, up to 128. Immutable: robots "
        "and letters keep it.",
    )
    name: Caption = Field(
        description="What Bitrix24 shows: a text, or texts by language (`{ru: ..., en: ...}`), up to 500 "
        "characters."
    )
    description: Caption | None = Field(
        default=None,
        description="Optional, up to 1000 characters; a text where `name` is a text, a map where it is a "
        "map.",
    )
    public_url: str = Field(
        max_length=500,
        description="Address under which Bitrix24 and SMSC reach the gateway: https and a public host name.",
    )
    portal: Portal = Field(description="The Bitrix24 portal.")
    smsc: Smsc = Field(description="The SMSC account.")
    routing: RoutingSection = Field(
        default=RoutingSection(), description="Which message goes by which channel."
    )
    batching: BatchingSection = Field(default=BatchingSection(), description="How messages are put together.")
    validity: ValiditySection = Field(
        default=ValiditySection(), description="How long a message is worth sending."
    )
    hlr: HlrSection = Field(default=HlrSection(), description="Look-ups of numbers.")
    crm: CrmSection = Field(default=CrmSection(), description="What is written to the CRM.")
    paused: bool = Field(default=False, description="Accept and keep messages, but send none.")
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.UNREGISTER,
        description="What becomes of the registration in Bitrix24 when the resource goes: `Unregister` or "
        "`Retain`.",
    )
    sandbox: bool = Field(
        default=False, description="Allows http, local hosts and overridden endpoints, for trying things out."
    )
