"""A request for approval, from the question to its end: people are told, reminded, others are asked, it expires."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from contracts.base import Digest
from contracts.call import CallHead
from contracts.decision import Requirement
from contracts.event import RunRequest
from contracts.notice import NoticeKind
from contracts.outcome import Outcome, OutcomeReason
from contracts.run_activities import (
    OPEN_APPROVAL,
    SETTLE_APPROVAL,
    ApprovalOpened,
    ApprovalState,
    OpenApproval,
    Revised,
    SettleApproval,
)
from contracts.turn import CallControl
from contracts.vote import Grant, Verdict, Vote
from workflows import stubs
from workflows.ballot import Ballot
from workflows.endings import End
from workflows.notices import Notices

__all__ = ["Asking", "People"]


class People:
    """Waits for people to decide about an open request: they are told, reminded, and given up at its expiry."""

    def __init__(self, request: RunRequest, ballot: Ballot) -> None:
        self._ballot = ballot
        self._notices = Notices(request)

    async def decide(self, opened: ApprovalOpened) -> ApprovalState:
        """What they decided, however long that takes. Voided: they said something else; the ballot tells what."""
        self._notices.tell(NoticeKind.REQUESTED, opened)
        for moment, kind, group in _events(opened):
            if await self._decided_until(opened, moment):
                break
            self._notices.tell(kind, opened, group)
        if not await self._decided_until(opened, opened.expires_at):
            return "expired"
        decided = self._ballot.verdict(opened.request_id)
        return "granted" if decided == "open" else decided

    async def tell_expired(self, opened: ApprovalOpened) -> None:
        """Tell them that it is too late, before the run ends and its notices with it."""
        await self._notices.tell_at_last(NoticeKind.EXPIRED, opened)

    async def _decided_until(self, opened: ApprovalOpened, moment: int) -> bool:
        """Wait until that moment (Unix seconds) at most. Whether they have decided."""

        def decided() -> bool:
            return self._ballot.verdict(opened.request_id) != "open"

        left_s = min(moment, opened.expires_at) - workflow.now().timestamp()
        with suppress(TimeoutError):
            await workflow.wait_condition(decided, timeout=timedelta(seconds=max(left_s, 0.001)))
        return decided()


def _events(opened: ApprovalOpened) -> list[tuple[int, NoticeKind, str]]:
    """What happens while nobody decides: when, what is told, and of an escalation to which group. In their order."""
    escalated = {(one.at, one.to) for one in opened.escalations}
    events = [(at, NoticeKind.ESCALATED, group) for at, group in sorted(escalated)]
    return sorted([(opened.sla_at, NoticeKind.REMINDER, ""), *events], key=lambda event: event[0])


class Asking:
    """Puts calls of a run before people."""

    def __init__(self, request: RunRequest, definition: Digest, ballot: Ballot) -> None:
        self._request = request
        self._definition = definition
        self._ballot = ballot
        self._people = People(request, ballot)

    async def ask(self, step: int, index: int, call: CallControl, result: CallHead) -> Grant | CallControl | End | None:
        """Put a call before people.

        Returns:
            A grant; the call as they edited it; None when they denied it or asked back and the model was told; an end.
        """
        requirement = result.control.requirement
        if requirement is None:
            return End(Outcome.FAILED_SAFE, OutcomeReason.ENGINE_FAULT, "approval needed, but no requirement given")
        opened = await self._open(step, index, call, result.visit, requirement)
        decided = await self._people.decide(opened)
        grant = self._ballot.grant(opened.request_id) if decided == "granted" else None
        ending = self._ballot.ending(opened.request_id) if decided == "voided" else None
        revised = await self._settle(step, index, call, opened, decided, ending)
        if decided == "expired":
            await self._people.tell_expired(opened)
            return End(Outcome.ESCALATED, OutcomeReason.APPROVAL_EXPIRED, f"step {step} {call.tool}")
        if ending is not None and ending.verdict is Verdict.HAND_OVER:
            return End(Outcome.ESCALATED, OutcomeReason.TAKEN_OVER, f"step {step} {call.tool}")
        if revised is not None:
            return CallControl(tool=call.tool, arguments_digest=revised.arguments_digest, revision=revised.revision)
        return grant

    async def _open(
        self, step: int, index: int, call: CallControl, visit: int, requirement: Requirement
    ) -> ApprovalOpened:
        self._ballot.expect()
        try:
            opened = await stubs.regular(
                OPEN_APPROVAL,
                OpenApproval(
                    tenant=self._request.tenant,
                    run_id=self._request.run_id,
                    definition=self._definition,
                    step=step,
                    call=index,
                    visit=visit,
                    tool=call.tool,
                    arguments_digest=call.arguments_digest,
                    revision=call.revision,
                    requirement=requirement,
                ),
                activity_id=f"s{step}-c{index}-ask{visit}",
                timeout_s=60,
                wait_s=self._request.store_wait_s,
                summary=f"step {step}: ask {requirement.in_words()} about {call.tool}",
            )
        except (FailureError, asyncio.CancelledError):
            # No `finally`: a worker that stops leaves its runs to the garbage collector, which has no workflow's clock.
            self._ballot.open(None, workflow.now().timestamp())
            raise
        self._ballot.open(opened, workflow.now().timestamp())
        return opened

    async def _settle(
        self,
        step: int,
        index: int,
        call: CallControl,
        opened: ApprovalOpened,
        state: ApprovalState,
        ending: Vote | None,
    ) -> Revised | None:
        """Close the request; of an edit, the call as it is from now on."""
        decision_ids = self._ballot.decision_ids(opened.request_id)
        self._ballot.close(opened.request_id)
        settled = await stubs.short(
            SETTLE_APPROVAL,
            SettleApproval(
                tenant=self._request.tenant,
                run_id=self._request.run_id,
                definition=self._definition,
                request_id=opened.request_id,
                step=step,
                call=index,
                tool=call.tool,
                arguments_digest=call.arguments_digest,
                revision=call.revision,
                state=state,
                decision_ids=decision_ids,
                ending=ending.verdict if ending else None,
                edited=ending.edited if ending else None,
            ),
            activity_id=f"settle-{opened.request_id}",
            wait_s=self._request.store_wait_s,
            summary=f"step {step}: approval {ending.verdict.value if ending else state}",
        )
        return settled.revised
