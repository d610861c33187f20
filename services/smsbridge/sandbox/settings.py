"""What a sandbox is made of: accounts of SMSC, portals, and every time and limit they keep to.

Defaults are those of the documented services, except deliveries, which are quick. An unknown key is an error.
"""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_assignment=True)


class Profile(StrEnum):
    GUIDE = "guide"
    HTTP = "http"


class CallbackMethod(StrEnum):
    GET = "get"
    FORM = "form"
    JSON = "json"


class Signature(StrEnum):
    MD5 = "md5"
    SHA1 = "sha1"
    CRC32 = "crc32"


class IdScope(StrEnum):
    """Profile guide: whose id a callback carries."""

    PER_BATCH = "per_batch"
    PER_NUMBER = "per_number"


class DuplicateScope(StrEnum):
    REQUEST = "request"  # error 9 when the whole request is the same
    NUMBER = "number"  # error 9 when any (phone, text) of it was accepted within the window


class Prices(Model):
    sms: Decimal = Field(default=Decimal("4.00"), ge=0, description="roubles a segment")
    viber: Decimal = Field(default=Decimal("2.30"), ge=0, description="roubles a Viber message")
    hlr: Decimal = Field(default=Decimal("0.50"), ge=0, description="roubles a look-up")


class CallbackSettings(Model):
    url: str = Field(default="", description="handler URL; empty: nobody is called")
    method: CallbackMethod = Field(default=CallbackMethod.FORM, description="get, form or json")
    with_phone: bool = Field(default=True, description="profile guide: the callback carries `phone`")
    secret: str = Field(
        default="", description="signs callbacks; the URL's own md5=, sha1= or crc32= goes first"
    )
    algorithm: Signature = Field(default=Signature.MD5, description="signature with `secret`")
    attempts: int = Field(
        default=1, ge=1, description="calls until one is answered 2xx; repeats are undocumented"
    )
    retry_seconds: float = Field(default=1.0, ge=0, description="pause between attempts, seconds")
    timeout_seconds: float = Field(default=10.0, gt=0, description="longest wait for an answer, seconds")


class Timing(Model):
    """How a message lives after it was accepted, seconds."""

    handover_seconds: float = Field(default=0.1, ge=0, description="accepted to handed to the operator (0)")
    delivery_seconds: float = Field(default=0.4, ge=0, description="handed over to its outcome")
    jitter_seconds: float = Field(default=0.2, ge=0, description="up to this is added to the delivery")
    read_seconds: float = Field(default=0.3, ge=0, description="profile http, Viber: delivered to read (2)")
    moderation_seconds: float = Field(default=60.0, ge=0, description="profile http: 23 to its release")
    late_seconds: float = Field(default=3.0, ge=0, description="numbers ending in 99: this much later")
    validity_seconds: float = Field(default=86400.0, gt=0, description="life time where no `valid` was given")
    status_lag_seconds: float = Field(default=0.0, ge=0, description="status.php answers -3 so long")


class AccountSettings(Model):
    login: str = Field(min_length=1, description="login of the account")
    password: str = Field(default="", description="password; its lower-case MD5 is taken too")
    api_key: str = Field(default="", description="API key instead of login and password")
    profile: Profile = Field(default=Profile.GUIDE, description="which API the account speaks")
    balance: Decimal = Field(default=Decimal("1000000.00"), description="roubles to begin with")
    prices: Prices = Field(default_factory=Prices, description="what is charged")
    callback: CallbackSettings = Field(default_factory=CallbackSettings, description="status handler")
    timing: Timing = Field(default_factory=Timing, description="how messages live")
    ids: IdScope = Field(default=IdScope.PER_BATCH, description="profile guide: one id a batch or a number")
    senders: list[str] = Field(default_factory=list, description="registered sender IDs; empty: all")
    max_numbers: int | None = Field(
        default=None, ge=1, description="numbers a request; empty: 100 in guide, else any"
    )
    max_text_characters: int = Field(default=1000, ge=1, description="longest `mes`")
    viber_timeout_min_seconds: int = Field(default=60, ge=1, description="least viber_timeout")
    viber_timeout_max_seconds: int = Field(default=86400, ge=1, description="greatest viber_timeout")
    duplicate_scope: DuplicateScope = Field(
        default=DuplicateScope.REQUEST, description="what error 9 compares"
    )
    duplicate_window_seconds: float = Field(
        default=60.0, ge=0, description="an identical send is refused so long"
    )
    cost_limit: int = Field(default=5, ge=1, description="identical cost=1 requests a window")
    no_money_creates_record: bool = Field(default=False, description="error 3 comes with an id")
    rejected_creates_record: bool = Field(
        default=True, description="errors 6, 7, 8 leave a failed record under their id"
    )
    max_simultaneous: int = Field(default=15, ge=2, description="as many requests at once get error 9")
    status_limit: int = Field(default=5, ge=1, description="status.php asks for one message a window")
    balance_limit: int = Field(default=10, ge=1, description="balance.php calls a window")
    info_same_limit: int = Field(default=3, ge=1, description="identical info.php calls a window")
    info_limit: int = Field(default=100, ge=1, description="info.php calls a window")
    limit_window_seconds: float = Field(default=60.0, gt=0, description="window of the limits above, seconds")
    latency_ms: float = Field(default=0.0, ge=0, description="added to every answer, milliseconds")


class IpGuardSettings(Model):
    auth_errors: int = Field(default=5, ge=1, description="wrong logins within their window that block an IP")
    auth_window_seconds: float = Field(default=1800.0, gt=0, description="window of wrong logins")
    auth_block_seconds: float = Field(default=1800.0, gt=0, description="how long they block")
    bad_requests: int = Field(default=100, ge=1, description="erroneous sends in a row that block an IP")
    bad_window_seconds: float = Field(default=600.0, gt=0, description="within which they must fall")
    bad_block_seconds: float = Field(default=600.0, gt=0, description="how long they block")


class SmscSettings(Model):
    ip: IpGuardSettings = Field(default_factory=IpGuardSettings, description="IP blocking, over all accounts")
    callback_connections: int = Field(default=8, ge=1, description="callbacks under way at once")


class RequestLimit(Model):
    enabled: bool = Field(default=True, description="answer 503 above the limit")
    leak_per_second: float = Field(default=2.0, gt=0, description="requests a second that drain")
    block_above: float = Field(default=50.0, gt=0, description="level above which 503 is answered")


class OperatingLimit(Model):
    enabled: bool = Field(default=False, description="answer 429 above the limit; time is counted anyway")
    limit_seconds: float = Field(
        default=480.0, gt=0, description="operating time of one method of one application"
    )
    window_seconds: float = Field(default=600.0, gt=0, description="sliding window, in ten buckets")
    cost_ms: dict[str, float] = Field(
        default_factory=lambda: {"messageservice.message.status.update": 20.0},
        description="what one call costs, milliseconds; only counted, never slept",
    )
    default_cost_ms: float = Field(default=5.0, ge=0, description="what other methods cost")


class UserSettings(Model):
    user_id: int = Field(ge=1, description="id of the user")
    admin: bool = Field(default=False, description="administrator of the portal")


class ApplicationSettings(Model):
    client_id: str = Field(min_length=1, description="client id")
    client_secret: str = Field(min_length=1, description="client secret")
    scope: list[str] = Field(
        default_factory=lambda: ["crm", "bizproc", "messageservice", "placement"],
        description="scopes granted",
    )
    ui: bool = Field(default=False, description="has pages: installed by a frame, not by an event")
    status: str = Field(default="L", description="L local, F free, D demo, T trial, P paid")


class PortalSettings(Model):
    domain: str = Field(min_length=3, description="host name of the portal")
    member_id: str = Field(default="", description="32 hex digits; empty: made from the domain")
    users: list[UserSettings] = Field(
        default_factory=lambda: [UserSettings(user_id=1, admin=True), UserSettings(user_id=7)],
        description="people of the portal",
    )
    applications: list[ApplicationSettings] = Field(default_factory=list, description="applications known")
    requests: RequestLimit = Field(
        default_factory=RequestLimit, description="limit of requests, by source address"
    )
    operating: OperatingLimit = Field(default_factory=OperatingLimit, description="limit of operating time")
    access_token_seconds: float = Field(default=3600.0, gt=0, description="life of an access token")
    row_lifetime_seconds: float = Field(default=14 * 86400.0, gt=0, description="a message is known so long")
    sent_after_seconds: float = Field(
        default=0.5, ge=0, description="queued messages: the job writes SENT so late"
    )
    insert_after_seconds: float = Field(
        default=0.2, ge=0, description="marketing: the row is inserted so late"
    )
    handover_timeout_seconds: float = Field(
        default=10.0, gt=0, description="longest wait for HANDLER, seconds"
    )
    latency_ms: float = Field(default=0.0, ge=0, description="added to every answer, milliseconds")


def default_accounts() -> list[AccountSettings]:
    return [
        AccountSettings(login="guide", password="secret-guide", profile=Profile.GUIDE),  # noqa: S106 - a stand-in
        AccountSettings(login="http", password="secret-http", profile=Profile.HTTP),  # noqa: S106 - a stand-in
    ]


def default_portals() -> list[PortalSettings]:
    application = ApplicationSettings(
        client_id="local.5f3c1a.00000001",
        client_secret="sandbox-client-secret",  # noqa: S106 - a stand-in
    )
    return [PortalSettings(domain="example.bitrix24.ru", applications=[application])]


class SandboxSettings(Model):
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=0, ge=0, le=65535, description="port to listen on; 0: any free one")
    public_url: str = Field(default="", description="how others reach it; empty: http://HOST:PORT")
    smsc: SmscSettings = Field(default_factory=SmscSettings, description="what all SMSC accounts share")
    accounts: list[AccountSettings] = Field(default_factory=default_accounts, description="SMSC accounts")
    portals: list[PortalSettings] = Field(default_factory=default_portals, description="portals")
