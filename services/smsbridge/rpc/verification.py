"""The verification of a contact base, between core and protobuf."""

import json
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal, InvalidOperation

from smsbridge.api.v1 import hlr_pb2
from smsbridge.core import errors, verification
from smsbridge.core.verification import Progress, Quote, Source, State, Verification
from smsbridge.rpc import enums

_NUMBERS_A_MESSAGE = 1000


async def requests(
    provider_uid: str, source: Source, msisdns: Sequence[str]
) -> AsyncIterator[hlr_pb2.StartVerificationRequest]:
    """What a client streams: the head, then numbers."""
    head = hlr_pb2.VerificationHead(provider_uid=provider_uid, source=_source_to_proto(source))
    yield hlr_pb2.StartVerificationRequest(head=head)
    for start in range(0, len(msisdns), _NUMBERS_A_MESSAGE):
        some = msisdns[start : start + _NUMBERS_A_MESSAGE]
        yield hlr_pb2.StartVerificationRequest(numbers=hlr_pb2.VerificationNumbers(msisdns=some))


def source_to_core(source: hlr_pb2.VerificationSource) -> Source:
    """Raises InputError for a filter that is none."""
    entity = enums.ENTITY_TYPE.to_core(source.entity)
    if source.entity and entity is None:
        raise errors.InputError("says no entity type that is known here", field="source.entity")
    return Source(entity, filter_of(source.filter))


def filter_of(text: str) -> dict[str, object]:
    """Raises InputError."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError:
        raise errors.InputError(
            'is no JSON; write an object, such as {"TYPE_ID": "CLIENT"}', field="filter"
        ) from None
    if not isinstance(found, dict):
        raise errors.InputError('must be a JSON object, such as {"TYPE_ID": "CLIENT"}', field="filter")
    return found


def to_proto(one: Verification) -> hlr_pb2.Verification:
    return hlr_pb2.Verification(
        id=one.id,
        provider_uid=one.provider_uid,
        namespace=one.namespace,
        name=one.name,
        state=enums.VERIFICATION_STATE.to_proto(one.state),
        reason=one.reason,
        reason_sentence=verification.sentence(one.state, one.reason),
        source=_source_to_proto(one.source),
        created_at_ms=one.created_at_ms,
        confirmed_at_ms=one.confirmed_at_ms,
        ended_at_ms=one.ended_at_ms,
        quote=None if one.quote is None else _quote_to_proto(one.quote),
        progress=_progress_to_proto(one.progress),
        outcomes=one.outcomes,
        carriers=one.carriers,
        regions=one.regions,
        saves="" if one.saves is None else f"{one.saves:f}",
    )


def to_core(one: hlr_pb2.Verification) -> Verification:
    """A state of a newer hlr counts as running."""
    return Verification(
        id=one.id,
        provider_uid=one.provider_uid,
        namespace=one.namespace,
        name=one.name,
        state=enums.VERIFICATION_STATE.or_default(one.state, State.RUNNING),
        reason=one.reason,
        source=source_to_core(one.source),
        created_at_ms=one.created_at_ms,
        confirmed_at_ms=one.confirmed_at_ms,
        ended_at_ms=one.ended_at_ms,
        quote=_quote_to_core(one.quote) if one.HasField("quote") else None,
        progress=_progress_to_core(one.progress),
        outcomes=dict(one.outcomes),
        carriers=dict(one.carriers),
        regions=dict(one.regions),
        saves=_money(one.saves) if one.saves else None,
    )


def _source_to_proto(source: Source) -> hlr_pb2.VerificationSource:
    return hlr_pb2.VerificationSource(
        entity=enums.ENTITY_TYPE.to_proto(source.entity)
        if source.entity is not None
        else hlr_pb2.ENTITY_TYPE_UNSPECIFIED,
        filter=json.dumps(dict(source.where), ensure_ascii=False) if source.where else "",
    )


def _quote_to_proto(quote: Quote) -> hlr_pb2.VerificationQuote:
    return hlr_pb2.VerificationQuote(
        entities=quote.entities,
        numbers=quote.numbers,
        known=quote.known,
        price=f"{quote.price:f}",
        roubles=f"{quote.roubles:f}",
        estimated=quote.estimated,
        seconds=quote.seconds,
    )


def _quote_to_core(quote: hlr_pb2.VerificationQuote) -> Quote:
    return Quote(
        entities=quote.entities,
        numbers=quote.numbers,
        known=quote.known,
        price=_money(quote.price),
        roubles=_money(quote.roubles),
        estimated=quote.estimated,
        seconds=quote.seconds,
    )


def _progress_to_proto(progress: Progress) -> hlr_pb2.VerificationProgress:
    return hlr_pb2.VerificationProgress(
        entities=progress.entities,
        without_phone=progress.without_phone,
        gone=progress.gone,
        written=progress.written,
        unchanged=progress.unchanged,
        refused=progress.refused,
        numbers=progress.numbers,
        bought=progress.bought,
        spent=f"{progress.spent:f}",
        estimated=f"{progress.estimated:f}",
        rate=progress.rate,
        seconds_left=-1 if progress.seconds_left is None else progress.seconds_left,
    )


def _progress_to_core(progress: hlr_pb2.VerificationProgress) -> Progress:
    return Progress(
        entities=progress.entities,
        without_phone=progress.without_phone,
        gone=progress.gone,
        written=progress.written,
        unchanged=progress.unchanged,
        refused=progress.refused,
        numbers=progress.numbers,
        bought=progress.bought,
        spent=_money(progress.spent),
        estimated=_money(progress.estimated),
        rate=progress.rate,
        seconds_left=None if progress.seconds_left < 0 else progress.seconds_left,
    )


def _money(text: str) -> Decimal:
    try:
        return Decimal(text or "0")
    except InvalidOperation:
        return Decimal(0)
