"""Profile `guide`: the request as the integration guide describes it, with what it leaves open settled.

One text for up to 100 numbers; SMSC runs the cascade (`viber=1&viber_timeout=`). Pure functions.
"""

from smsbridge.core import errors, message
from smsbridge.smsc import request as requests


def send_fields(request: requests.SendRequest, *, sender_id: str) -> list[tuple[str, str]]:
    """The form of one send, in a fixed order, without credentials."""
    text = request.single_text
    if text is None:
        raise errors.InputError("profile guide sends one text a request", field="numbers")
    if request.valid_seconds is not None:
        raise errors.InputError("profile guide knows no validity", field="valid_seconds")
    fields = [
        ("id", request.client_id),
        ("phones", ",".join(phone for phone, _ in request.numbers)),
        ("mes", text),
        ("fmt", "3"),
        ("op", "1"),
        ("charset", "utf-8"),
    ]
    if sender_id:
        fields.append(("sender", sender_id))
    return fields + _channel_fields(request)


def lookup_fields(phone: str) -> list[tuple[str, str]]:
    """The form of hlr.php: one number, answered at once. It knows no id of ours."""
    return [("phones", phone), ("fmt", "3"), ("charset", "utf-8")]


def _channel_fields(request: requests.SendRequest) -> list[tuple[str, str]]:
    if request.channel is not message.Channel.VIBER:
        if request.fallback_seconds is not None:
            raise errors.InputError("only Viber falls back", field="fallback_seconds")
        return []
    if request.fallback_seconds is None:
        return [("viber", "1")]
    if request.fallback_seconds <= 0:
        raise errors.InputError("must be at least a second", field="fallback_seconds")
    return [("viber", "1"), ("viber_timeout", str(request.fallback_seconds))]
