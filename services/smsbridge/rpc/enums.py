"""core's enums and protobuf's, by table and in both directions.

A number that no table knows comes from a newer peer: it is read as "unspecified" (None), never as an error,
and the caller decides what that means. Zero, protobuf's own UNSPECIFIED, is read the same way.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from smsbridge.api.v1 import hlr_pb2, sender_pb2, types_pb2
from smsbridge.core import delivery, errand, errors, message, number, verification

Core = TypeVar("Core", bound=StrEnum)
Number = TypeVar("Number", bound=int)


class Table(Generic[Core, Number]):
    """One row per word. `name` stands in the sentence of an error."""

    def __init__(self, name: str, rows: Mapping[Core, Number]) -> None:
        self.name = name
        self._to_proto = dict(rows)
        self._to_core: dict[int, Core] = {number: word for word, number in rows.items()}

    def to_proto(self, word: Core) -> Number:
        return self._to_proto[word]

    def to_core(self, number: int) -> Core | None:
        """The word, or None for unspecified and for numbers of a newer peer."""
        return self._to_core.get(number)

    def required(self, number: int, *, field: str) -> Core:
        """The word; InputError naming `field` where there is none."""
        word = self.to_core(number)
        if word is None:
            raise errors.InputError(f"says no {self.name} that is known here ({number})", field=field)
        return word

    def or_default(self, number: int, default: Core) -> Core:
        return self.to_core(number) or default


ORIGIN = Table(
    "origin",
    {
        message.Origin.CARD: types_pb2.ORIGIN_CARD,
        message.Origin.ROBOT: types_pb2.ORIGIN_ROBOT,
        message.Origin.SERVICE: types_pb2.ORIGIN_SERVICE,
        message.Origin.MARKETING: types_pb2.ORIGIN_MARKETING,
        message.Origin.MANUAL: types_pb2.ORIGIN_MANUAL,
    },
)

CHANNEL = Table(
    "channel",
    {
        message.Channel.SMS: types_pb2.CHANNEL_SMS,
        message.Channel.VIBER: types_pb2.CHANNEL_VIBER,
    },
)

ROUTE = Table(
    "route",
    {
        message.Route.SMS: types_pb2.ROUTE_SMS,
        message.Route.VIBER: types_pb2.ROUTE_VIBER,
        message.Route.CASCADE: types_pb2.ROUTE_CASCADE,
    },
)

REPORT_TO = Table(
    "report target",
    {
        message.ReportTo.PORTAL: types_pb2.REPORT_TO_PORTAL,
        message.ReportTo.ROBOT: types_pb2.REPORT_TO_ROBOT,
        message.ReportTo.ROBOT_AT_ONCE: types_pb2.REPORT_TO_ROBOT_AT_ONCE,
        message.ReportTo.NOBODY: types_pb2.REPORT_TO_NOBODY,
    },
)

TOKEN_CHECK = Table(
    "token check",
    {
        message.TokenCheck.MATCH: types_pb2.TOKEN_CHECK_MATCH,
        message.TokenCheck.ABSENT: types_pb2.TOKEN_CHECK_ABSENT,
        message.TokenCheck.MISMATCH: types_pb2.TOKEN_CHECK_MISMATCH,
    },
)

MESSAGE_STATE = Table(
    "message state",
    {
        delivery.MessageState.HELD: types_pb2.MESSAGE_STATE_HELD,
        delivery.MessageState.QUEUED: types_pb2.MESSAGE_STATE_QUEUED,
        delivery.MessageState.SENDING: types_pb2.MESSAGE_STATE_SENDING,
        delivery.MessageState.SENT: types_pb2.MESSAGE_STATE_SENT,
        delivery.MessageState.DELIVERED: types_pb2.MESSAGE_STATE_DELIVERED,
        delivery.MessageState.UNDELIVERED: types_pb2.MESSAGE_STATE_UNDELIVERED,
        delivery.MessageState.FAILED: types_pb2.MESSAGE_STATE_FAILED,
        delivery.MessageState.EXPIRED: types_pb2.MESSAGE_STATE_EXPIRED,
        delivery.MessageState.CANCELLED: types_pb2.MESSAGE_STATE_CANCELLED,
        delivery.MessageState.OUTCOME_UNKNOWN: types_pb2.MESSAGE_STATE_OUTCOME_UNKNOWN,
    },
)


class Submitted(StrEnum):
    """What the sender answered for one message. The words are label values of the gateway's metrics."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    HELD = "held"
    UNKNOWN_PROVIDER = "unknown_provider"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


SUBMITTED = Table(
    "result",
    {
        Submitted.ACCEPTED: sender_pb2.SUBMIT_RESULT_ACCEPTED,
        Submitted.DUPLICATE: sender_pb2.SUBMIT_RESULT_DUPLICATE,
        Submitted.FAILED: sender_pb2.SUBMIT_RESULT_FAILED,
        Submitted.HELD: sender_pb2.SUBMIT_RESULT_HELD,
        Submitted.UNKNOWN_PROVIDER: sender_pb2.SUBMIT_RESULT_UNKNOWN_PROVIDER,
        Submitted.REFUSED: sender_pb2.SUBMIT_RESULT_REFUSED,
        Submitted.UNAVAILABLE: sender_pb2.SUBMIT_RESULT_UNAVAILABLE,
    },
)

REACHABILITY = Table(
    "reachability",
    {
        number.Reachability.ACTIVE: hlr_pb2.REACHABILITY_ACTIVE,
        number.Reachability.UNAVAILABLE: hlr_pb2.REACHABILITY_UNAVAILABLE,
        number.Reachability.ABSENT: hlr_pb2.REACHABILITY_ABSENT,
        number.Reachability.UNKNOWN: hlr_pb2.REACHABILITY_UNKNOWN,
    },
)

LOOKUP_STATE = Table(
    "look-up state",
    {
        number.LookupState.KNOWN: hlr_pb2.LOOKUP_STATE_KNOWN,
        number.LookupState.PENDING: hlr_pb2.LOOKUP_STATE_PENDING,
        number.LookupState.REFUSED: hlr_pb2.LOOKUP_STATE_REFUSED,
        number.LookupState.FAILED: hlr_pb2.LOOKUP_STATE_FAILED,
    },
)

VERIFICATION_STATE = Table(
    "state of a verification",
    {
        verification.State.QUOTING: hlr_pb2.VERIFICATION_STATE_QUOTING,
        verification.State.QUOTED: hlr_pb2.VERIFICATION_STATE_QUOTED,
        verification.State.RUNNING: hlr_pb2.VERIFICATION_STATE_RUNNING,
        verification.State.PAUSED: hlr_pb2.VERIFICATION_STATE_PAUSED,
        verification.State.DONE: hlr_pb2.VERIFICATION_STATE_DONE,
        verification.State.CANCELLED: hlr_pb2.VERIFICATION_STATE_CANCELLED,
        verification.State.FAILED: hlr_pb2.VERIFICATION_STATE_FAILED,
    },
)

ENTITY_TYPE = Table(
    "entity type",
    {
        errand.EntityType.CONTACT: hlr_pb2.ENTITY_TYPE_CONTACT,
        errand.EntityType.LEAD: hlr_pb2.ENTITY_TYPE_LEAD,
        errand.EntityType.COMPANY: hlr_pb2.ENTITY_TYPE_COMPANY,
    },
)

# LEARNED is hlr's own: nobody asks for it.
ERRAND_KIND = Table(
    "kind of errand",
    {
        errand.ErrandKind.ADDED: hlr_pb2.ERRAND_KIND_ADDED,
        errand.ErrandKind.CHANGED: hlr_pb2.ERRAND_KIND_CHANGED,
        errand.ErrandKind.WEBHOOK: hlr_pb2.ERRAND_KIND_WEBHOOK,
        errand.ErrandKind.STEP: hlr_pb2.ERRAND_KIND_STEP,
    },
)

ERRAND_RESULT = Table(
    "end of an errand",
    {
        errand.ErrandResult.TAKEN: hlr_pb2.ERRAND_RESULT_TAKEN,
        errand.ErrandResult.DUPLICATE: hlr_pb2.ERRAND_RESULT_DUPLICATE,
        errand.ErrandResult.UNKNOWN_PROVIDER: hlr_pb2.ERRAND_RESULT_UNKNOWN_PROVIDER,
        errand.ErrandResult.REFUSED: hlr_pb2.ERRAND_RESULT_REFUSED,
    },
)
