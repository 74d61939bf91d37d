"""Heartbeats in the background: a killed worker is noticed in seconds, not after the activity's whole timeout."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from temporalio import activity

__all__ = ["HEARTBEAT_S", "beating"]

HEARTBEAT_S = 2.0


@asynccontextmanager
async def beating(note: str) -> AsyncGenerator[None]:
    """Heartbeat while the block runs; nothing for a local activity, which has none."""
    if activity.info().is_local:
        yield
        return

    loop = asyncio.get_running_loop()

    def beat() -> None:
        nonlocal timer
        activity.heartbeat(note)
        timer = loop.call_later(HEARTBEAT_S, beat)

    # Not at once: the start is itself a sign of life, and a heartbeat costs the server half as much as an activity.
    timer = loop.call_later(HEARTBEAT_S, beat)
    try:
        yield
    finally:
        timer.cancel()
