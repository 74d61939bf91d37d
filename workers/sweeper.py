"""Looks after what no run looks after: doubts, lapsed leases, runs that ended outside the store, orders, reviews, news.

Any number of workers may sweep: whatever is looked at is claimed first, and every change is compare-and-set.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.after_the_fact import look_back
from activities.close_run import close_run
from activities.engine import Engine
from activities.notify import tell_of_passkeys
from activities.reconcile import reconcile
from contracts.outcome import Outcome, OutcomeReason, RunReport
from contracts.run_activities import CloseRun
from settings import SettingsError
from settings.logs import about
from store.database import StoreDown
from store.doubts import OpenRun, claim_open_runs, lapse_effects
from store.undo import orders_waiting, started
from workers.undo_runs import start_undo

__all__ = ["Sweeper", "Swept"]

BATCH = 50
_GONE_AFTER_S = 600
"""A run of which Temporal knows nothing is given up only at this age: a wrong address must not end what is young."""
_LOG = logging.getLogger(__name__)
_CLOSED: dict[WorkflowExecutionStatus, str] = {
    WorkflowExecutionStatus.TERMINATED: "the workflow was terminated in Temporal",
    WorkflowExecutionStatus.TIMED_OUT: "the workflow timed out in Temporal",
    WorkflowExecutionStatus.FAILED: "the workflow failed",
    WorkflowExecutionStatus.CANCELED: "the workflow was cancelled before it could close",
}


@dataclass
class Swept:
    """What one round found."""

    doubts: int = 0
    lapsed: int = 0
    closed: int = 0
    started: int = 0
    drawn: int = 0
    told: int = 0


class Sweeper:
    """The background task of a worker process."""

    def __init__(
        self,
        engine: Engine,
        client: Client,
        tenants: Callable[[], Sequence[str]],
        *,
        every_s: float = 15.0,
        look_every_s: float = 60.0,
        lapsed_after_s: float = 60.0,
    ) -> None:
        """`tenants` says whose rows there are; `look_every_s`: how often Temporal is asked about one open run."""
        self._engine = engine
        self._client = client
        self._tenants = tenants
        self._every_s = every_s
        self._look_every_s = look_every_s
        self._lapsed_after_s = lapsed_after_s

    async def run(self) -> None:
        """Sweep until cancelled. A database or Temporal that is down is waited for."""
        while True:
            for tenant in self._tenants():
                try:
                    await self.sweep(tenant)
                except (StoreDown, RPCError, ApplicationError, SettingsError, OSError) as error:
                    _LOG.warning("tenant %s is swept later: %s: %s", tenant, type(error).__name__, error)
            await asyncio.sleep(self._every_s)

    async def sweep(self, tenant: str) -> Swept:
        """One round for one tenant."""
        db = self._engine.db
        swept = Swept(lapsed=await lapse_effects(db, tenant, limit=BATCH, after_s=self._lapsed_after_s))
        for run in await claim_open_runs(db, tenant, limit=BATCH, every_s=self._look_every_s):
            with about(tenant=tenant, run=run.run_id):
                swept.closed += await self._look(tenant, run)
        for order in await orders_waiting(db, tenant, after_s=self._look_every_s):
            await start_undo(
                self._client, self._engine.settings.temporal_task_queue, order,
                store_wait_s=self._engine.settings.store_wait_s,
            )  # fmt: skip
            await started(db, tenant, order.run_id)
            swept.started += 1
        swept.doubts = await reconcile(self._engine, tenant)
        swept.told = await tell_of_passkeys(self._engine.notifier, db, tenant)
        swept.drawn = (await look_back(self._engine, tenant)).drawn
        return swept

    async def _look(self, tenant: str, run: OpenRun) -> bool:
        """Close a run that is over in Temporal, if it is. Whether it was."""
        handle = self._client.get_workflow_handle(run.run_id)
        end = await self._end_of(handle, run)
        if end is None:
            return False
        outcome, reason, detail = end
        await close_run(
            self._engine,
            CloseRun(
                tenant=tenant, run_id=run.run_id, definition=run.definition, outcome=outcome, reason=reason,
                detail=detail, last_step=0,
            ),
        )  # fmt: skip
        _LOG.warning("run %s was open in the store and over in Temporal (%s): closed", run.run_id, detail)
        return True

    async def _end_of(
        self, handle: WorkflowHandle[Any, Any], run: OpenRun
    ) -> tuple[Outcome, OutcomeReason, str] | None:
        gone: tuple[Literal[Outcome.FAILED_SAFE], Literal[OutcomeReason.RUN_GONE]] = (
            Outcome.FAILED_SAFE,
            OutcomeReason.RUN_GONE,
        )
        try:
            found = await handle.describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND or "namespace" in str(error).lower():
                raise
            row = await self._engine.db.call("select extract(epoch from now())::bigint as now_s", ())
            return (*gone, "Temporal knows nothing of it") if row["now_s"] - run.opened_s > _GONE_AFTER_S else None
        match found.status:
            case WorkflowExecutionStatus.COMPLETED:
                return await self._reported(handle)
            case status if status is not None and status in _CLOSED:
                return (*gone, _CLOSED[status])
            case _:
                return None

    async def _reported(self, handle: WorkflowHandle[Any, Any]) -> tuple[Outcome, OutcomeReason, str]:
        """The end that a run told Temporal and could not tell the store."""
        try:
            report = RunReport.model_validate(await handle.result())
        except (WorkflowFailureError, ValidationError) as error:
            return Outcome.FAILED_SAFE, OutcomeReason.RUN_GONE, f"its report cannot be read: {type(error).__name__}"
        return report.outcome, report.reason, "closed after the store was back"
