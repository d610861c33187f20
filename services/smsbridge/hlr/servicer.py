"""The gRPC edge of the hlr role: protobuf on one side, core on the other, nothing decided in between."""

from typing import Any, TypeAlias

import grpc.aio

from smsbridge.api.v1 import hlr_pb2, hlr_pb2_grpc
from smsbridge.hlr.service import HlrService, LearnedFor
from smsbridge.rpc import enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.store.preferences import Learned

SERVICE_NAME: str = hlr_pb2.DESCRIPTOR.services_by_name["HlrService"].full_name

_NO_LOOKUPS = "number look-ups are not offered by this version"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # quoted: generic in its stubs only


class HlrServicer(hlr_pb2_grpc.HlrServiceServicer):
    def __init__(self, service: HlrService) -> None:
        self._service = service

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
        return await rpc_errors.abort(context, rpc_errors.Unimplemented(_NO_LOOKUPS))

    async def Lookup(self, request: hlr_pb2.LookupRequest, context: Context) -> hlr_pb2.LookupResponse:
        return await rpc_errors.abort(context, rpc_errors.Unimplemented(_NO_LOOKUPS))


def _learned(item: hlr_pb2.LearnedChannel) -> LearnedFor:
    channel = enums.CHANNEL.required(item.channel, field="learned.channel")
    return LearnedFor(
        provider_uid=item.provider_uid,
        learned=Learned(msisdn=item.msisdn, channel=channel, at_ms=item.learned_at_ms),
    )
