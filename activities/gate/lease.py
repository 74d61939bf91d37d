"""The right to send a write: short, renewed while its holder lives, so that a crash is cleared up within seconds."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

from activities.credentials import CREDENTIAL_LIFETIME_S
from store.database import Database, StoreDown
from store.effects import Start, renew_lease, start_effect
from store.journal import CallKey

__all__ = ["LEASE_S", "Lease", "keeping", "start"]

LEASE_S = 12.0
"""How long a silent holder keeps the right, in seconds: a little more than the heartbeat timeout of the activity."""
_RENEW_EVERY_S = 4.0
_CREDENTIAL_S = LEASE_S + CREDENTIAL_LIFETIME_S


class Lease:
    """A started effect. The fence in the store decides who holds it; this says only when its holder must stop."""

    def __init__(self, db: Database, key: CallKey, fence: int, asked_at_s: float, began: Start) -> None:
        self._db = db
        self._key = key
        self._fence = fence
        self._until_s = asked_at_s + LEASE_S
        self.epoch = began.epoch
        """Revocation epoch of its credentials. A renewal does not raise it: who was revoked meanwhile sends no more."""
        self.not_after_s = began.not_after_s
        """When its credentials must end (Unix seconds): a holder that slept through its lease cannot send any more."""

    @property
    def held(self) -> bool:
        """Whether it may still send, by its own clock, counted from before the store was asked."""
        return time.monotonic() < self._until_s

    async def renew(self) -> bool:
        """Ask for more time. False: somebody else has the effect now."""
        asked_at_s = time.monotonic()
        not_after_s = await renew_lease(self._db, self._key, self._fence, lease_s=LEASE_S, credential_s=_CREDENTIAL_S)
        if not_after_s is None:
            self._until_s = 0.0
            return False
        self._until_s = asked_at_s + LEASE_S
        self.not_after_s = not_after_s
        return True


async def start(db: Database, key: CallKey, fence: int, *, agent: str, tool: str) -> Lease | Start:
    """From prepared to in_flight: a lease, or why there is none."""
    asked_at_s = time.monotonic()
    began = await start_effect(db, key, fence, agent=agent, tool=tool, lease_s=LEASE_S, credential_s=_CREDENTIAL_S)
    return Lease(db, key, fence, asked_at_s, began) if began.kind == "started" else began


@asynccontextmanager
async def keeping(lease: Lease) -> AsyncGenerator[None]:
    """Renew a lease while the block runs. A store that is down renews nothing: then it lapses, and says so."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY_S)
            try:
                if not await lease.renew():
                    return
            except StoreDown as error:
                activity.logger.warning("a lease was not renewed: %s", error)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
