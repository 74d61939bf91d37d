"""A worker's traces and Temporal's own metrics, for an OpenTelemetry collector. No bill, gate or audit reads them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from temporalio.runtime import OpenTelemetryConfig, Runtime, TelemetryConfig

from activities.spans import PLANNED
from settings.otlp import trace_provider

__all__ = ["telemetry"]

_METRICS_EVERY = timedelta(seconds=5)


class _Ids(RandomIdGenerator):
    """Random ids, but for the span that a run's others lie in."""

    def generate_trace_id(self) -> int:
        planned = PLANNED.get()
        return planned.trace_id if planned else super().generate_trace_id()

    def generate_span_id(self) -> int:
        planned = PLANNED.get()
        return planned.span_id if planned else super().generate_span_id()


@asynccontextmanager
async def telemetry(endpoint: str, service: str) -> AsyncGenerator[Runtime]:
    """Tell the collector at `endpoint` (OTLP over HTTP) until the end, when what waits is sent.

    Yields what a Temporal client takes, so that its metrics go there too. A collector that does not answer costs what
    it should have been told, and nothing else. Headers, sampling, queue sizes: OpenTelemetry's variables (`OTEL_…`).
    """
    provider = trace_provider(endpoint, service, _Ids())
    trace.set_tracer_provider(provider)
    metrics = OpenTelemetryConfig(
        url=f"{endpoint.rstrip('/')}/v1/metrics",
        http=True,
        durations_as_seconds=True,
        metric_periodicity=_METRICS_EVERY,
    )
    try:
        yield Runtime(telemetry=TelemetryConfig(metrics=metrics, global_tags={"service_name": service}))
    finally:
        await asyncio.to_thread(provider.shutdown)
