"""The one contract that every model provider meets, and the choice of one for a pinned model."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol, cast

from pydantic import BaseModel

from activities.models.errors import ModelRejected, ModelUnavailable
from contracts.model import ModelReply, ModelRequest

__all__ = ["HEARTBEAT_S", "Heartbeat", "ModelProvider", "Progress", "bounded"]

Heartbeat = Callable[[str], None]
HEARTBEAT_S = 5.0
"""A call in progress says so at least this often, also while the model thinks in silence."""
MAX_CHARACTERS = 4_000_000


class ModelProvider(Protocol):
    """Answers one request. Never retries by itself."""

    async def complete(self, request: ModelRequest, heartbeat: Heartbeat) -> ModelReply:
        """Ask the model.

        Raises:
            ModelUnavailable: may be sent again.
            ModelRejected: useless to send again.
        """
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class Progress:
    """What has been received so far, for the heartbeat's note: a length, never content."""

    def __init__(self) -> None:
        self.characters = 0

    def add(self, text: str) -> None:
        """Count received text.

        Raises:
            ModelRejected: there is more of it than any bound on output tokens allows; the server does not keep to it.
        """
        self.characters += len(text)
        if self.characters > MAX_CHARACTERS:
            raise ModelRejected(f"the answer passed {MAX_CHARACTERS} characters. Check the server's output bound.")

    async def follow(self, stream: AsyncIterable[object], take: Callable[[Mapping[str, object]], str]) -> None:
        """Pass on each event of an SDK's stream as an untrusted JSON object; `take` returns the text that it brought.

        Raises:
            ModelRejected: see `add`.
        """
        async for event in stream:
            # Built without validation: what the server sent decides what it is, not the annotation.
            if isinstance(event, BaseModel):
                self.add(take(cast("Mapping[str, object]", event.model_dump(mode="json", warnings=False))))


@asynccontextmanager
async def bounded(timeout_s: float, heartbeat: Heartbeat) -> AsyncGenerator[Progress]:
    """Bound a call in time and heartbeat while it lasts; cancellation passes through and closes the stream.

    The SDK's own timeout bounds single reads: a server that drips bytes would hold it for ever. This bounds the whole.

    Raises:
        ModelUnavailable: the time is over.
    """
    progress = Progress()
    beating = asyncio.create_task(_beat(progress, heartbeat))
    try:
        async with asyncio.timeout(timeout_s):
            yield progress
    except TimeoutError:
        raise ModelUnavailable(
            f"no complete answer within {timeout_s:g} s ({progress.characters} characters had come)",
            possibly_charged=True,
        ) from None
    finally:
        beating.cancel()


async def _beat(progress: Progress, heartbeat: Heartbeat) -> None:
    start = monotonic()
    while True:
        await asyncio.sleep(HEARTBEAT_S)
        heartbeat(f"{progress.characters} characters after {monotonic() - start:.0f} s")
