"""Heartbeats in the background: a killed worker is noticed in seconds, not after the activity's whole timeout."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

__all__ = ["HEARTBEAT_S", "beating"]

HEARTBEAT_S = 2.0


@asynccontextmanager
async def beating(note: str) -> AsyncGenerator[None]:
    """Heartbeat while the block runs; nothing for a local activity, which has none."""
    if activity.info().is_local:
        yield
        return

    async def beat() -> None:
        while True:
            activity.heartbeat(note)
            await asyncio.sleep(HEARTBEAT_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
