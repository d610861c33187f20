"""gRPC's edge of the sender: protobuf in, protobuf out, nothing decided."""

from typing import Any

import grpc.aio

from smsbridge.api.v1 import sender_pb2, sender_pb2_grpc
from smsbridge.core import errors
from smsbridge.rpc import enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc import message as rpc_message
from smsbridge.sender import service

Context = grpc.aio.ServicerContext[Any, Any]


class SenderServicer(sender_pb2_grpc.SenderServiceServicer):
    def __init__(self, sender: service.SenderService) -> None:
        self._sender = sender

    async def Submit(self, request: sender_pb2.SubmitRequest, context: Context) -> sender_pb2.SubmitResponse:
        async with rpc_errors.answering(context):
            taken, refused = [], {}
            for index, given in enumerate(request.messages):
                try:
                    taken.append(rpc_message.from_proto(given))
                except errors.InputError as error:
                    refused[index] = error.sentence
            answers = iter(await self._sender.submit(taken))
            return sender_pb2.SubmitResponse(
                answers=[
                    _refused(refused[index]) if index in refused else _answer(next(answers))
                    for index in range(len(request.messages))
                ]
            )

    async def Cancel(self, request: sender_pb2.CancelRequest, context: Context) -> sender_pb2.CancelResponse:
        async with rpc_errors.answering(context):
            state = await self._sender.cancel(request.provider_uid, request.message_id)
            return sender_pb2.CancelResponse(state=enums.MESSAGE_STATE.to_proto(state))

    async def DescribeQueue(
        self, request: sender_pb2.DescribeQueueRequest, context: Context
    ) -> sender_pb2.DescribeQueueResponse:
        async with rpc_errors.answering(context):
            queues = await self._sender.describe(request.provider_uid)
            return sender_pb2.DescribeQueueResponse(queues=[_queue(queue) for queue in queues])


def _refused(sentence: str) -> sender_pb2.SubmitAnswer:
    return sender_pb2.SubmitAnswer(result=sender_pb2.SUBMIT_RESULT_REFUSED, reason=sentence)


def _answer(answer: service.Answer) -> sender_pb2.SubmitAnswer:
    return sender_pb2.SubmitAnswer(
        result=enums.SUBMITTED.to_proto(answer.result), message_id=answer.message_id, reason=answer.reason
    )


def _queue(queue: service.Queue) -> sender_pb2.QueueDescription:
    lanes = [
        sender_pb2.LaneDepth(lane=depth.lane, waiting=depth.waiting, oldest_age_ms=depth.oldest_age_ms)
        for depth in queue.lanes
    ]
    balance = queue.account.balance
    return sender_pb2.QueueDescription(
        provider_uid=queue.provider.uid,
        namespace=queue.provider.namespace,
        name=queue.provider.name,
        lanes=lanes,
        held=queue.held,
        sending=queue.sending,
        uncertain=queue.uncertain,
        pause_reason=queue.pause_reason,
        next_probe_at_ms=queue.account.next_probe_at_ms,
        balance=str(balance) if balance is not None else "",
        status_proved=queue.account.status_proved,
    )
