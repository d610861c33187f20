"""Counts the gRPC calls that a role makes, by method and code, how long they took, and tells their trace.

smsbridge_rpc_client_calls_total{method,code}     calls made
smsbridge_rpc_client_duration_seconds{method}     until a call was answered, or given up
"""

import time
from typing import Any

import grpc
import grpc.aio
from prometheus_client import CollectorRegistry, Counter, Histogram

from smsbridge.runtime import tracing


class ClientCalls(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """One for all channels of a role."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "smsbridge_rpc_client_calls",
            "gRPC calls made, by method and code.",
            ["method", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "smsbridge_rpc_client_duration_seconds",
            "Time until a gRPC call was answered, or given up.",
            ["method"],
            registry=registry,
        )

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        started = time.monotonic()
        if trace := tracing.metadata():
            details = details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *trace))
        call = await continuation(details, request)
        code: grpc.StatusCode = await call.code()  # waits for the answer; an error is the caller's to see
        method = details.method
        name = method.decode() if isinstance(method, bytes) else method
        self._calls.labels(name, code.name).inc()
        self._seconds.labels(name).observe(time.monotonic() - started)
        return call
