"""An OpenTelemetry collector: takes spans by OTLP over HTTP and keeps them."""

import contextlib
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2


@dataclass(frozen=True, slots=True)
class Seen:
    """One span. `parent` is empty for a root; attributes without their common beginning."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, str | int | float]
    seconds: float


@dataclass(slots=True)
class Collector:
    endpoint: str = ""
    spans: list[Seen] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Seen]:
        return [one for one in self.spans if one.trace_id == trace_id]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        sent = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        for one in sent.resource_spans:
            service = next(str(_value(a.value)) for a in one.resource.attributes if a.key == "service.name")
            for scope in one.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Seen(
                            service=service,
                            name=span.name,
                            trace_id=span.trace_id.hex(),
                            span_id=span.span_id.hex(),
                            parent=span.parent_span_id.hex(),
                            attributes={
                                a.key.removeprefix("smsbridge."): _value(a.value) for a in span.attributes
                            },
                            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        )
                    )
        answer = trace_service_pb2.ExportTraceServiceResponse()
        return web.Response(body=answer.SerializeToString(), content_type="application/x-protobuf")


def _value(value: common_pb2.AnyValue) -> str | int | float:
    found = getattr(value, value.WhichOneof("value") or "string_value")
    assert isinstance(found, str | int | float)
    return found


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Collector]:
    found = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
        yield found
    finally:
        await runner.cleanup()
