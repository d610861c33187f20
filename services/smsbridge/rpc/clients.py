"""Typed clients of the roles' services.

Every call has a deadline and fails at once where nobody listens (no wait-for-ready). Errors are core's.
Only what reads is repeated, once; what writes has its caller's own way of repeating (the gateway's journal,
the sender's outbox). Channels come from `runtime.rpc.channel`.
"""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from smsbridge.api.v1 import (
    hlr_pb2,
    hlr_pb2_grpc,
    sender_pb2,
    sender_pb2_grpc,
    status_pb2,
    status_pb2_grpc,
)
from smsbridge.core import delivery, errors, message, number
from smsbridge.core.verification import Source, Verification
from smsbridge.rpc import enums, facts
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc import message as rpc_message
from smsbridge.rpc import verification as rpc_verification
from smsbridge.runtime import tracing

Result = TypeVar("Result")
Request_contra = TypeVar("Request_contra", contravariant=True)
Response_co = TypeVar("Response_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each kind of call. `preferences` is short: without an answer a number counts as unknown."""

    write_seconds: float = 5.0
    read_seconds: float = 5.0
    preferences_seconds: float = 0.2
    watch_seconds: float = 600.0
    upload_seconds: float = 120.0
    report_seconds: float = 30.0  # of a year, and of many providers


class Method(Protocol[Request_contra, Response_co]):
    """One unary call of a stub, as far as it is used here."""

    def __call__(self, request: Request_contra, /, *, timeout: float) -> Awaitable[Response_co]: ...


async def _once(
    service: str, method: Method[Request_contra, Response_co], request: Request_contra, *, timeout: float
) -> Response_co:
    try:
        return await method(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        raise rpc_errors.from_rpc(error, service=service) from None
    except grpc.aio.UsageError as error:  # the channel was closed under us, while stopping
        raise errors.ServiceAway(f"the way to the {service} is closed") from error


async def _repeated(call: Callable[[], Awaitable[Result]]) -> Result:
    """For what only reads: once more where nobody answered."""
    try:
        return await call()
    except errors.Away:
        return await call()


class SenderClient:
    def __init__(self, channel: grpc.aio.Channel, *, deadlines: Deadlines | None = None) -> None:
        self._stub = sender_pb2_grpc.SenderServiceStub(channel)
        self._deadlines = deadlines or Deadlines()

    async def submit(
        self, messages: Sequence[sender_pb2.OutgoingMessage], *, timeout_seconds: float | None = None
    ) -> Sequence[sender_pb2.SubmitAnswer]:
        """One answer for each message, in order. A repeat is harmless: the sender dedupes.

        The call belongs to the trace of its first message; each has one of its own by its id.
        """
        first = tracing.id_of(rpc_message.id_of(messages[0])) if messages else ""
        with tracing.within(first):
            response = await _once(
                "sender",
                self._stub.Submit,
                sender_pb2.SubmitRequest(messages=messages),
                timeout=timeout_seconds or self._deadlines.write_seconds,
            )
        if len(response.answers) != len(messages):
            raise errors.Uncertain("the sender answered another number of messages than it was given")
        return response.answers

    async def cancel(self, provider_uid: str, message_id: str) -> delivery.MessageState:
        """NotFound where nobody knows it, Refused once it is on its way."""
        request = sender_pb2.CancelRequest(provider_uid=provider_uid, message_id=message_id)
        response = await _once("sender", self._stub.Cancel, request, timeout=self._deadlines.write_seconds)
        return enums.MESSAGE_STATE.required(response.state, field="state")

    async def describe_queue(self, provider_uid: str = "") -> Sequence[sender_pb2.QueueDescription]:
        request = sender_pb2.DescribeQueueRequest(provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        response = await _repeated(
            lambda: _once("sender", self._stub.DescribeQueue, request, timeout=timeout)
        )
        return response.queues


class StatusClient:
    def __init__(self, channel: grpc.aio.Channel, *, deadlines: Deadlines | None = None) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)
        self._deadlines = deadlines or Deadlines()

    async def record_submissions(self, submissions: Sequence[status_pb2.Submission]) -> None:
        """In the trace of the first one's message, as `SenderClient.submit`."""
        request = status_pb2.RecordSubmissionsRequest(submissions=submissions)
        first = tracing.id_of(submissions[0].message_id) if submissions else ""
        with tracing.within(first):
            await _once(
                "status", self._stub.RecordSubmissions, request, timeout=self._deadlines.write_seconds
            )

    async def record_receipts(
        self, receipts: Sequence[status_pb2.Receipt], *, timeout_seconds: float | None = None
    ) -> status_pb2.RecordReceiptsResponse:
        request = status_pb2.RecordReceiptsRequest(receipts=receipts)
        timeout = timeout_seconds or self._deadlines.write_seconds
        return await _once("status", self._stub.RecordReceipts, request, timeout=timeout)

    async def get_message(self, message_id: str, *, provider_uid: str = "") -> status_pb2.MessageRecord:
        request = status_pb2.GetMessageRequest(message_id=message_id, provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        response = await _repeated(lambda: _once("status", self._stub.GetMessage, request, timeout=timeout))
        return response.message

    async def find_messages(
        self, phone: str, *, provider_uid: str = ""
    ) -> Sequence[status_pb2.MessageSummary]:
        """Newest first. Unimplemented by a status role of an older version."""
        request = status_pb2.FindMessagesRequest(phone=phone, provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        response = await _repeated(lambda: _once("status", self._stub.FindMessages, request, timeout=timeout))
        return response.messages

    async def report(self, request: status_pb2.ReportRequest) -> status_pb2.ReportResponse:
        """Unimplemented by a status role of an older version."""
        timeout = self._deadlines.report_seconds
        return await _repeated(lambda: _once("status", self._stub.Report, request, timeout=timeout))

    async def get_ledger(self, provider_uid: str = "") -> status_pb2.GetLedgerResponse:
        request = status_pb2.GetLedgerRequest(provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        return await _repeated(lambda: _once("status", self._stub.GetLedger, request, timeout=timeout))

    async def watch_message(
        self, message_id: str, *, provider_uid: str = "", timeout_seconds: float | None = None
    ) -> AsyncIterator[status_pb2.MessageRecord]:
        """The message now and at each change, until it is final."""
        request = status_pb2.WatchMessageRequest(message_id=message_id, provider_uid=provider_uid)
        call = self._stub.WatchMessage(request, timeout=timeout_seconds or self._deadlines.watch_seconds)
        try:
            async for response in call:
                yield response.message
        except grpc.aio.AioRpcError as error:
            raise rpc_errors.from_rpc(error, service="status") from None
        finally:
            call.cancel()


class HlrClient:
    def __init__(self, channel: grpc.aio.Channel, *, deadlines: Deadlines | None = None) -> None:
        self._stub = hlr_pb2_grpc.HlrServiceStub(channel)
        self._deadlines = deadlines or Deadlines()

    async def get_preferences(self, provider_uid: str, msisdns: Sequence[str]) -> dict[str, message.Channel]:
        """Preferred channels by number; up to 1,000 numbers. Not repeated: its caller cannot wait."""
        request = hlr_pb2.GetPreferencesRequest(provider_uid=provider_uid, msisdns=msisdns)
        timeout = self._deadlines.preferences_seconds
        response = await _once("hlr", self._stub.GetPreferences, request, timeout=timeout)
        found = ((msisdn, enums.CHANNEL.to_core(word)) for msisdn, word in response.preferences.items())
        return {msisdn: channel for msisdn, channel in found if channel is not None}

    async def learn_channel(self, learned: Sequence[hlr_pb2.LearnedChannel]) -> None:
        request = hlr_pb2.LearnChannelRequest(learned=learned)
        await _once("hlr", self._stub.LearnChannel, request, timeout=self._deadlines.write_seconds)

    async def record_results(
        self, results: Sequence[hlr_pb2.HlrResult], *, timeout_seconds: float | None = None
    ) -> None:
        """Unimplemented by an hlr role of an older version."""
        request = hlr_pb2.RecordResultsRequest(results=results)
        timeout = timeout_seconds or self._deadlines.write_seconds
        await _once("hlr", self._stub.RecordResults, request, timeout=timeout)

    async def enrich(
        self, errands: Sequence[hlr_pb2.Errand], *, timeout_seconds: float | None = None
    ) -> Sequence[hlr_pb2.ErrandAnswer]:
        """One answer for each, in order. A repeat is harmless. Unimplemented by an hlr role of an older
        version.
        """
        request = hlr_pb2.EnrichEntityRequest(errands=errands)
        timeout = timeout_seconds or self._deadlines.write_seconds
        response = await _once("hlr", self._stub.EnrichEntity, request, timeout=timeout)
        if len(response.answers) != len(errands):
            raise errors.Uncertain("hlr answered another number of errands than it was given")
        return response.answers

    async def lookup(
        self,
        provider_uid: str,
        msisdns: Sequence[str],
        *,
        max_age_seconds: int = 0,
        wait_seconds: float = 0.0,
        timeout_seconds: float | None = None,
    ) -> list[number.Facts]:
        """What is known, one for each number, bought where it must be; `wait_seconds` for results.

        Not repeated here, though a repeat buys nothing twice.
        """
        request = hlr_pb2.LookupRequest(
            provider_uid=provider_uid,
            msisdns=msisdns,
            max_age_seconds=max_age_seconds,
            wait_ms=round(wait_seconds * 1000),
        )
        timeout = timeout_seconds or wait_seconds + self._deadlines.read_seconds
        response = await _once("hlr", self._stub.Lookup, request, timeout=timeout)
        return _facts(response.facts, msisdns)

    async def describe(
        self,
        provider_uid: str,
        msisdns: Sequence[str],
        *,
        max_age_seconds: int = 0,
        timeout_seconds: float | None = None,
    ) -> list[number.Facts]:
        """The same without spending. Not repeated: a sender cannot wait."""
        request = hlr_pb2.DescribeRequest(
            provider_uid=provider_uid, msisdns=msisdns, max_age_seconds=max_age_seconds
        )
        timeout = timeout_seconds or self._deadlines.read_seconds
        response = await _once("hlr", self._stub.Describe, request, timeout=timeout)
        return _facts(response.facts, msisdns)

    async def budgets(self, provider_uid: str = "") -> Sequence[hlr_pb2.BudgetDescription]:
        request = hlr_pb2.BudgetRequest(provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        response = await _repeated(lambda: _once("hlr", self._stub.Budget, request, timeout=timeout))
        return response.budgets

    async def start_verification(
        self,
        provider_uid: str,
        source: Source,
        msisdns: Sequence[str] = (),
        *,
        timeout_seconds: float | None = None,
    ) -> Verification:
        """`msisdns`: of a file, however many. Not repeated: it would be a second one."""
        requests = rpc_verification.requests(provider_uid, source, msisdns)
        timeout = timeout_seconds or self._deadlines.upload_seconds
        response = await _once("hlr", self._stub.StartVerification, requests, timeout=timeout)
        return rpc_verification.to_core(response.verification)

    async def confirm_verification(
        self, id: str, *, provider_uid: str = "", roubles: Decimal | None = None
    ) -> Verification:
        """Yes to a quote; with `roubles` to this one alone. A repeat changes nothing."""
        request = hlr_pb2.ConfirmVerificationRequest(
            id=id, provider_uid=provider_uid, roubles="" if roubles is None else f"{roubles:f}"
        )
        timeout = self._deadlines.write_seconds
        response = await _once("hlr", self._stub.ConfirmVerification, request, timeout=timeout)
        return rpc_verification.to_core(response.verification)

    async def get_verification(self, id: str, *, provider_uid: str = "") -> Verification:
        request = hlr_pb2.GetVerificationRequest(id=id, provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        call = functools.partial(_once, "hlr", self._stub.GetVerification, request, timeout=timeout)
        return rpc_verification.to_core((await _repeated(call)).verification)

    async def watch_verification(
        self, id: str, *, provider_uid: str = "", timeout_seconds: float | None = None
    ) -> AsyncIterator[Verification]:
        """Now, and at each change, until it ends, pauses, or waits for a yes."""
        request = hlr_pb2.WatchVerificationRequest(id=id, provider_uid=provider_uid)
        call = self._stub.WatchVerification(request, timeout=timeout_seconds or self._deadlines.watch_seconds)
        try:
            async for response in call:
                yield rpc_verification.to_core(response.verification)
        except grpc.aio.AioRpcError as error:
            raise rpc_errors.from_rpc(error, service="hlr") from None
        finally:
            call.cancel()

    async def cancel_verification(self, id: str, *, provider_uid: str = "") -> Verification:
        request = hlr_pb2.CancelVerificationRequest(id=id, provider_uid=provider_uid)
        timeout = self._deadlines.write_seconds
        response = await _once("hlr", self._stub.CancelVerification, request, timeout=timeout)
        return rpc_verification.to_core(response.verification)

    async def resume_verification(self, id: str, *, provider_uid: str = "") -> Verification:
        request = hlr_pb2.ResumeVerificationRequest(id=id, provider_uid=provider_uid)
        timeout = self._deadlines.write_seconds
        response = await _once("hlr", self._stub.ResumeVerification, request, timeout=timeout)
        return rpc_verification.to_core(response.verification)

    async def list_verifications(self, provider_uid: str = "") -> list[Verification]:
        """The newest first, without counts by carrier and region."""
        request = hlr_pb2.ListVerificationsRequest(provider_uid=provider_uid)
        timeout = self._deadlines.read_seconds
        call = functools.partial(_once, "hlr", self._stub.ListVerifications, request, timeout=timeout)
        return [rpc_verification.to_core(one) for one in (await _repeated(call)).verifications]


def _facts(found: Sequence[hlr_pb2.NumberFacts], msisdns: Sequence[str]) -> list[number.Facts]:
    if [one.msisdn for one in found] != list(msisdns):
        raise errors.Uncertain("hlr answered for other numbers than it was asked about")
    return [facts.to_core(one) for one in found]
