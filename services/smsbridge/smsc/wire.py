"""Requests to SMSC as bytes: one door for both profiles.

What `encode` makes is stored with the intent and repeated byte by byte after a silence; so it depends on
nothing but its arguments, and credentials are no part of it: the client adds them when it posts.
"""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from smsbridge.core import errors
from smsbridge.core.message import Channel
from smsbridge.core.provider import Profile
from smsbridge.smsc import wire_guide, wire_http
from smsbridge.smsc.account import Account
from smsbridge.smsc.request import SendRequest

__all__ = [
    "SendRequest",
    "can_mix_texts",
    "chooses_channel",
    "encode",
    "encode_balance",
    "encode_carriers",
    "encode_cost",
    "encode_lookup",
    "encode_lookup_cost",
    "encode_status",
    "numbers_in",
    "with_credentials",
]

_CHANNEL_WORDS = ("__VIBER__", "__SOC__", "__CALL__", "__PING__", "__HLR__")


def can_mix_texts(profile: Profile, text: str = "") -> bool:
    """True where one request may carry different texts and `text`, unchanged, may be one of them."""
    return profile is Profile.HTTP and wire_http.fits_list(text)


def chooses_channel(text: str) -> bool:
    """True where SMSC would take the first word for an order: a call, a look-up, another channel (5.1)."""
    return text.startswith(_CHANNEL_WORDS)


def encode(account: Account, request: SendRequest) -> bytes:
    """The form of one send, without credentials. Equal input makes equal bytes.

    Raises `InputError` for what the profile cannot say: a defect of the caller, never of a message.
    """
    request.check()
    wire = wire_http if account.profile is Profile.HTTP else wire_guide
    return _form(wire.send_fields(request, sender_id=request.sender_id or account.sender_id))


def encode_status(pairs: Sequence[tuple[str, str]], *, details: bool = False) -> bytes:
    """The question for (id, MSISDN) pairs in list form; a trailing comma forces it for a single pair too."""
    tail = "," if len(pairs) == 1 else ""
    fields = [
        ("id", ",".join(smsc_id for smsc_id, _ in pairs) + tail),
        ("phone", ",".join(phone for _, phone in pairs) + tail),
        ("fmt", "3"),
        ("charset", "utf-8"),
    ]
    return _form([*fields, ("all", "2")] if details else fields)


def encode_balance() -> bytes:
    return _form([("fmt", "3"), ("cur", "1"), ("charset", "utf-8")])


def encode_carriers(phones: Sequence[str]) -> bytes:
    """The question for operators and regions; a trailing comma forces the list form for a single one."""
    tail = "," if len(phones) == 1 else ""
    asked = ",".join(phones) + tail
    return _form([("get_operator", "1"), ("phone", asked), ("fmt", "3"), ("charset", "utf-8")])


def encode_cost(account: Account, *, phone: str, text: str) -> bytes:
    """A price question. Profile `guide` has none: there the same form might be sent for real."""
    if account.profile is not Profile.HTTP:
        raise errors.InputError("profile guide has no price question", field="api")
    return _form(wire_http.cost_fields(phone=phone, text=text, sender_id=account.sender_id))


def encode_lookup(account: Account, *, client_id: str, phones: Sequence[str]) -> bytes:
    """The form of one look-up, without credentials: hlr.php of profile guide takes one number and no id,
    send.php of profile http up to 100 under `client_id`.

    Raises `InputError` for what would make a request that SMSC misreads.
    """
    SendRequest(client_id, tuple((phone, "") for phone in phones), Channel.SMS).check()
    if account.profile is Profile.HTTP:
        return _form(wire_http.lookup_fields(client_id=client_id, phones=phones))
    if len(phones) > 1:
        raise errors.InputError("profile guide looks one number up at a time", field="phones")
    return _form(wire_guide.lookup_fields(phones[0]))


def encode_lookup_cost(account: Account, *, phone: str) -> bytes:
    """As `encode_cost`, for one look-up."""
    if account.profile is not Profile.HTTP:
        raise errors.InputError("profile guide has no price question", field="api")
    return _form(wire_http.lookup_cost_fields(phone=phone))


def numbers_in(body: bytes) -> tuple[str, ...]:
    """The MSISDNs of a form made by `encode`, in order."""
    fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True))
    if "list" in fields:
        return tuple(record.split(":", 1)[0] for record in fields["list"].split("\n"))
    return tuple(fields["phones"].split(","))


def with_credentials(account: Account, body: bytes) -> bytes:
    """The form as it is posted. In the body, never in the URL."""
    if account.api_key:
        return body + b"&" + _form([("apikey", account.api_key)])
    return body + b"&" + _form([("login", account.login), ("psw", account.password)])


def _form(fields: list[tuple[str, str]]) -> bytes:
    # A lone surrogate, which JSON can carry, becomes a question mark: no encoding has it.
    return urlencode(fields, encoding="utf-8", errors="replace").encode("ascii")
