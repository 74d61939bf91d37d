"""Votes of a grant, verified again where it is used: with the groups and delegations that hold by then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from activities.assertions import assertion_problem
from contracts.run_activities import ApprovalOpened
from contracts.vote import SignedVote, Vote, VoteAccepted
from policy.votes import judge_vote, quorum, read_vote, with_seats
from store.accounts import members_behind
from store.delegations import groups_of_vote

__all__ = ["Counted", "count_votes"]


@dataclass(frozen=True)
class Counted:
    """The votes that count, each with every group whose seats it may take."""

    votes: tuple[Vote, ...]


async def count_votes(
    cursor: AsyncCursor[DictRow],
    votes: Sequence[SignedVote],
    *,
    opened: ApprovalOpened,
    keys: Mapping[str, str],
    tenant: str,
    run_id: str,
    interested: Sequence[str],
    now_s: int,
) -> Counted | str:
    """The votes, each with the groups whose seats it still may take; or why the grant does not hold."""
    interested = await members_behind(cursor, tenant, interested)
    accepted: list[Vote] = []
    for signed in votes:
        vote = read_vote(signed, keys)
        if not isinstance(vote, Vote):
            return f"a vote does not verify: {vote.value}"
        groups = await groups_of_vote(cursor, vote)
        if vote.delegated and not groups:
            return f"a delegation does not hold any more: {vote.delegated.delegation_id}"
        current = vote.model_copy(update={"groups": tuple(sorted(set(vote.groups) & groups))})
        verdict = judge_vote(
            current, opened=opened, run_id=run_id, tenant=tenant, interested=interested, accepted=accepted,
            now_s=min(vote.voted_at, now_s),
        )  # fmt: skip
        if not isinstance(verdict, VoteAccepted):
            return f"a vote does not count any more: {verdict.refusal.value}"
        problem = await assertion_problem(cursor, vote, opened.tier)
        if problem:
            return problem
        accepted.append(current)
    if not quorum(opened.requirement, accepted, opened.escalations):
        return "the approvers no longer meet the requirement"
    return Counted(tuple(with_seats(vote, opened.escalations) for vote in accepted))
