"""The only loop: pin the agent, call the model, put every call through the gate, ask people, close.

Read `AgentRun._work` first. Everything outside (model, tools, store) is an activity; everything that branches branches
on the control part of their recorded results.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import FailureError, is_cancelled_exception

from contracts.command import CommandAnswer, SignedCommand
from contracts.event import Carried, RunRequest
from contracts.outcome import Outcome, OutcomeReason, RunReport, RunTotals
from contracts.run_activities import CLOSE_RUN, PIN_AGENT, CloseRun, Pinned
from contracts.snapshot import RunSnapshot
from contracts.turn import CallModel, Halted, LimitMet, TurnHead
from contracts.vote import SignedVote, VoteAnswer
from workflows import stubs
from workflows.ballot import Ballot
from workflows.calls import Calls
from workflows.endings import End, end_of_fault, end_of_limit, is_model_fault, report_without_store
from workflows.halts import Halts
from workflows.overruns import Overruns

__all__ = ["AgentRun"]

_OUTCOME = SearchAttributeKey.for_keyword("RunOutcome")
_FIRST_MODEL_WAIT_S = 60
_LONGEST_MODEL_WAIT_S = 3_600
_AHEAD = 4
"""How many steps the activity of another may take with it: a pause or the run's end is not much later for it."""


@workflow.defn(name="AgentRun")
class AgentRun:
    """One durable execution of an agent on one event."""

    @workflow.init
    def __init__(self, request: RunRequest) -> None:
        carried = request.carried
        self._request = request
        self._ballot = Ballot(request.tenant, request.run_id, carried)
        self._calls: Calls | None = None
        self._overruns: Overruns | None = None
        self._halts = Halts(request)
        self._phase = "opening"
        self._step = carried.step if carried else 0
        self._malformed = carried.malformed if carried else 0
        self._waited_before_s = carried.waited_s if carried else 0.0
        self._totals = RunTotals()
        self._taken: list[TurnHead] = []
        """Turns of the next steps, already taken by the activity of an earlier one."""

    @workflow.run
    async def run(self, request: RunRequest) -> RunReport:
        """Work until there is an outcome. Never raises for a fault of model, tool, store or person."""
        pinning = asyncio.ensure_future(stubs.short(PIN_AGENT, request, activity_id="pin", wait_s=request.store_wait_s))
        end = None
        try:
            try:
                await asyncio.shield(pinning)
            except asyncio.CancelledError:
                # Its record is opened all the same, to be closed: an auditor finds that it did nothing.
                end = End(Outcome.CANCELLED, OutcomeReason.REQUESTED)
            pinned = await pinning
        except FailureError as error:
            return self._ended(report_without_store(request.run_id, end or end_of_fault(error), "", self._totals, ()))
        self._ballot.admit(pinned.agent.vote_keys, pinned.interested)
        self._halts.admit(pinned)
        self._overruns = overruns = Overruns(request, pinned, self._ballot, self._enter)
        self._calls = calls = Calls(request, pinned, self._ballot, overruns, self._halts, self._enter)
        end = end or await self._until_end(pinned, calls, overruns)
        return self._ended(await self._close(pinned, end))

    async def _until_end(self, pinned: Pinned, calls: Calls, overruns: Overruns) -> End:
        """The work, within the run's age, whatever happens in it."""
        age_left_s = pinned.opened_at + pinned.agent.limits.age_s - workflow.now().timestamp()
        age = asyncio.timeout(max(age_left_s, 0.001))
        try:
            async with age:
                working = asyncio.ensure_future(self._work(pinned, calls, overruns))
                self._halts.stop_with(working.cancel)
                return self._halts.end or await working
        except TimeoutError:
            return end_of_limit("age_s", pinned.agent.limits.on_exceeded)
        except (asyncio.CancelledError, FailureError) as error:
            if age.expired():  # an activity that is cancelled by the timeout says "cancelled", not "timeout"
                return end_of_limit("age_s", pinned.agent.limits.on_exceeded)
            if is_cancelled_exception(error):
                return self._halts.end or End(Outcome.CANCELLED, OutcomeReason.REQUESTED)
            if isinstance(error, FailureError):
                return end_of_fault(error)
            raise

    async def _work(self, pinned: Pinned, calls: Calls, overruns: Overruns) -> End:
        """The loop: one turn of the model, then its calls, until something ends the run."""
        while True:
            end = await self._between_steps(pinned, overruns)
            if end is not None:
                return end
            self._step += 1
            turn = await self._turn(pinned, overruns)
            if isinstance(turn, End):
                return turn
            match turn.control.kind:
                case "finish" if turn.control.result == "done":
                    return End(Outcome.COMPLETED, OutcomeReason.DONE)
                case "finish":
                    return End(Outcome.ESCALATED, OutcomeReason.HANDED_OVER)
                case "malformed":
                    self._malformed += 1
                    if turn.control.problem == "refusal":
                        return End(Outcome.ESCALATED, OutcomeReason.REFUSED_BY_MODEL)
                    if self._malformed > pinned.agent.limits.malformed:
                        return End(Outcome.ESCALATED, OutcomeReason.MALFORMED_OUTPUT, turn.control.problem)
                case "calls":
                    self._malformed = 0
                    end = await calls.perform(self._step, turn.control.calls, turn.visits)
                    end = end or await overruns.circled(self._step, calls.seen)
                    if end is not None:
                        return end
                case "limit_reached" | "halted":
                    pass  # `_turn` has dealt with it

    async def _between_steps(self, pinned: Pinned, overruns: Overruns) -> End | None:
        """What is looked at before a step: whether anything holds the run, Temporal's limits, the run's time."""
        step = self._step
        self._halts.restart = lambda: self._continue_as_new(step)
        await self._halts.clear(step)
        if workflow.info().is_continue_as_new_suggested():
            self._continue_as_new(step)
        # A run that is paused within a step does that step over, from its journal.
        return await overruns.in_time(step, self._active_s(pinned))

    async def _turn(self, pinned: Pinned, overruns: Overruns) -> TurnHead | End:
        """The step's turn of the model; again, where it met a limit and there is more of it, or was halted."""
        attempt = 0
        while True:
            turn = await self._think(pinned, attempt)
            match turn:
                case TurnHead(control=LimitMet(limit=limit)):
                    end = await overruns.met(self._step, limit)
                case TurnHead(control=Halted(by=by)):
                    end = await self._halts.halted(self._step, "", by)
                case _:
                    return turn
            if end is not None:
                return end
            attempt += 1

    async def _think(self, pinned: Pinned, attempt: int) -> TurnHead | End:
        """One model call; when none can be had, what the agent declares for that: hand over, or wait."""
        wait_s = _FIRST_MODEL_WAIT_S
        choice = pinned.agent.models["plan"]
        while True:
            self._enter("thinking")
            if self._taken:
                return self._counted(self._taken.pop(0))
            try:
                turn = await stubs.call_model(
                    CallModel(
                        tenant=self._request.tenant,
                        run_id=self._request.run_id,
                        definition=pinned.definition,
                        step=self._step,
                        ahead=0 if self._overruns and self._overruns.stalled else _AHEAD,
                    ),
                    attempt=attempt,
                    timeout_s=choice.timeout_s,
                    wait_s=max(self._request.model_wait_s, self._request.store_wait_s),
                )
            except FailureError as error:
                if not (is_model_fault(error) and pinned.agent.fallback == "wait"):
                    raise
                await workflow.sleep(timedelta(seconds=wait_s))
                await self._halts.clear(self._step)
                wait_s, attempt = min(wait_s * 2, _LONGEST_MODEL_WAIT_S), attempt + 1
                continue
            self._taken = list(turn.then)
            return self._counted(turn)

    def _counted(self, turn: TurnHead) -> TurnHead:
        self._totals = self._totals.model_copy(
            update={
                "steps": self._step,
                "model_calls": self._totals.model_calls + 1,
                "tokens": self._totals.tokens + turn.tokens,
                "micros": self._totals.micros + turn.micros,
            }
        )
        return turn

    async def _close(self, pinned: Pinned, end: End) -> RunReport:
        self._phase = "closing"
        self._halts.close()
        closing = asyncio.ensure_future(self._report(pinned, end))
        # Who cancels it now comes too late: it has an end, which is written down all the same.
        with suppress(asyncio.CancelledError):
            await asyncio.shield(closing)
        report = await closing
        await workflow.wait_condition(workflow.all_handlers_finished)
        self._phase = "closed"
        return report

    async def _report(self, pinned: Pinned, end: End) -> RunReport:
        """Write the end down; where that cannot be done, all that is known goes into the workflow's result."""
        request = CloseRun(
            tenant=self._request.tenant,
            run_id=self._request.run_id,
            definition=pinned.definition,
            outcome=end.outcome,
            reason=end.reason,
            detail=end.detail,
            last_step=self._step,
        )
        steps = self._calls.lines if self._calls else ()
        try:
            await self._halts.note_end(self._step)
            if end.reason is OutcomeReason.STORE_DOWN:
                return report_without_store(request.run_id, end, pinned.goal, self._totals, steps)
            return await stubs.short(
                CLOSE_RUN, request, activity_id="close", wait_s=self._request.store_wait_s, summary=end.outcome.value
            )
        except FailureError as error:
            fault = end_of_fault(error)
            return report_without_store(request.run_id, fault, pinned.goal, self._totals, steps)

    def _ended(self, report: RunReport) -> RunReport:
        """Make the outcome searchable in Temporal too."""
        workflow.upsert_search_attributes(  # pyright: ignore[reportUnknownMemberType] - the SDK's own signature
            [_OUTCOME.value_set(report.outcome.value)]
        )
        return report

    def _continue_as_new(self, step: int) -> None:
        """Go on in another execution before Temporal's limits, after that step. Nothing is open but old answers."""
        carried = Carried(
            step=step,
            malformed=self._malformed,
            waited_s=self._waited_s,
            decisions=self._ballot.decisions,
            refused_votes=self._ballot.refused,
        )
        carried = self._halts.carry(self._overruns.carry(carried) if self._overruns else carried)
        workflow.continue_as_new(self._request.model_copy(update={"carried": carried}))

    @property
    def _waited_s(self) -> float:
        """Time spent waiting for people and paused, in seconds."""
        waits = (self._calls.waited_s if self._calls else 0, self._overruns.waited_s if self._overruns else 0)
        return self._waited_before_s + self._halts.waited_s + sum(waits)

    def _active_s(self, pinned: Pinned) -> float:
        """Wall time so far without the waiting for people and the pauses, in seconds."""
        return workflow.now().timestamp() - pinned.opened_at - self._waited_s

    def _enter(self, phase: str) -> None:
        self._phase = phase

    @workflow.signal
    def vote(self, signed: SignedVote) -> None:
        """A vote from the approvals service, or from anybody: only its signature and the open requests decide."""
        self._ballot.receive(signed, workflow.now().timestamp())

    @workflow.query
    def vote_answer(self, decision_id: str) -> VoteAnswer:
        """What became of a vote."""
        return self._ballot.answer(decision_id)

    @workflow.signal
    def command(self, signed: SignedCommand) -> None:
        """An operator's command from the approvals service, or from anybody: the run looks at its signature."""
        self._halts.receive(signed, workflow.now().timestamp())

    @workflow.query
    def command_answer(self, command_id: str) -> CommandAnswer:
        """What became of a command."""
        return self._halts.answer(command_id)

    @workflow.query
    def snapshot(self) -> RunSnapshot:
        """What the run is doing."""
        return RunSnapshot.model_validate(
            {
                "phase": "paused" if self._halts.pause and self._phase != "closed" else self._phase,
                "step": self._step,
                "open_requests": self._ballot.open_requests,
                "votes_counted": self._ballot.votes_counted,
                "refused_votes": self._ballot.refused,
                "refusals": tuple(self._ballot.refusals),
                "pause": self._halts.pause,
                "refused_commands": self._halts.refused,
                "command_refusals": tuple(self._halts.refusals),
            }
        )
