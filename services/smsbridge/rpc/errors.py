"""core's errors <-> gRPC status codes, translated once on either side of the wire.

The status code is for any client; the trailing metadata `smsbridge-reason` (the error's stable code) and
`smsbridge-field` are for ours. Details are the error's sentence, which holds no secret, phone or text.

    core error           status code           and back
    InputError           INVALID_ARGUMENT      InputError
    NotFound             NOT_FOUND             NotFound
    Unimplemented        UNIMPLEMENTED         Unimplemented
    Refused              FAILED_PRECONDITION   Refused
    StoreAway            UNAVAILABLE           StoreAway (by its reason)
    Away, ServiceAway    UNAVAILABLE           ServiceAway; DEADLINE_EXCEEDED and CANCELLED too
    Uncertain            ABORTED               Uncertain
    anything else        UNKNOWN, INTERNAL     Broken: the peer has a bug; what it did is not known
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import grpc.aio

from smsbridge.core import errors

REASON_KEY = "smsbridge-reason"
FIELD_KEY = "smsbridge-field"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class NotFound(errors.Refused):
    """The peer knows no such thing."""

    code = "NotFound"


class Unimplemented(errors.Refused):
    """The peer does not offer this call (yet)."""

    code = "Unimplemented"


class Broken(errors.Uncertain):
    """The peer failed in a way it did not foresee. Whether it acted is not known."""

    code = "Broken"


# The first row that fits wins, so a class stands before its parents.
_STATUS: tuple[tuple[type[errors.SmsbridgeError], grpc.StatusCode], ...] = (
    (errors.InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (Unimplemented, grpc.StatusCode.UNIMPLEMENTED),
    (errors.Refused, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Away, grpc.StatusCode.UNAVAILABLE),
    (errors.Uncertain, grpc.StatusCode.ABORTED),
)

_PLAIN: dict[grpc.StatusCode, type[errors.SmsbridgeError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.FAILED_PRECONDITION: errors.Refused,
    grpc.StatusCode.PERMISSION_DENIED: errors.Refused,
    grpc.StatusCode.ABORTED: errors.Uncertain,
}

_AWAY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)


def status_of(error: errors.SmsbridgeError) -> grpc.StatusCode:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.INTERNAL


async def abort(context: Context, error: errors.SmsbridgeError) -> NoReturn:
    """Ends a call with what `error` says."""
    trailing = [(REASON_KEY, error.code)]
    if isinstance(error, errors.InputError) and error.field:
        trailing.append((FIELD_KEY, error.field.encode("ascii", "replace").decode()))
    await context.abort(status_of(error), error.sentence, tuple(trailing))
    raise AssertionError("abort returned")  # it raises always; its type does not say so


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Around a servicer's method: core's errors end the call with their status code."""
    try:
        yield
    except errors.SmsbridgeError as error:
        await abort(context, error)


def from_rpc(error: grpc.aio.AioRpcError, *, service: str) -> errors.SmsbridgeError:
    """The error of ours that `error` stands for. `service` is a word such as "sender"."""
    status = error.code()
    if status in _AWAY:
        return _away(error, service=service)
    sentence = error.details() or f"the {service} gave no reason"
    if status is grpc.StatusCode.INVALID_ARGUMENT:
        field = _trailing(error, FIELD_KEY)
        return errors.InputError(sentence.removeprefix(f"{field}: "), field=field)
    kind = _PLAIN.get(status)
    if kind is not None:
        return kind(sentence)
    # Details of an unforeseen failure may quote anything, so they are not repeated.
    return Broken(f"the {service} failed unexpectedly ({status.name})")


def _away(error: grpc.aio.AioRpcError, *, service: str) -> errors.Away:
    reason = _trailing(error, REASON_KEY)
    if reason == errors.StoreAway.code:
        return errors.StoreAway(error.details() or "the store is away")
    if reason:
        return errors.ServiceAway(error.details() or f"the {service} is away")
    # Without our reason it is gRPC's own word, which holds addresses.
    return errors.ServiceAway(f"the {service} does not answer ({error.code().name})")


def _trailing(error: grpc.aio.AioRpcError, key: str) -> str:
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for name, value in trailing:
        if name == key:
            return value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return ""
