"""A run that meets a limit or goes in circles: what its agent declares for that, carried out."""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import FailureError

from contracts.agent import OnExceeded
from contracts.event import Carried, RunRequest
from contracts.limits import NOTE_RUN, OPEN_RAISE, SETTLE_RAISE, NoteRun, OpenRaise, SettleRaise
from contracts.outcome import Outcome, OutcomeReason
from contracts.run_activities import ApprovalOpened, ApprovalState, Pinned
from policy.limits import ceilings, draft_changes
from policy.loops import CallSeen, LoopWatch
from workflows import stubs
from workflows.asking import People
from workflows.ballot import Ballot
from workflows.endings import End, end_of_limit

__all__ = ["Overruns"]

_DAYS = ("agent_day.", "tenant_day.", "tool_day.", "tree.")


class Overruns:
    """Limits and circles of one run."""

    def __init__(self, request: RunRequest, pinned: Pinned, ballot: Ballot, enter: Callable[[str], None]) -> None:
        carried = request.carried
        self._request = request
        self._pinned = pinned
        self._limits = pinned.agent.limits
        self._ballot = ballot
        self._people = People(request, ballot)
        self._enter = enter
        self._lock = asyncio.Lock()
        self._ordinal = carried.notes if carried else 0
        self._drafting = carried.drafting if carried else False
        self._more_active_s = carried.more_active_s if carried else 0
        loops = self._limits.loops
        self._watch = LoopWatch(loops, carried.loops if carried else None) if loops else None
        self.changes = carried.notes if carried else 0
        """Rises when the limits changed: whoever met one before tries again first."""
        self.waited_s = 0.0
        """Time spent waiting for people, in seconds."""

    @property
    def stalled(self) -> bool:
        """Whether the newest step told nothing new: one more like it may close a circle."""
        return self._watch is not None and self._watch.stalled

    def carry(self, carried: Carried) -> Carried:
        """What another execution of the run must know."""
        return carried.model_copy(
            update={
                "notes": self._ordinal,
                "drafting": self._drafting,
                "more_active_s": self._more_active_s,
                "loops": self._watch.state if self._watch else None,
            }
        )

    async def in_time(self, step: int, active_s: float) -> End | None:
        """An end when the run has worked longer than it may. `active_s` does not hold the waiting for people."""
        late = active_s > ceilings(self._limits).active_s + self._more_active_s
        return await self.met(step, "active_s") if late else None

    async def met(self, step: int, limit: str, *, seen: int | None = None) -> End | None:
        """A limit was met: an end, or None when there is more of it now and the run may try again.

        `seen` is the value of `changes` when the limit was asked for: it may have changed meanwhile.
        """
        async with self._lock:
            if seen is not None and seen != self.changes:
                return None
            match self._limits.on_exceeded:
                case OnExceeded.DRAFT_ONLY if not self._drafting and not limit.startswith(_DAYS):
                    self._drafting = True
                    self._more_active_s += draft_changes(self._limits)["active_s"]
                    await self._note(step, "drafts_only", limit)
                    self.changes += 1
                    return None
                case OnExceeded.ASK:
                    return await self._ask(step, limit)
                case _:
                    return end_of_limit(limit, self._limits.on_exceeded)

    async def circled(self, step: int, calls: list[CallSeen]) -> End | None:
        """Take a step's calls; an end when the run goes in circles though the model was told."""
        verdict = self._watch.step(calls) if self._watch else None
        if verdict is None:
            return None
        if not verdict.warn:
            return End(Outcome.ESCALATED, OutcomeReason.LOOP, f"{verdict.kind}: {verdict.detail}")
        await self._note(step, "loop_warning", verdict.detail)
        return None

    async def _note(self, step: int, kind: str, detail: str) -> None:
        self._ordinal += 1
        await stubs.short(
            NOTE_RUN,
            NoteRun.model_validate({**self._of_run(step), "kind": kind, "detail": detail}),
            activity_id=f"s{step}-note{self._ordinal}",
            wait_s=self._request.store_wait_s,
            summary=f"step {step}: {kind.replace('_', ' ')}",
        )

    async def _ask(self, step: int, limit: str) -> End | None:
        """Ask people for a raise, and wait."""
        self._ordinal += 1
        opened, refusal = await self._open(step, limit)
        if opened is None:
            end = end_of_limit(limit, self._limits.on_exceeded)
            return End(end.outcome, end.reason, f"{end.detail}: {refusal}"[:500])
        began = workflow.now()
        self._enter("waiting_for_people")
        decided = await self._people.decide(opened)
        self.waited_s += (workflow.now() - began).total_seconds()
        end = await self._settle(step, limit, opened, decided)
        if decided == "expired":
            await self._people.tell_expired(opened)
        return end

    async def _open(self, step: int, limit: str) -> tuple[ApprovalOpened | None, str]:
        self._ballot.expect()
        try:
            found = await stubs.regular(
                OPEN_RAISE,
                OpenRaise.model_validate({**self._of_run(step), "limit": limit}),
                activity_id=f"s{step}-raise{self._ordinal}",
                timeout_s=60,
                wait_s=self._request.store_wait_s,
                summary=f"step {step}: ask for more {limit}",
            )
        except (FailureError, asyncio.CancelledError):  # no `finally`: see `Asking`
            self._ballot.open(None, workflow.now().timestamp())
            raise
        self._ballot.open(found.opened, workflow.now().timestamp())
        return found.opened, found.refusal

    async def _settle(self, step: int, limit: str, opened: ApprovalOpened, state: ApprovalState) -> End | None:
        grant = self._ballot.grant(opened.request_id) if state == "granted" else None
        decision_ids = self._ballot.decision_ids(opened.request_id)
        self._ballot.close(opened.request_id)
        settled = await stubs.short(
            SETTLE_RAISE,
            SettleRaise.model_validate(
                {**self._of_run(step), "limit": limit, "request_id": opened.request_id, "state": state,
                 "decision_ids": decision_ids, "grant": grant}
            ),
            activity_id=f"settle-{opened.request_id}",
            wait_s=self._request.store_wait_s,
            summary=f"step {step}: raise of {limit} {state}",
        )  # fmt: skip
        if not settled.granted:
            why = settled.refusal or ("people denied a raise" if state == "denied" else "nobody decided about a raise")
            return End(Outcome.ESCALATED, OutcomeReason.LIMIT_REACHED, f"limit {limit}: {why}"[:500])
        if limit == "active_s":
            self._more_active_s += settled.by
        self.changes += 1
        return None

    def _of_run(self, step: int) -> dict[str, object]:
        return {
            "tenant": self._request.tenant,
            "run_id": self._request.run_id,
            "definition": self._pinned.definition,
            "step": step,
            "ordinal": self._ordinal,
        }
