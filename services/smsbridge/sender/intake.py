"""From what was asked for to a message in the store: number, route, legs, group. Pure functions."""

import functools
from dataclasses import asdict

from smsbridge.core import cascade, text
from smsbridge.core.message import STEP_REPORTS, Channel, Lane, Reason, TokenCheck
from smsbridge.core.provider import Provider
from smsbridge.rpc.message import Outgoing
from smsbridge.smsc import numbers, wire
from smsbridge.store import outbox, scripts

_HTTP_LIFE_MOST_SECONDS = 86400  # `valid` takes up to 24 hours


def group_of(
    provider: Provider, lane: Lane, legs: tuple[cascade.Leg, ...], attempt: int, body: str
) -> outbox.Group:
    """The group of attempt `attempt` (1 is the first leg) of a message with text `body`."""
    leg = legs[attempt - 1]
    batching = provider.batching
    life = 0 if leg.native or not leg.wait_seconds else min(leg.wait_seconds, _HTTP_LIFE_MOST_SECONDS)
    return outbox.Group(
        lane=lane.value,
        channel=leg.channel.value,
        native_wait=leg.wait_seconds if leg.native else 0,
        valid_seconds=life,
        sender=provider.account.sender_id,
        max=batching.max_numbers,
        linger=batching.interactive_linger_ms if lane is Lane.INTERACTIVE else batching.linger_ms,
        th="" if wire.can_mix_texts(provider.account.profile, body) else text.digest(body),
    )


def prepare(message: Outgoing, provider: Provider, *, default_region: str) -> outbox.NewMessage:
    """Never raises for a message's content: what cannot be sent is taken, and fails with a reason."""
    msisdn = numbers.normalise(message.recipient, default_region=default_region)
    chosen, rule = provider.routing.choose(
        origin=message.origin, document_type=message.document_type, text=message.text, msisdn=msisdn
    )
    route = message.route or chosen
    legs = cascade.plan(route, provider.routing, provider.account.profile, wait_seconds=message.wait_seconds)
    lane = Lane.of(message.origin)
    reason = _unsendable(message, provider, msisdn)
    group = group_of(provider, lane, legs, 1, message.text)
    validity = provider.validity
    seconds = validity.bulk_seconds if lane is Lane.BULK else validity.interactive_seconds
    kept = "" if reason else message.text  # with a digest of its own: others may send this text
    return outbox.NewMessage(
        mid=message.id,
        to=msisdn,
        th=text.digest(kept),
        text=kept,
        org=message.origin.value,
        lane=lane.value,
        rep=message.report_to.value,
        tok=message.event_token if message.report_to in STEP_REPORTS else "",
        route=route.value,
        legs=dump_legs(legs),
        rule=rule if message.route is None else "",
        doc=message.document_type,
        acc=message.accepted_at_ms,
        exp=message.accepted_at_ms + seconds * 1000,
        seg=text.segments(message.text),
        nx="1" if len(legs) > 1 else "0",
        ch=legs[0].channel.value,
        gid=group.gid,
        gi=group.dump(),
        fail=reason.value if reason else "",
        hold=message.token_digest if message.token_check is TokenCheck.MISMATCH else "",
    )


@functools.lru_cache(maxsize=1024)  # few routes, many messages
def dump_legs(legs: tuple[cascade.Leg, ...]) -> str:
    return scripts.encode([asdict(leg) for leg in legs])


def load_legs(dumped: str) -> tuple[cascade.Leg, ...]:
    return tuple(
        cascade.Leg(Channel(leg["channel"]), leg["wait_seconds"], leg["native"])
        for leg in scripts.decode(dumped)
    )


def _unsendable(message: Outgoing, provider: Provider, msisdn: str) -> Reason | None:
    if message.code and message.code.lower() != provider.code.lower():
        return Reason.FOREIGN_CODE
    if not msisdn:
        return Reason.BAD_NUMBER
    if not message.text.strip():
        return Reason.EMPTY_TEXT
    if len(message.text) > text.MAX_CHARACTERS:
        return Reason.TEXT_TOO_LONG
    if wire.chooses_channel(message.text):
        return Reason.CHANNEL_PREFIX
    return None
