"""The gRPC edge of the hlr role: protobuf on one side, core on the other, nothing decided in between."""

from collections.abc import AsyncIterator, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import grpc.aio

from smsbridge.api.v1 import hlr_pb2, hlr_pb2_grpc
from smsbridge.core import errors
from smsbridge.core.errand import Errand, ErrandResult
from smsbridge.core.verification import Source
from smsbridge.hlr.errands.desk import Answer, ErrandDesk
from smsbridge.hlr.lookups import Budget, LookupService
from smsbridge.hlr.results import Heard, Results
from smsbridge.hlr.service import HlrService, LearnedFor
from smsbridge.hlr.verification.service import VerificationService
from smsbridge.rpc import enums, errand, facts, verification
from smsbridge.rpc import errors as rpc_errors
from smsbridge.store.preferences import Learned

SERVICE_NAME: str = hlr_pb2.DESCRIPTOR.services_by_name["HlrService"].full_name

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # quoted: generic in its stubs only


class HlrServicer(hlr_pb2_grpc.HlrServiceServicer):
    def __init__(
        self,
        service: HlrService,
        *,
        lookups: LookupService,
        results: Results,
        verifications: VerificationService,
        desk: ErrandDesk,
    ) -> None:
        self._desk = desk
        self._service = service
        self._lookups = lookups
        self._results = results
        self._verifications = verifications

    async def GetPreferences(
        self, request: hlr_pb2.GetPreferencesRequest, context: Context
    ) -> hlr_pb2.GetPreferencesResponse:
        async with rpc_errors.answering(context):
            known = await self._service.preferences(request.provider_uid, request.msisdns)
        words = {number: enums.CHANNEL.to_proto(channel) for number, channel in known.items()}
        return hlr_pb2.GetPreferencesResponse(preferences=words)

    async def LearnChannel(
        self, request: hlr_pb2.LearnChannelRequest, context: Context
    ) -> hlr_pb2.LearnChannelResponse:
        async with rpc_errors.answering(context):
            await self._service.learn([_learned(item) for item in request.learned])
        return hlr_pb2.LearnChannelResponse()

    async def RecordResults(
        self, request: hlr_pb2.RecordResultsRequest, context: Context
    ) -> hlr_pb2.RecordResultsResponse:
        async with rpc_errors.answering(context):
            await self._results.record([_heard(item) for item in request.results])
        return hlr_pb2.RecordResultsResponse()

    async def Lookup(self, request: hlr_pb2.LookupRequest, context: Context) -> hlr_pb2.LookupResponse:
        async with rpc_errors.answering(context):
            found = await self._lookups.look_up(
                request.provider_uid,
                request.msisdns,
                max_age_seconds=request.max_age_seconds,
                wait_seconds=max(0, request.wait_ms) / 1000,
            )
        return hlr_pb2.LookupResponse(facts=map(facts.to_proto, found))

    async def Describe(self, request: hlr_pb2.DescribeRequest, context: Context) -> hlr_pb2.DescribeResponse:
        async with rpc_errors.answering(context):
            found = await self._lookups.describe(
                request.provider_uid, request.msisdns, max_age_seconds=request.max_age_seconds
            )
        return hlr_pb2.DescribeResponse(facts=map(facts.to_proto, found))

    async def Budget(self, request: hlr_pb2.BudgetRequest, context: Context) -> hlr_pb2.BudgetResponse:
        async with rpc_errors.answering(context):
            found = await self._lookups.budgets(request.provider_uid)
        return hlr_pb2.BudgetResponse(budgets=map(_budget, found))

    async def EnrichEntity(
        self, request: hlr_pb2.EnrichEntityRequest, context: Context
    ) -> hlr_pb2.EnrichEntityResponse:
        async with rpc_errors.answering(context):
            answers = await self._enrich(request.errands)
        return hlr_pb2.EnrichEntityResponse(
            answers=[
                hlr_pb2.ErrandAnswer(result=enums.ERRAND_RESULT.to_proto(answer.result), reason=answer.reason)
                for answer in answers
            ]
        )

    async def _enrich(self, given: Iterable[hlr_pb2.Errand]) -> list[Answer]:
        """One that cannot be read is refused, and holds up no other."""
        read = [_errand(item) for item in given]
        taken = iter(await self._desk.take([errand for errand in read if errand is not None]))
        unreadable = Answer(ErrandResult.REFUSED, "kind")
        return [unreadable if errand is None else next(taken) for errand in read]

    async def StartVerification(
        self, request_iterator: AsyncIterator[hlr_pb2.StartVerificationRequest], context: Context
    ) -> hlr_pb2.StartVerificationResponse:
        async with rpc_errors.answering(context):
            uid, source, msisdns = await _start(request_iterator, most=self._verifications.most_numbers)
            made = await self._verifications.start(uid, source, msisdns)
        return hlr_pb2.StartVerificationResponse(verification=verification.to_proto(made))

    async def ConfirmVerification(
        self, request: hlr_pb2.ConfirmVerificationRequest, context: Context
    ) -> hlr_pb2.ConfirmVerificationResponse:
        async with rpc_errors.answering(context):
            roubles = _roubles(request.roubles)
            found = await self._verifications.confirm(request.id, uid=request.provider_uid, roubles=roubles)
        return hlr_pb2.ConfirmVerificationResponse(verification=verification.to_proto(found))

    async def GetVerification(
        self, request: hlr_pb2.GetVerificationRequest, context: Context
    ) -> hlr_pb2.GetVerificationResponse:
        async with rpc_errors.answering(context):
            found = await self._verifications.get(request.id, uid=request.provider_uid)
        return hlr_pb2.GetVerificationResponse(verification=verification.to_proto(found))

    async def WatchVerification(
        self, request: hlr_pb2.WatchVerificationRequest, context: Context
    ) -> AsyncIterator[hlr_pb2.WatchVerificationResponse]:
        async with rpc_errors.answering(context):
            async for found in self._verifications.watch(request.id, uid=request.provider_uid):
                yield hlr_pb2.WatchVerificationResponse(verification=verification.to_proto(found))

    async def CancelVerification(
        self, request: hlr_pb2.CancelVerificationRequest, context: Context
    ) -> hlr_pb2.CancelVerificationResponse:
        async with rpc_errors.answering(context):
            found = await self._verifications.cancel(request.id, uid=request.provider_uid)
        return hlr_pb2.CancelVerificationResponse(verification=verification.to_proto(found))

    async def ResumeVerification(
        self, request: hlr_pb2.ResumeVerificationRequest, context: Context
    ) -> hlr_pb2.ResumeVerificationResponse:
        async with rpc_errors.answering(context):
            found = await self._verifications.resume(request.id, uid=request.provider_uid)
        return hlr_pb2.ResumeVerificationResponse(verification=verification.to_proto(found))

    async def ListVerifications(
        self, request: hlr_pb2.ListVerificationsRequest, context: Context
    ) -> hlr_pb2.ListVerificationsResponse:
        async with rpc_errors.answering(context):
            found = await self._verifications.all(request.provider_uid)
        return hlr_pb2.ListVerificationsResponse(verifications=map(verification.to_proto, found))


async def _start(
    requests: AsyncIterator[hlr_pb2.StartVerificationRequest], *, most: int
) -> tuple[str, Source, list[str]]:
    """Raises InputError."""
    head: hlr_pb2.VerificationHead | None = None
    msisdns: list[str] = []
    async for request in requests:
        if request.HasField("head"):
            head = request.head
        msisdns += request.numbers.msisdns
        if len(msisdns) > most:
            raise errors.InputError(f"at most {most} numbers", field="numbers")
    if head is None:
        raise errors.InputError("the first part says what is to be verified, and for whom", field="head")
    return head.provider_uid, verification.source_to_core(head.source), msisdns


def _roubles(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        raise errors.InputError("must be a decimal", field="roubles") from None


def _learned(item: hlr_pb2.LearnedChannel) -> LearnedFor:
    channel = enums.CHANNEL.required(item.channel, field="learned.channel")
    return LearnedFor(
        provider_uid=item.provider_uid,
        learned=Learned(msisdn=item.msisdn, channel=channel, at_ms=item.learned_at_ms),
    )


def _errand(item: hlr_pb2.Errand) -> Errand | None:
    try:
        return errand.from_proto(item)
    except errors.InputError:
        return None


def _heard(item: hlr_pb2.HlrResult) -> Heard:
    return Heard(
        account_key=item.account_key,
        smsc_id=item.smsc_id,
        msisdn=item.msisdn,
        code=item.code,
        err=None if item.err < 0 else item.err,
        carrier=item.extra.get("net", ""),
    )


def _budget(one: Budget) -> hlr_pb2.BudgetDescription:
    return hlr_pb2.BudgetDescription(
        provider_uid=one.provider.uid,
        namespace=one.provider.namespace,
        name=one.provider.name,
        daily=f"{one.daily:f}",
        spent=f"{one.spent:f}",
        estimated=f"{one.estimated:f}",
        reserved=f"{one.reserved:f}",
    )
