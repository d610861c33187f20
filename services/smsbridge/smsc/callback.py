"""SMSC's callbacks: status receipts, incoming SMS, call confirmations; and whether their signature is right.

How SMSC sends them is not documented, so GET, form and JSON are read, one event or several. The handler URL's
own query holds options, the signature's secret among them (7.1): it is read for events only where the body
has none. Nothing here knows a message; sizes are limited before it comes here.
"""

import hashlib
import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qsl

from smsbridge.core import msisdn
from smsbridge.core.provider import Profile
from smsbridge.smsc import values

_HLR_TYPE = 4
_HLR_FIELDS = ("imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet")
_ALGORITHMS = ("sha1", "md5", "crc32")
_MAX_FIELDS = 200
_MAX_EVENTS = 1000

_Fields = Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature covers, byte by byte as it came, and the signatures that came (algorithm, hex)."""

    parts: tuple[bytes, ...] = field(repr=False)
    given: tuple[tuple[str, bytes], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Receipt:
    """SMSC's statement about a message. Its signature covers id, phone and status only."""

    smsc_id: str
    msisdn: str | None  # digits; profile guide may leave it out
    code: int
    signed: Signed
    err: int | None = None
    ts: int | None = None  # unix seconds, as SMSC says
    type: int | None = None  # 0 SMS, 4 HLR, 10 Viber ... (7.3)
    cost: Decimal | None = None
    is_hlr: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)  # HLR fields that came

    @property
    def at(self) -> datetime | None:
        return values.moment(self.ts)


@dataclass(frozen=True, slots=True)
class Incoming:
    """An SMS to us. Counted, and kept out: its text is not even read."""

    signed: Signed


@dataclass(frozen=True, slots=True)
class CallConfirmed:
    signed: Signed


@dataclass(frozen=True, slots=True)
class Malformed:
    """`reason`: empty, not_json, not_an_event, no_id or no_status."""

    reason: str


Callback = Receipt | Incoming | CallConfirmed | Malformed


def parse(profile: Profile, method: str, query: str, content_type: str, body: bytes) -> list[Callback]:
    """The events of one call, at least one. `query` is the raw query string; never raises."""
    kind = content_type.split(";", 1)[0].strip().lower()
    text = body.strip()
    if method.upper() == "GET" or not text:
        return [_event(profile, _form_fields(query.encode("utf-8", "replace")))]
    if kind == "application/json" or text[:1] in (b"{", b"["):
        return _json_events(profile, text)
    return [_event(profile, _form_fields(text))]


def verify(callback: Callback, secret: str) -> bool:
    """True where one of the signatures that came is right, or where the account has no `secret`."""
    if not secret:
        return True
    if isinstance(callback, Malformed):
        return False
    signed = callback.signed
    data = b":".join((*signed.parts, secret.encode()))
    checks = [hmac.compare_digest(_digest(name, data), _normal(name, given)) for name, given in signed.given]
    return any(checks)


def _digest(algorithm: str, data: bytes) -> bytes:
    if algorithm == "crc32":
        return b"%08x" % zlib.crc32(data)
    # SMSC offers these two and nothing better; the key in the callback's URL is what keeps strangers out.
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest().encode()


def _normal(algorithm: str, given: bytes) -> bytes:
    given = given.strip().lower()
    return given.zfill(8) if algorithm == "crc32" else given


def _form_fields(raw: bytes) -> _Fields:
    """Latin-1 maps every byte to a character and back, so that the bytes stay as they came."""
    try:
        pairs = parse_qsl(
            raw.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        return {}
    fields: dict[str, tuple[bytes, ...]] = {}
    for name, value in pairs:
        fields[name] = (*fields.get(name, ()), value.encode("latin-1"))
    return fields


def _json_events(profile: Profile, text: bytes) -> list[Callback]:
    body = values.from_json(values.decode(text), number=str)
    events = body[:_MAX_EVENTS] if isinstance(body, list) else [body]
    if body is None or not events:
        return [Malformed("not_json" if body is None else "empty")]
    return [
        _event(profile, _json_fields(item)) if isinstance(item, dict) else Malformed("not_an_event")
        for item in events
    ]


def _json_fields(item: Mapping[str, object]) -> _Fields:
    return {key: (value.encode("utf-8", "replace"),) for key, value in item.items() if isinstance(value, str)}


def _event(profile: Profile, fields: _Fields) -> Callback:
    """Incoming SMS and call confirmations come by the same URL: told apart before `status` is read."""
    if "mes" in fields:
        return Incoming(_signed(fields, "phone", "mes", "to"))
    if "waitcall" in fields:
        return CallConfirmed(_signed(fields, "phone", "ts"))
    smsc_id, code = values.identifier(_text(fields, "id")), values.whole(_text(fields, "status"))
    if smsc_id is None:
        return Malformed("no_id" if fields else "empty")
    if code is None:
        return Malformed("no_status")
    kind = values.whole(_text(fields, "type"))
    return Receipt(
        smsc_id=smsc_id,
        msisdn=msisdn.digits_only(_text(fields, "phone")) or None,
        code=code,
        signed=_signed(fields, "id", "phone", "status"),
        err=values.whole(_text(fields, "err")),
        ts=values.whole(_text(fields, "ts")),
        type=kind,
        cost=values.money(_text(fields, "cost")),
        # Profile guide has its look-ups answered at once and says nothing of `type`.
        is_hlr=profile is Profile.HTTP and kind == _HLR_TYPE,
        extra={name: _text(fields, name) for name in _HLR_FIELDS if name in fields},
    )


def _signed(fields: _Fields, *names: str) -> Signed:
    given = tuple((name, value) for name in _ALGORITHMS for value in fields.get(name, ()))
    return Signed(parts=tuple(_bytes(fields, name) for name in names), given=given)


def _bytes(fields: _Fields, name: str) -> bytes:
    """The last one counts: by GET an option of the handler URL may stand before SMSC's field of that name."""
    return fields.get(name, (b"",))[-1]


def _text(fields: _Fields, name: str) -> str:
    return values.decode(_bytes(fields, name)).strip()
