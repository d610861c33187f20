"""What is known of a number, between core and protobuf."""

from decimal import Decimal, InvalidOperation

from smsbridge.api.v1 import hlr_pb2
from smsbridge.core.number import Facts, LookupState, Reachability
from smsbridge.rpc import enums


def to_proto(one: Facts) -> hlr_pb2.NumberFacts:
    return hlr_pb2.NumberFacts(
        msisdn=one.msisdn,
        reachability=enums.REACHABILITY.to_proto(one.reachability),
        carrier=one.carrier,
        region=one.region,
        checked_at_ms=one.checked_at_ms,
        state=enums.LOOKUP_STATE.to_proto(one.state),
        reason=one.reason,
        bought=one.bought,
        cost="" if one.cost is None else f"{one.cost:f}",
        cost_estimated=one.cost_estimated,
    )


def to_core(one: hlr_pb2.NumberFacts) -> Facts:
    """A word of a newer hlr counts as unknown, and as failed."""
    return Facts(
        one.msisdn,
        enums.LOOKUP_STATE.or_default(one.state, LookupState.FAILED),
        reachability=enums.REACHABILITY.or_default(one.reachability, Reachability.UNKNOWN),
        carrier=one.carrier,
        region=one.region,
        checked_at_ms=one.checked_at_ms,
        reason=one.reason,
        bought=one.bought,
        cost=_money(one.cost),
        cost_estimated=one.cost_estimated,
    )


def _money(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None
