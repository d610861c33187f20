"""Errands on their way to hlr: core's words <-> protobuf's."""

from smsbridge.api.v1 import hlr_pb2
from smsbridge.core import message
from smsbridge.core.errand import Errand
from smsbridge.rpc import enums
from smsbridge.rpc.message import without_surrogates


def to_proto(one: Errand) -> hlr_pb2.Errand:
    entity = hlr_pb2.ENTITY_TYPE_UNSPECIFIED
    return hlr_pb2.Errand(
        provider_uid=one.provider_uid,
        kind=enums.ERRAND_KIND.to_proto(one.kind),
        entity=entity if one.entity is None else enums.ENTITY_TYPE.to_proto(one.entity),
        entity_id=one.entity_id,
        phone=without_surrogates(one.phone),
        event_token=without_surrogates(one.event_token),
        accepted_at_ms=one.accepted_at_ms,
        token_check=enums.TOKEN_CHECK.to_proto(one.token_check),
        token_digest=one.token_digest,
    )


def from_proto(given: hlr_pb2.Errand) -> Errand:
    """InputError where its kind is missing."""
    return Errand(
        provider_uid=given.provider_uid,
        kind=enums.ERRAND_KIND.required(given.kind, field="kind"),
        entity=enums.ENTITY_TYPE.to_core(given.entity),
        entity_id=given.entity_id,
        phone=given.phone,
        event_token=given.event_token,
        accepted_at_ms=given.accepted_at_ms,
        token_check=enums.TOKEN_CHECK.or_default(given.token_check, message.TokenCheck.ABSENT),
        token_digest=given.token_digest,
    )
