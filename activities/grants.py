"""Votes of a grant, verified again where it is used: with the groups that the approvers have by then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.run_activities import ApprovalOpened
from contracts.vote import SignedVote, Vote, VoteAccepted
from policy.votes import judge_vote, quorum, read_vote
from store.accounts import find_account

__all__ = ["Counted", "count_votes"]


@dataclass(frozen=True)
class Counted:
    """The votes that count."""

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
    """The votes, each with the groups that its approver still has; or why the grant does not hold."""
    accepted: list[Vote] = []
    for signed in votes:
        vote = read_vote(signed, keys)
        if not isinstance(vote, Vote):
            return f"a vote does not verify: {vote.value}"
        groups = await _current_groups(cursor, vote)
        current = vote.model_copy(update={"groups": tuple(sorted(set(vote.groups) & groups))})
        verdict = judge_vote(
            current, opened=opened, run_id=run_id, tenant=tenant, interested=interested, accepted=accepted,
            now_s=min(vote.voted_at, now_s),
        )  # fmt: skip
        if not isinstance(verdict, VoteAccepted):
            return f"a vote does not count any more: {verdict.refusal.value}"
        accepted.append(current)
    if not quorum(opened.requirement, accepted):
        return "the approvers no longer meet the requirement"
    return Counted(tuple(accepted))


async def _current_groups(cursor: AsyncCursor[DictRow], vote: Vote) -> frozenset[str]:
    """Groups of the approver as they are now; none for an account that is gone, disabled or another person's."""
    account = await find_account(cursor, vote.tenant, vote.subject)
    if account is None or account.disabled or account.person != vote.person or "approve" not in account.roles:
        return frozenset()
    return frozenset(account.groups)
