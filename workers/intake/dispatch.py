"""The dispatcher: takes stored events from the inbox and starts their runs, whatever is down in between.

claim (a lease on the row) -> start the workflow (deterministic id) -> mark as started. A crash after any of them leaves
the row to the next claim, and starting again finds the run that exists. So each accepted event has exactly one run.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from settings.errors import SettingsError
from settings.logs import begin
from store.database import Database, StoreDown
from store.inbox import WaitingRow, claim, mark_started, postpone, quarantine
from workers.intake.start_run import START_TIMEOUT_S, Engine, Hopeless, NotNow, Started, start_run

__all__ = ["LEASE_S", "Dispatcher", "backoff_s"]

LEASE_S = 3 * START_TIMEOUT_S
"""How long a claimed row is left to its dispatcher: longer than the start of its run can take."""
_BATCH = 20
_POLL_S = 1.0
_FAULT_PAUSE_S = 2.0
_FIRST_DELAY_S = 0.25
_MAX_DELAY_S = 15.0
_LOG = logging.getLogger(__name__)


def backoff_s(attempts: int, chance: float) -> float:
    """Seconds until a row is tried again: doubling from a quarter of a second to 15, between half and all of it.

    Args:
        attempts: tries so far, at least 1.
        chance: uniform in [0, 1); spreads rows that failed together.
    """
    ceiling = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2 ** min(attempts - 1, 16))
    return ceiling * (0.5 + chance / 2)


@dataclass
class Dispatcher:
    """Starts the runs of stored events until it is stopped. Any number of processes may run one."""

    waiting: Database
    """As the dispatch role: sees every tenant's rows that wait."""
    store: Database
    """As the application role: quarantines, with an alarm."""
    connect: Callable[[], Awaitable[Engine]]
    """Connects to Temporal; raises SettingsError when it does not answer."""
    prepare: Callable[[], Awaitable[object]] | None = None
    """Must have succeeded once before any run is started; tried again while the store is down."""
    trouble: str = field(default="", init=False)
    """What keeps runs from being started; empty when nothing does."""
    _engine: Engine | None = field(default=None, init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def wake(self) -> None:
        """Look for rows at once instead of at the next poll."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; a batch under way is finished first."""
        while not stop.is_set():
            self._woken.clear()
            try:
                if self.prepare is not None:
                    await self.prepare()
                    self.prepare = None
                claimed = await self.deliver_due()
            except StoreDown as error:
                self._note(f"the store is down: {error}")
                await self._pause(stop, _FAULT_PAUSE_S)
            except Exception:  # noqa: BLE001 - a task that ended would leave events waiting with nobody to see it
                _LOG.exception("the dispatcher met a fault and goes on")
                await self._pause(stop, _FAULT_PAUSE_S)
            else:
                if claimed < _BATCH:
                    await self._pause(stop, _POLL_S)

    async def deliver_due(self) -> int:
        """Claim one batch and start its runs. Returns how many rows were claimed."""
        rows = await claim(self.waiting, most=_BATCH, lease_s=LEASE_S)
        ends = await asyncio.gather(*(self.deliver(row) for row in rows), return_exceptions=True)
        faults = [end for end in ends if isinstance(end, BaseException)]
        if faults:
            # Raised only now: every other row of the batch has been dealt with.
            raise faults[0]
        return len(rows)

    async def deliver(self, row: WaitingRow) -> None:
        """Start the run of one claimed row and record what became of it."""
        begin(tenant=row.tenant, run=row.run_id, endpoint=row.endpoint)
        engine = await self._connected()
        outcome = NotNow(engine) if isinstance(engine, str) else await start_run(engine, row)
        match outcome:
            case Started():
                self._note("")
                await mark_started(self.waiting, row)
            case NotNow(error=error):
                self._note(error)
                delay_s = backoff_s(row.attempts, random.random())  # noqa: S311 - spreads load, protects nothing
                await postpone(self.waiting, row, delay_s=delay_s, error=error)
            case Hopeless(error=error):
                _LOG.error("quarantined: %s", error)
                await quarantine(self.store, row, error=error)

    async def _connected(self) -> Engine | str:
        """The engine, or why there is none. The client reconnects by itself once it has been connected."""
        if self._engine is None:
            try:
                self._engine = await self.connect()
            except SettingsError as error:
                return str(error)
        return self._engine

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _LOG.warning("runs are not started for now: %s", trouble)
        if not trouble and self.trouble:
            _LOG.info("runs are started again")
        self.trouble = trouble

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        """Wait for a wake-up, the stop, or the time."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._woken, stop)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
