"""Spans by OpenTelemetry, sent by OTLP over HTTP from a thread of its own. Imported only where wanted."""

import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from smsbridge.runtime import tracing

_EXPORT_SECONDS = 5.0  # of one request to the collector; a stop waits no longer
_KINDS = {
    tracing.Span.DOOR: trace.SpanKind.SERVER,
    tracing.Span.SEND: trace.SpanKind.CLIENT,
    tracing.Span.PORTAL_WRITE: trace.SpanKind.CLIENT,
}


class _Ids(RandomIdGenerator):
    """Random, but for a root, whose ids follow from its message: nobody else asks while that is started."""

    def __init__(self) -> None:
        self.root = ""

    def generate_trace_id(self) -> int:
        return int(self.root, 16) if self.root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return int(tracing.root_of(self.root), 16) if self.root else super().generate_span_id()


class Spans:
    def __init__(self, endpoint: str, *, sample_ratio: float, process: str) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(sample_ratio),  # by the trace id alone: every role decides the same
            resource=Resource.create({"service.name": f"smsbridge-{process}"}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("smsbridge")

    def add(
        self,
        name: tracing.Span,
        trace_id: str,
        *,
        seconds: float,
        attributes: Mapping[str, str | int | float],
    ) -> None:
        ended_ns = time.time_ns()
        is_root = name is tracing.Span.MESSAGE
        self._ids.root = trace_id if is_root else ""
        try:
            span = self._tracer.start_span(
                name.value,
                context=Context() if is_root else _under_root(trace_id),
                kind=_KINDS.get(name, trace.SpanKind.INTERNAL),
                attributes={f"smsbridge.{key}": value for key, value in attributes.items()},
                start_time=ended_ns - max(0, round(seconds * 1e9)),
            )
        finally:
            self._ids.root = ""
        span.end(ended_ns)

    def close(self) -> None:
        self._provider.shutdown()


def _under_root(trace_id: str) -> Context:
    """As a child of the message's root, whichever process has made that one or will."""
    parent = trace.SpanContext(
        int(trace_id, 16), int(tracing.root_of(trace_id), 16), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
