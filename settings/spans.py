"""What form and intake tell OpenTelemetry of a run: one span each for what is done for it. Never content or people.

Nothing is loaded and nothing happens unless a collector is named. Workers tell theirs in `activities.spans`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Told", "tell", "telling_to"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A piece of work that is done."""

    name: str
    run: tuple[int, int]
    """Ids of the run's trace, and of the span in it that all others lie in."""
    began_ns: int
    """Unix time, as the next."""
    ended_ns: int
    attributes: Mapping[str, str | int]
    caller: str
    """`traceparent` of whoever asked for it (W3C Trace Context), as it came; empty: none."""


_sinks: list[Callable[[Told], None]] = []


def tell(name: str, run: tuple[int, int], began_ns: int, attributes: Mapping[str, str | int], caller: str = "") -> None:
    """Something that began at `began_ns` has just been done for a run."""
    for sink in _sinks:
        sink(
            Told(
                name=name, run=run, began_ns=began_ns, ended_ns=time.time_ns(), attributes=attributes, caller=caller
            )
        )  # fmt: skip


@asynccontextmanager
async def telling_to(endpoint: str | None, service: str) -> AsyncGenerator[None]:
    """Tell the collector at `endpoint` (OTLP over HTTP) until the end, when what waits is sent; None: tell nobody."""
    if endpoint is None:
        yield
        return
    from settings.otlp import sink_of, trace_provider  # noqa: PLC0415 - takes long, and few processes need it

    provider = trace_provider(endpoint, service)
    sink = sink_of(provider)
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)
        await asyncio.to_thread(provider.shutdown)
