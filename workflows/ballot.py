"""Votes in a run: the run alone decides which count. A signal by itself proves nothing."""

from collections.abc import Mapping
from typing import Literal

from contracts.event import Carried
from contracts.run_activities import ApprovalOpened
from contracts.vote import (
    Grant,
    SignedVote,
    Verdict,
    Vote,
    VoteAccepted,
    VoteAnswer,
    VotePending,
    VoteRefusal,
    VoteRefused,
)
from policy.votes import judge_vote, quorum, read_vote

__all__ = ["Ballot"]

MAX_DECISIONS = 500
MAX_REFUSALS_KEPT = 100
MAX_EARLY_VOTES = 50


class Ballot:
    """Open requests of a run, the votes that count, and the answer to every vote that was seen."""

    def __init__(self, tenant: str, run_id: str, carried: Carried | None) -> None:
        self._tenant = tenant
        self._run_id = run_id
        self._keys: Mapping[str, str] = {}
        self._interested: tuple[str, ...] = ()
        self._open: dict[str, ApprovalOpened] = {}
        self._counted: dict[str, list[tuple[Vote, SignedVote]]] = {}
        self._answers: dict[str, VoteAnswer] = dict(carried.decisions) if carried else {}
        self._early: list[tuple[Vote, SignedVote]] = []
        self._opening = 0
        self.refused = carried.refused_votes if carried else 0
        self.refusals: list[str] = []

    def admit(self, keys: Mapping[str, str], interested: tuple[str, ...]) -> None:
        """From now on votes of these keys can count. `interested` are the persons who may not vote."""
        self._keys = keys
        self._interested = interested

    @property
    def open_requests(self) -> tuple[str, ...]:
        """Requests that wait for votes."""
        return tuple(self._open)

    @property
    def votes_counted(self) -> int:
        """Votes that count, over all requests."""
        return sum(len(votes) for votes in self._counted.values())

    @property
    def decisions(self) -> dict[str, VoteAnswer]:
        """Newest answers by decision id, to be carried on."""
        return dict(list(self._answers.items())[-MAX_DECISIONS:])

    def expect(self) -> None:
        """A request is being opened: people may see it, and vote, before this run knows its id."""
        self._opening += 1

    def open(self, opened: ApprovalOpened | None, now_s: float) -> None:
        """The request is open (or could not be opened: None); votes that came early are judged now."""
        self._opening -= 1
        if opened is not None:
            self._open[opened.request_id] = opened
            self._counted[opened.request_id] = []
        early, self._early = self._early, []
        for vote, signed in early:
            if vote.decision_id not in self._answers:
                self._judge(vote, signed, now_s)

    def close(self, request_id: str) -> None:
        """No vote on this request counts any more."""
        self._open.pop(request_id, None)

    def receive(self, signed: SignedVote, now_s: float) -> None:
        """Take a signal. Forged, late, repeated or misdirected ones change nothing but the count of refusals."""
        vote = read_vote(signed, self._keys)
        if not isinstance(vote, Vote):
            self._refuse(None, vote)
        elif vote.decision_id not in self._answers:
            self._judge(vote, signed, now_s)

    def answer(self, decision_id: str) -> VoteAnswer:
        """What became of a vote."""
        return self._answers.get(decision_id, VotePending())

    def verdict(self, request_id: str) -> Literal["open", "granted", "denied", "voided"]:
        """Where a request stands: one vote that is no approval ends it, also where the quorum was met just before."""
        ending = self.ending(request_id)
        if ending is not None:
            return "denied" if ending.verdict is Verdict.DENY else "voided"
        opened, votes = self._open[request_id], [vote for vote, _ in self._counted[request_id]]
        return "granted" if quorum(opened.requirement, votes, opened.escalations) else "open"

    def ending(self, request_id: str) -> Vote | None:
        """The vote that ended a request, where it was no approval; a denial before all else: it ends the matter."""
        votes = [vote for vote, _ in self._counted[request_id] if vote.verdict is not Verdict.APPROVE]
        return next((vote for vote in votes if vote.verdict is Verdict.DENY), votes[0] if votes else None)

    def grant(self, request_id: str) -> Grant:
        """The grant of a request whose quorum is met: it carries the votes, and the gate verifies them again."""
        opened = self._open[request_id]
        return Grant(
            request_id=request_id,
            digest=opened.digest,
            requirement=opened.requirement,
            votes=tuple(signed for _, signed in self._counted[request_id]),
            expires_at=opened.expires_at,
        )

    def decision_ids(self, request_id: str) -> tuple[str, ...]:
        """Votes that count on a request, in the order in which they were counted."""
        return tuple(vote.decision_id for vote, _ in self._counted[request_id])

    def _judge(self, vote: Vote, signed: SignedVote, now_s: float) -> None:
        opened = self._open.get(vote.request_id)
        if opened is None:
            self._set_aside(vote, signed)
            return
        if vote.verdict is not Verdict.DENY and self.ending(vote.request_id) is not None:
            self._refuse(vote, VoteRefusal.REQUEST_CLOSED)  # of two at once the first stands, but for a denial
            return
        verdict = judge_vote(
            vote,
            opened=opened,
            run_id=self._run_id,
            tenant=self._tenant,
            interested=self._interested,
            accepted=[counted for counted, _ in self._counted[vote.request_id]],
            now_s=now_s,
        )
        if isinstance(verdict, VoteAccepted):
            self._counted[vote.request_id].append((vote, signed))
            self._answers[vote.decision_id] = verdict
        else:
            self._refuse(vote, verdict.refusal)

    def _set_aside(self, vote: Vote, signed: SignedVote) -> None:
        """Keep a vote that may be on the request that is being opened; refuse any other.

        Old votes sent again must not take the room of real ones: each is kept once, and none of another run.
        """
        if vote.request_id in self._counted:
            self._refuse(vote, VoteRefusal.REQUEST_CLOSED)
        elif (vote.tenant, vote.run_id) != (self._tenant, self._run_id):
            self._refuse(vote, VoteRefusal.WRONG_RUN)
        elif not self._opening or len(self._early) >= MAX_EARLY_VOTES:
            self._refuse(vote, VoteRefusal.UNKNOWN_REQUEST)
        elif all(other.decision_id != vote.decision_id for other, _ in self._early):
            self._early.append((vote, signed))

    def _refuse(self, vote: Vote | None, refusal: VoteRefusal) -> None:
        self.refused += 1
        if len(self.refusals) < MAX_REFUSALS_KEPT:
            self.refusals.append(refusal.value)
        if vote is not None and len(self._answers) < MAX_DECISIONS * 20:
            self._answers[vote.decision_id] = VoteRefused(refusal=refusal)
