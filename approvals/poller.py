"""A background task of the approvals process that works off what is due, batch by batch, until it is stopped."""

import asyncio
import logging
from abc import ABC, abstractmethod

from store.database import StoreDown

__all__ = ["Poller"]

_LOG = logging.getLogger("approvals")


class Poller(ABC):
    """Several processes may run one side by side: each claims what it works off."""

    what: str
    """What waits while it cannot work, for the log: such as `votes`."""
    batch: int
    """As many as one round takes: after a full round it looks again at once."""

    def __init__(self, poll_s: float) -> None:
        """Look every `poll_s`."""
        self._poll_s = poll_s
        self._stopping = asyncio.Event()

    @abstractmethod
    async def round(self) -> int:
        """Work off what is due; how much there was."""

    async def run(self) -> None:
        """Until `stop`. A database that is down is waited for."""
        while not self._stopping.is_set():
            done = 0
            try:
                done = await self.round()
            except StoreDown as error:
                _LOG.warning("%s wait for the database: %s", self.what, error)
            except Exception:  # noqa: BLE001 - a task that ended would leave them waiting with nobody to see it
                _LOG.exception("%s wait: the dispatcher met a fault and goes on", self.what)
            if done < self.batch:
                await self._pause()

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._stopping.wait()
        except TimeoutError:
            return
