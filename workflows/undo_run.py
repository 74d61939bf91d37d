"""Undoing another run: the same loop, gate, approvals and limits; a plan from the ledger in place of a model."""

from temporalio import workflow

from contracts.event import RunRequest
from contracts.outcome import RunReport
from contracts.run_activities import Pinned
from contracts.turn import CallModel, TurnHead
from contracts.undo import PROPOSE_UNDO
from workflows import stubs
from workflows.agent_run import AgentRun
from workflows.endings import End

__all__ = ["UndoRun"]

_PLAN_TIMEOUT_S = 30


@workflow.defn(name="UndoRun")
class UndoRun(AgentRun):
    """One durable execution of an undo plan. Each step proposes one compensation, the newest write's first.

    A compensation that is denied or refused ends nothing: the next is proposed, and the run says at its end what was
    taken back and what was not. A doubt, a switch or a limit is treated as in any run.
    """

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        super().__init__(request)

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        """Work until there is an outcome, as `AgentRun` does."""
        return await super().run(request)

    async def _think(self, pinned: Pinned, attempt: int) -> TurnHead | End:
        """The next line of the plan, written down as the step's proposal."""
        self._enter("thinking")
        turn = await stubs.regular(
            PROPOSE_UNDO,
            CallModel(
                tenant=self._request.tenant,
                run_id=self._request.run_id,
                definition=pinned.definition,
                step=self._step,
            ),
            activity_id=f"s{self._step}-plan" + (f"-{attempt}" if attempt else ""),
            timeout_s=_PLAN_TIMEOUT_S,
            wait_s=self._request.store_wait_s,
            summary=f"step {self._step}: next line of the plan",
        )
        self._totals = self._totals.model_copy(update={"steps": self._step})
        return turn
