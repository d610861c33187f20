"""Messages on their way to the sender: core's words <-> OutgoingMessage.

What protobuf cannot carry (a lone surrogate from a JSON body) is replaced here, never refused: a message that
reached us is kept.
"""

import hashlib
from dataclasses import dataclass, field, replace

from smsbridge.api.v1 import sender_pb2, types_pb2
from smsbridge.core import message
from smsbridge.rpc import enums


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message as somebody asked for it. `recipient` is what was typed; the sender normalises it."""

    provider_uid: str
    message_id: str
    recipient: str
    text: str
    origin: message.Origin
    accepted_at_ms: int
    report_to: message.ReportTo = message.ReportTo.PORTAL
    dedupe_key: str = ""
    event_token: str = field(default="", repr=False)
    route: message.Route | None = None
    wait_seconds: int = 0
    document_type: str = ""
    token_check: message.TokenCheck = message.TokenCheck.ABSENT
    token_digest: str = ""
    code: str = ""
    attempt: int = 1

    @property
    def id(self) -> str:
        """The portal's message_id, else one that follows from the caller's key: a repeat is known again."""
        return self.message_id or _id_by_key(self.report_to, self.dedupe_key)


def to_proto(outgoing: Outgoing) -> sender_pb2.OutgoingMessage:
    """On the hot path: some microseconds."""
    try:
        return _to_proto(outgoing)
    except UnicodeEncodeError:
        clean = replace(
            outgoing,
            recipient=without_surrogates(outgoing.recipient),
            text=without_surrogates(outgoing.text),
            code=without_surrogates(outgoing.code),
            document_type=without_surrogates(outgoing.document_type),
            event_token=without_surrogates(outgoing.event_token),
            dedupe_key=without_surrogates(outgoing.dedupe_key),
        )
        return _to_proto(clean)


def _to_proto(outgoing: Outgoing) -> sender_pb2.OutgoingMessage:
    route = outgoing.route
    return sender_pb2.OutgoingMessage(
        provider_uid=outgoing.provider_uid,
        message_id=outgoing.message_id,
        dedupe_key=outgoing.dedupe_key,
        recipient=outgoing.recipient,
        text=outgoing.text,
        origin=enums.ORIGIN.to_proto(outgoing.origin),
        report_to=enums.REPORT_TO.to_proto(outgoing.report_to),
        event_token=outgoing.event_token,
        route=enums.ROUTE.to_proto(route) if route is not None else types_pb2.ROUTE_UNSPECIFIED,
        wait_seconds=outgoing.wait_seconds,
        accepted_at_ms=outgoing.accepted_at_ms,
        document_type=outgoing.document_type,
        token_check=enums.TOKEN_CHECK.to_proto(outgoing.token_check),
        token_digest=outgoing.token_digest,
        code=outgoing.code,
        attempt=outgoing.attempt,
    )


def from_proto(given: sender_pb2.OutgoingMessage) -> Outgoing:
    """InputError where the origin is missing; what else is unspecified gets its default."""
    return Outgoing(
        provider_uid=given.provider_uid,
        message_id=given.message_id,
        recipient=given.recipient,
        text=given.text,
        origin=enums.ORIGIN.required(given.origin, field="origin"),
        accepted_at_ms=given.accepted_at_ms,
        report_to=_report_to(given),
        dedupe_key=given.dedupe_key,
        event_token=given.event_token,
        route=enums.ROUTE.to_core(given.route),
        wait_seconds=given.wait_seconds,
        document_type=given.document_type,
        token_check=enums.TOKEN_CHECK.or_default(given.token_check, message.TokenCheck.ABSENT),
        token_digest=given.token_digest,
        code=given.code,
        attempt=given.attempt or 1,
    )


def id_of(given: sender_pb2.OutgoingMessage) -> str:
    """`Outgoing.id`, also of one that `from_proto` would refuse: that is for the sender to say."""
    return given.message_id or _id_by_key(_report_to(given), given.dedupe_key)


def _report_to(given: sender_pb2.OutgoingMessage) -> message.ReportTo:
    return enums.REPORT_TO.or_default(given.report_to, message.ReportTo.PORTAL)


def _id_by_key(report_to: message.ReportTo, key: str) -> str:
    return hashlib.sha256(f"{report_to}\0{key}".encode()).hexdigest()[:32]


def without_surrogates(text: str) -> str:
    """Each lone surrogate becomes U+FFFD, each pair the character it stands for; the rest stays."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
