"""The internal listener and the gRPC server, through real sockets on loopback."""

import aiohttp
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from smsbridge.api.v1 import hlr_pb2, hlr_pb2_grpc
from smsbridge.runtime import rpc
from smsbridge.runtime.internal import InternalListener


async def fetch(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


async def test_internal_listener_says_whether_and_why_not() -> None:
    state = {"why": "the store is away"}

    async def ready() -> str:
        return state["why"]

    async def page() -> bytes:
        return b"up 1\n"

    listener = InternalListener(listen="127.0.0.1:0", page=page, ready=ready)
    await listener.start()
    try:
        assert await fetch(listener.address, "/readyz") == (503, "the store is away\n")
        assert await fetch(listener.address, "/livez") == (200, "ok\n")
        state["why"] = ""
        assert await fetch(listener.address, "/readyz") == (200, "ok\n")
        assert await fetch(listener.address, "/metrics") == (200, "up 1\n")
        assert (await fetch(listener.address, "/other"))[0] == 404
    finally:
        await listener.stop()


class Hlr(hlr_pb2_grpc.HlrServiceServicer):
    async def GetPreferences(
        self, request: hlr_pb2.GetPreferencesRequest, context: grpc.aio.ServicerContext
    ) -> hlr_pb2.GetPreferencesResponse:
        if not request.provider_uid:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "provider_uid is empty")
        if request.provider_uid == "bug":
            raise ValueError("unexpected")
        return hlr_pb2.GetPreferencesResponse()


async def test_rpc_server_has_health_and_counts_by_method_and_code() -> None:
    registry = CollectorRegistry()
    server = rpc.RpcServer(listen="127.0.0.1:0", registry=registry)
    hlr_pb2_grpc.add_HlrServiceServicer_to_server(Hlr(), server.server)
    await server.start([hlr_pb2.DESCRIPTOR.services_by_name["HlrService"].full_name])
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = hlr_pb2_grpc.HlrServiceStub(channel)
        await stub.GetPreferences(hlr_pb2.GetPreferencesRequest(provider_uid="u"))
        for uid in ("", "bug"):
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.GetPreferences(hlr_pb2.GetPreferencesRequest(provider_uid=uid))
        health = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="smsbridge.api.v1.HlrService")
        )
    await server.stop(grace_seconds=0)
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    counted = {
        sample.labels["code"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "smsbridge_rpc_calls_total" and sample.labels["method"].endswith("GetPreferences")
    }
    assert counted == {"OK": 1, "INVALID_ARGUMENT": 1, "UNKNOWN": 1}


async def test_a_taken_address_is_an_error() -> None:
    first = rpc.RpcServer(listen="127.0.0.1:0", registry=CollectorRegistry())
    await first.start([])
    second = rpc.RpcServer(listen=first.address, registry=CollectorRegistry())
    with pytest.raises(OSError, match="cannot listen"):
        await second.start([])
    await first.stop(grace_seconds=0)
