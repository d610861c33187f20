"""The gRPC edge of the status role: protobuf on one side, core on the other, nothing decided in between."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import grpc.aio

from smsbridge.api.v1 import status_pb2, status_pb2_grpc, types_pb2
from smsbridge.core import errors, msisdn
from smsbridge.core.message import Channel, Origin, ReportTo
from smsbridge.core.provider import Profile, Provider
from smsbridge.rpc import enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.status import answers, story, telling
from smsbridge.status.service import Found, StatusService
from smsbridge.store.delivery import LedgerView, MessageView
from smsbridge.store.receipts import AttemptKey, Receipt, Submission

SERVICE_NAME: str = status_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # quoted: generic in its stubs only


class StatusServicer(status_pb2_grpc.StatusServiceServicer):
    def __init__(self, service: StatusService) -> None:
        self._service = service

    async def RecordSubmissions(
        self, request: status_pb2.RecordSubmissionsRequest, context: Context
    ) -> status_pb2.RecordSubmissionsResponse:
        async with rpc_errors.answering(context):
            given = [(item.account_key, _submission(item)) for item in request.submissions]
            await self._service.record_submissions(given)
        return status_pb2.RecordSubmissionsResponse()

    async def RecordReceipts(
        self, request: status_pb2.RecordReceiptsRequest, context: Context
    ) -> status_pb2.RecordReceiptsResponse:
        async with rpc_errors.answering(context):
            given = [(item.account_key, _receipt(item)) for item in request.receipts]
            kept = await self._service.record_receipts(given)
        return status_pb2.RecordReceiptsResponse(
            matched=kept.matched, repeated_count=kept.repeated, parked=kept.parked
        )

    async def GetMessage(
        self, request: status_pb2.GetMessageRequest, context: Context
    ) -> status_pb2.GetMessageResponse:
        async with rpc_errors.answering(context):
            found = await self._service.message(request.message_id, request.provider_uid)
        return status_pb2.GetMessageResponse(message=message_record(found))

    async def WatchMessage(
        self, request: status_pb2.WatchMessageRequest, context: Context
    ) -> AsyncIterator[status_pb2.WatchMessageResponse]:
        async with rpc_errors.answering(context):
            async for found in self._service.watch(request.message_id, request.provider_uid):
                yield status_pb2.WatchMessageResponse(message=message_record(found))

    async def FindMessages(
        self, request: status_pb2.FindMessagesRequest, context: Context
    ) -> status_pb2.FindMessagesResponse:
        async with rpc_errors.answering(context):
            found = await self._service.find(request.phone, request.provider_uid)
        return status_pb2.FindMessagesResponse(messages=[answers.summary(*one) for one in found])

    async def Report(self, request: status_pb2.ReportRequest, context: Context) -> status_pb2.ReportResponse:
        async with rpc_errors.answering(context):
            by = answers.report_by(request.by)
            if by is None:
                raise errors.InputError("says nothing that is known here", field="by")
            report = await self._service.report(
                by=by, since=request.since, until=request.until, provider_uid=request.provider_uid
            )
        return answers.report_response(report)

    async def GetLedger(
        self, request: status_pb2.GetLedgerRequest, context: Context
    ) -> status_pb2.GetLedgerResponse:
        async with rpc_errors.answering(context):
            ledgers = await self._service.ledgers(request.provider_uid)
            journalled = await self._service.journalled()
        return status_pb2.GetLedgerResponse(
            ledgers=[_ledger(provider, view) for provider, view in ledgers],
            journalled=journalled,
            unaccounted=sum(view.unaccounted for _, view in ledgers),
        )


def message_record(found: Found) -> status_pb2.MessageRecord:
    provider, view = found.provider, found.view
    record = view.record
    cost, estimated = story.costs(view)
    return status_pb2.MessageRecord(
        provider_uid=provider.uid,
        namespace=provider.namespace,
        provider_name=provider.name,
        message_id=found.message_id,
        state=enums.MESSAGE_STATE.to_proto(found.state),
        reason=record.get("rs", ""),
        reason_sentence=story.reason_sentence(record.get("rs", "")),
        origin=enums.ORIGIN.to_proto(Origin(record["org"])),
        recipient=msisdn.mask(record.get("to", "")),
        accepted_at_ms=_int(record.get("acc", "")),
        attempts=[_attempt(view, number) for number in range(1, view.attempts + 1)],
        events=[_event(event, view) for event in view.events],
        portal_written=record.get("pd", ""),
        portal_wanted=view.portal_wanted,
        next_step=found.next_step,
        headline=found.headline,
        cost=answers.money(cost),
        cost_estimated="" if cost is None else answers.money(estimated),
        report_to=enums.REPORT_TO.to_proto(ReportTo(record["rep"])),
        step_told_at_ms=_int(record.get("pa", "")),
    )


def _attempt(view: MessageView, number: int) -> status_pb2.Attempt:
    def field(name: str) -> str:
        return view.of_attempt(number, name)

    return status_pb2.Attempt(
        number=number,
        channel=_channel(field("ch")),
        state=field("st"),
        client_id=field("cid"),
        smsc_id=field("sid"),
        sent_at_ms=_int(field("at")),
        final_at_ms=_int(field("fin")),
        segments=_int(field("cnt")),
        cost=field("cost"),
        reason=field("rs"),
        cost_estimated=field("est") == "1",
        delivered_by=_channel(field("by")) if field("st") == "delivered" else types_pb2.CHANNEL_UNSPECIFIED,
    )


def _event(event: Mapping[str, Any], view: MessageView) -> types_pb2.Event:
    detail = {name: _text(value) for name, value in event.items() if name not in ("at", "what")}
    sentence = telling.tell(event, view)
    return types_pb2.Event(at_ms=int(event["at"]), what=event["what"], detail=detail, sentence=sentence)


def _ledger(provider: Provider, view: LedgerView) -> status_pb2.Ledger:
    return status_pb2.Ledger(
        provider_uid=provider.uid,
        namespace=provider.namespace,
        name=provider.name,
        accepted=view.accepted,
        held=view.held,
        waiting=view.queued,
        sending=view.sending,
        sent=view.sent,
        final=dict(view.final),
        unaccounted=view.unaccounted,
        portal_outbox=view.portal_outbox,
        portal_lag_ms=view.portal_lag_ms,
    )


def _submission(item: status_pb2.Submission) -> Submission:
    if not item.account_key or not item.smsc_id or not item.msisdn:
        raise errors.InputError("account_key, smsc_id and msisdn are needed", field="submissions")
    key = AttemptKey(
        provider_uid=_plain(item.provider_uid, "provider_uid"),
        message_id=_plain(item.message_id, "message_id"),
        attempt=item.attempt,
        own_id=item.own_id,
        client_id=_plain(item.client_id, "client_id"),
        profile=_profile(item.profile),
        channel=enums.CHANNEL.required(item.channel, field="submissions.channel"),
        native_cascade=item.native_cascade,
    )
    return Submission(item.smsc_id, item.msisdn, key)


def _receipt(item: status_pb2.Receipt) -> Receipt:
    if not item.account_key or not item.smsc_id:
        raise errors.InputError("account_key and smsc_id are needed", field="receipts")
    return Receipt(
        smsc_id=item.smsc_id,
        msisdn=msisdn.digits_only(item.msisdn),
        code=item.code,
        err=item.err,
        ts=item.ts,
        type=item.type,
        cost=item.cost,
        received_at_ms=item.received_at_ms,
    )


def _plain(value: str, name: str) -> str:
    if not value or "|" in value:
        raise errors.InputError("must not be empty and holds no `|`", field=f"submissions.{name}")
    return value


def _profile(word: str) -> Profile:
    try:
        return Profile(word)
    except ValueError:
        raise errors.InputError("must be guide or http", field="submissions.profile") from None


def _channel(word: str) -> types_pb2.Channel.ValueType:
    return enums.CHANNEL.to_proto(Channel(word)) if word else types_pb2.CHANNEL_UNSPECIFIED


def _int(text: str) -> int:
    """The store writes some numbers with an exponent."""
    return int(float(text)) if text else 0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
