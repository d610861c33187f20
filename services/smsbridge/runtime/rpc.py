"""gRPC servers and channels as every role has them: health, reflection, keepalive, limits, metrics.

smsbridge_rpc_calls_total{method,code}      calls answered
smsbridge_rpc_duration_seconds{method}      how long an answer took

Runs on asyncio's own loop: grpc.aio is slower under uvloop. Which services are served is the role's business.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import BaseModel, ConfigDict, Field

from smsbridge.runtime import addresses, rpc_calls, tracing

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_KEEPALIVE_MS = 20_000
_KEEPALIVE_TIMEOUT_MS = 5_000
_CONNECTION_AGE_MS = 60_000
_CONNECTION_GRACE_MS = 15 * 60_000  # longer than any call: who watches a message is not cut off

_COMMON_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
)
_SERVER_OPTIONS = (
    *_COMMON_OPTIONS,
    ("grpc.so_reuseport", 0),  # two servers on one port would share the calls; a taken port must fail
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.http2.max_ping_strikes", 0),
    # Clients find replicas that came later only when they connect anew.
    ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", _CONNECTION_GRACE_MS),
)

_CHANNEL_OPTIONS = (
    *_COMMON_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # a restarted role is found within a second, not two minutes
    ("grpc.enable_retries", 0),  # what may be repeated is the typed clients' knowledge
)
# A name may stand for many replicas (a headless Service): all are called in turn, and looked up again at once
# when one goes away, where gRPC by itself would take the first and look again after half a minute.
_BALANCED_OPTIONS = (
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)
_NAME_SCHEME = "dns:"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """HOST:PORT of the roles' gRPC servers (or any gRPC name, `dns:///...`)."""

    sender: str
    status: str
    hlr: str


class EndpointSettings(BaseModel):
    """Where the roles' gRPC servers are."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sender: str = Field(
        default="127.0.0.1:7102",
        description="HOST:PORT of the sender; dns:///NAME:PORT calls all replicas behind a name in turn.",
    )
    status: str = Field(default="127.0.0.1:7103", description="The same of the status role.")
    hlr: str = Field(default="127.0.0.1:7104", description="The same of the hlr role.")

    def endpoints(self) -> Endpoints:
        return Endpoints(sender=self.sender, status=self.status, hlr=self.hlr)


def channel(address: str, *, calls: rpc_calls.ClientCalls | None = None) -> grpc.aio.Channel:
    """To HOST:PORT, or to all that a name stands for (`dns:///NAME:PORT`); connects with the first call.

    Plain text: roles meet on loopback or inside a cluster. `calls` counts what is called through it.
    """
    balanced = _BALANCED_OPTIONS if address.startswith(_NAME_SCHEME) else ()
    return grpc.aio.insecure_channel(
        address,
        options=(*_CHANNEL_OPTIONS, *balanced),
        interceptors=None if calls is None else [calls],  # type: ignore[list-item]  # partial stub
    )


class RpcServer:
    """Add the role's servicers to `server`, then start it with the full names of their services."""

    def __init__(self, *, listen: str, registry: CollectorRegistry) -> None:
        self._listen = listen
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._port = 0
        self._names: tuple[str, ...] = ()
        self.server = grpc.aio.server(interceptors=[CallMetrics(registry)], options=_SERVER_OPTIONS)

    @property
    def address(self) -> str:
        host, _ = addresses.split(self._listen)
        return addresses.join(host, self._port)

    async def start(self, service_names: Sequence[str]) -> None:
        """Raises OSError where the address is taken."""
        self._names = ("", *service_names)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        reflection.enable_server_reflection(
            (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME), self.server
        )
        host, port = addresses.split(self._listen)
        try:
            self._port = self.server.add_insecure_port(addresses.join(host, port))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._listen}") from error
        await self.server.start()
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """No new calls; those in hand are finished within the grace time."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self.server.stop(grace_seconds)

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in self._names:
            await self._health.set(name, status)


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # quoted: generic in its stubs only
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class CallMetrics(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Counts calls by method and code, and how long the answer took; each is done within its trace."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "smsbridge_rpc_calls",
            "gRPC calls answered, by method and code.",
            ["method", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "smsbridge_rpc_duration_seconds", "Time to answer a gRPC call.", ["method"], registry=registry
        )

    async def intercept_service(self, continuation: Continuation, details: grpc.HandlerCallDetails) -> Any:
        handler: Handler | None = await continuation(details)
        if handler is None:  # gRPC answers UNIMPLEMENTED by itself; the name is a stranger's, so no label
            return None
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(details.method, handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(details.method, handler.unary_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler

    def _unary(self, method: str, behaviour: Any) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.monotonic()
            failed = True
            try:
                with tracing.within(tracing.from_metadata(context.invocation_metadata())):
                    answer = await behaviour(request, context)
                failed = False
                return answer
            finally:
                self._record(method, context, started=started, failed=failed)

        return call

    def _stream(self, method: str, behaviour: Any) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            started = time.monotonic()
            failed = True
            try:
                async for answer in behaviour(request, context):
                    yield answer
                failed = False
            finally:
                self._record(method, context, started=started, failed=failed)

        return call

    def _record(self, method: str, context: Any, *, started: float, failed: bool) -> None:
        self._calls.labels(method=method, code=_code_name(context.code(), failed=failed)).inc()
        self._seconds.labels(method=method).observe(time.monotonic() - started)


_BY_NUMBER = {code.value[0]: code.name for code in grpc.StatusCode}


def _code_name(code: object, *, failed: bool) -> str:
    """gRPC gives a code, its number, or nothing at all where the servicer set none."""
    number = code if isinstance(code, int) else 0
    name = code.name if isinstance(code, grpc.StatusCode) else _BY_NUMBER.get(number, "UNKNOWN")
    return "UNKNOWN" if failed and name == "OK" else name
