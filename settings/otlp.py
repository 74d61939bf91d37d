"""The way to an OpenTelemetry collector. Loaded where one is named, and nowhere else."""

from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from settings.spans import Told

__all__ = ["sink_of", "trace_provider"]


def trace_provider(endpoint: str, service: str, ids: IdGenerator | None = None) -> TracerProvider:
    """Sends spans to the collector at `endpoint` until it is shut down.

    A collector that does not answer costs what it should have been told, and nothing else. Headers, sampling, queue
    sizes: OpenTelemetry's variables (`OTEL_…`).
    """
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), id_generator=ids, shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def sink_of(provider: TracerProvider) -> Callable[[Told], None]:
    """Makes a span of what it is told, in the trace of the run, with a link to the caller's own trace."""
    tracer = provider.get_tracer("countersign")

    def sink(told: Told) -> None:
        trace_id, span_id = told.run
        sampled = TraceFlags(TraceFlags.SAMPLED)
        run = NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=sampled))
        span = tracer.start_span(
            told.name,
            trace.set_span_in_context(run, Context()),
            SpanKind.SERVER,
            told.attributes,
            _links_to(told.caller),
            start_time=told.began_ns,
        )
        span.end(max(told.ended_ns, told.began_ns))

    return sink


def _links_to(caller: str) -> list[Link]:
    asked = TraceContextTextMapPropagator().extract({"traceparent": caller}, Context())
    found = trace.get_current_span(asked).get_span_context()
    return [Link(found)] if found.is_valid else []
