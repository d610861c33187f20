"""What an answer of Bitrix24 says: a result, or one of our errors. The table of codes stands here and nowhere
else.

Sources: the REST documentation's list of system errors and the REST module's source. Codes come in mixed
case. An unknown code is an answer too: `PortalRefused`, or by the HTTP status where there is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from smsbridge.bitrix24 import errors, transport


class _Is(Enum):
    EXPIRED = auto()
    BROKEN = auto()
    GRANT = auto()
    CLIENT = auto()
    DENIED = auto()
    SCOPE = auto()
    MISSING = auto()
    REFUSED = auto()
    LIMITED = auto()
    OVERLOADED = auto()
    OPERATING = auto()
    AWAY = auto()
    GONE = auto()


_CODES: dict[str, _Is] = {
    "expired_token": _Is.EXPIRED,
    "no_auth_found": _Is.BROKEN,
    "invalid_token": _Is.BROKEN,
    "error_oauth": _Is.BROKEN,
    "authorization_error": _Is.BROKEN,
    "not_installed": _Is.BROKEN,
    "application_not_found": _Is.BROKEN,
    "payment_required": _Is.BROKEN,
    "invalid_grant": _Is.GRANT,
    "invalid_client": _Is.CLIENT,
    "wrong_client": _Is.CLIENT,  # comes with HTTP 200
    "insufficient_scope": _Is.SCOPE,
    "invalid_scope": _Is.SCOPE,
    "invalid_credentials": _Is.DENIED,
    "access_denied": _Is.DENIED,
    "user_access_error": _Is.DENIED,
    "wrong_auth_type": _Is.DENIED,
    "allowed_only_intranet_user": _Is.DENIED,
    "invalid_request": _Is.REFUSED,
    "error_method_not_found": _Is.MISSING,
    "error_manifest_is_not_available": _Is.REFUSED,
    "error_batch_method_not_allowed": _Is.REFUSED,
    "query_limit_exceeded": _Is.LIMITED,
    "overload_limit": _Is.OVERLOADED,
    "operation_time_limit": _Is.OPERATING,
    "internal_server_error": _Is.AWAY,
    "error_unexpected_answer": _Is.AWAY,
    "portal_deleted": _Is.GONE,
}

_REFUSALS: dict[_Is, tuple[type[errors.PortalRefused], str]] = {
    _Is.EXPIRED: (errors.TokenExpired, "the access token has expired"),
    _Is.BROKEN: (
        errors.InstallationBroken,
        "the installation does not work any more; install the application again",
    ),
    _Is.GRANT: (
        errors.GrantRefused,
        "the refresh token is not valid any more; install the application again",
    ),
    _Is.CLIENT: (
        errors.ClientRefused,
        "client id or secret are wrong; correct the Secret named by appSecretRef",
    ),
    _Is.DENIED: (
        errors.AccessDenied,
        "the portal does not allow it; let an administrator install the application",
    ),
    _Is.SCOPE: (errors.InsufficientScope, "the application lacks a scope; add it in the portal"),
    _Is.MISSING: (errors.MethodMissing, "the portal does not know this method"),
    _Is.REFUSED: (errors.PortalRefused, "the portal refused the call"),
    _Is.GONE: (errors.PortalGone, "the portal was deleted"),
}


@dataclass(frozen=True, slots=True)
class Operating:
    """Seconds that calls of `method` took in the portal's sliding 10 minutes; `reset_at` in unix seconds."""

    method: str
    operating_seconds: float
    reset_at: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`next` is where the next page starts, None on the last one."""

    result: object
    operating: Operating | None = None
    next: int | None = None
    total: int | None = None


def read(reply: transport.Reply, *, method: str) -> Answer:
    """Raises a PortalError for every answer that is not a result."""
    body = read_object(reply, method=method)
    if "result" not in body:
        raise _unreadable(reply.status, method=method)
    return Answer(
        result=body["result"],
        operating=operating_of(body.get("time"), method=method),
        next=_int(body.get("next")),
        total=_int(body.get("total")),
    )


def read_object(reply: transport.Reply, *, method: str) -> Mapping[str, object]:
    """The JSON object of a good answer. Raises a PortalError for anything else."""
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _unreadable(reply.status, method=method)
    failed = reply.status >= 400 or ("error" in body and "result" not in body)
    if failed:
        raise _failure(body, reply.status, method=method)
    if not 200 <= reply.status < 300:
        raise _unreadable(reply.status, method=method)
    return body


def error_of(
    rest_code: str,
    *,
    method: str,
    status: int = 0,
    description: str = "",
    reset_at: int | None = None,
) -> errors.PortalError:
    """The error that a code stands for; `status` (0 inside a batch) decides where the code is unknown."""
    kind = _CODES.get(rest_code.lower()) or _by_status(status)
    shown = errors.readable_code(rest_code)
    where = f"{method} answered {shown}" + (f" with HTTP {status}" if status else "")
    if kind in _REFUSALS:
        refusal, meaning = _REFUSALS[kind]
        return refusal(f"{where}: {meaning}", method=method, rest_code=rest_code, description=description)
    if kind is _Is.LIMITED:
        return errors.RateLimited(f"{where}: too many requests", method=method, rest_code=rest_code)
    if kind is _Is.OVERLOADED:
        return errors.Overloaded(
            f"{where}: Bitrix24 blocked requests to this portal; ask its support",
            method=method,
            rest_code=rest_code,
        )
    if kind is _Is.OPERATING:
        return errors.OperatingTimeOver(
            f"{where}: the method has used up its operating time",
            method=method,
            rest_code=rest_code,
            reset_at=reset_at,
        )
    return errors.PortalAway(
        f"{where}: the portal has trouble", method=method, rest_code=rest_code, after_first_byte=True
    )


def operating_of(time: object, *, method: str) -> Operating | None:
    """From a `time` block; None where the portal does not tell (a box may not)."""
    if not isinstance(time, dict):
        return None
    seconds = time.get("operating")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return Operating(
        method=method, operating_seconds=float(seconds), reset_at=_int(time.get("operating_reset_at"))
    )


def as_map(value: object) -> dict[str, object]:
    """PHP writes an empty map as `[]`, and one with the keys 0, 1, ... as a list."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(number): item for number, item in enumerate(value)}
    return {}


def as_list(value: object) -> list[object]:
    """PHP writes a list with gaps as a map."""
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def text_of(value: object) -> str:
    """A code or an id that may come as a string or a number; empty for anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _failure(body: Mapping[str, object], status: int, *, method: str) -> errors.PortalError:
    time = as_map(body.get("time"))
    return error_of(
        text_of(body.get("error")),
        method=method,
        status=status,
        description=text_of(body.get("error_description")),
        reset_at=_int(time.get("operating_reset_at")),
    )


def _by_status(status: int) -> _Is:
    if status == 401:
        return _Is.BROKEN
    if status == 403:
        return _Is.DENIED
    if status == 429:
        return _Is.LIMITED
    return _Is.AWAY if status >= 500 else _Is.REFUSED


def _unreadable(status: int, *, method: str) -> errors.PortalAway:
    return errors.PortalAway(
        f"{method} answered HTTP {status} with something that is not REST",
        method=method,
        after_first_byte=True,
    )


def _int(value: object) -> int | None:
    """Whole numbers, also where PHP made them a float or a string of digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value) if abs(value) < 2**53 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return None
