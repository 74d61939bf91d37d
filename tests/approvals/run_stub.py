"""A run that does nothing but what approvals talk to: it verifies votes as the real one does, and answers by query."""

from typing import Annotated

from pydantic import Field
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Record
    from contracts.run_activities import ApprovalOpened
    from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VoteAnswer, VotePending, VoteRefused
    from policy.votes import judge_vote, quorum, read_vote

__all__ = ["RunStub", "StubRequest"]


class StubRequest(Record):
    """What the stub waits for."""

    tenant: str
    opened: ApprovalOpened
    keys: dict[str, str]
    linger: bool = False
    """Whether it stays after the decision."""


@workflow.defn(name="AgentRun")
class RunStub:
    """Waits for a quorum or a denial."""

    @workflow.init
    def __init__(self, request: StubRequest) -> None:
        """Signals may come before `run` starts."""
        self._request = request
        self._accepted: list[Vote] = []
        self._answers: dict[str, Annotated[VoteAccepted | VoteRefused, Field(discriminator="kind")]] = {}
        self._signals = 0

    @workflow.run
    async def run(self, request: StubRequest) -> str:
        """Until people have decided."""
        await workflow.wait_condition(lambda: self._is_decided() and not request.linger)
        return "denied" if any(vote.verdict is Verdict.DENY for vote in self._accepted) else "granted"

    def _is_decided(self) -> bool:
        denied = any(vote.verdict is Verdict.DENY for vote in self._accepted)
        return denied or quorum(self._request.opened.requirement, self._accepted)

    @workflow.signal
    def vote(self, signed: SignedVote) -> None:
        """Judge a vote."""
        self._signals += 1
        vote = read_vote(signed, self._request.keys)
        if not isinstance(vote, Vote) or vote.decision_id in self._answers:
            return
        answer = judge_vote(
            vote,
            opened=self._request.opened,
            run_id=workflow.info().workflow_id,
            tenant=self._request.tenant,
            interested=(),
            accepted=self._accepted,
            now_s=workflow.now().timestamp(),
        )
        self._answers[vote.decision_id] = answer
        if isinstance(answer, VoteAccepted):
            self._accepted.append(vote)

    @workflow.query
    def vote_answer(self, decision_id: str) -> VoteAnswer:
        """What became of a vote."""
        return self._answers.get(decision_id, VotePending())

    @workflow.query
    def signals(self) -> int:
        """How many signals came."""
        return self._signals
