"""Votes: who signed what, whether a run may count it, and whether enough people have said yes. Pure: time is passed in.

The same functions judge in the workflow (and again when its history replays), in the gate, and before the form signs.
"""

from collections.abc import Collection, Mapping, Sequence

from contracts.approval import Escalation
from contracts.decision import Requirement
from contracts.run_activities import ApprovalOpened
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VoteRefusal, VoteRefused
from policy.signed import CLOCK_SKEW_S, SIGNATURE_ALGORITHM, read_signed

__all__ = [
    "CLOCK_SKEW_S",
    "HIGHEST_TIER",
    "MIN_REASON_CHARACTERS",
    "SIGN_IN_TIER_4_S",
    "SIGN_IN_USUAL_S",
    "VOTE_ALGORITHM",
    "VOTE_TYPE",
    "is_co_author",
    "judge_vote",
    "may_decide",
    "names_of",
    "quorum",
    "read_vote",
    "reason_missing",
    "satisfied",
    "seats_of",
    "sign_in_limit_s",
    "sign_in_refusal",
    "with_seats",
]

VOTE_ALGORITHM = SIGNATURE_ALGORITHM
VOTE_TYPE = "countersign-vote+jws"
"""The token's `typ` (RFC 8725, 3.11): nothing else that the same key might ever sign passes for a vote."""
MIN_REASON_CHARACTERS = 3
SIGN_IN_USUAL_S = 12 * 3_600
"""How long before the vote the approver may have proved who they are."""
SIGN_IN_TIER_4_S = 15 * 60
"""The same, for what cannot be undone."""

HIGHEST_TIER = 4
"""What cannot be undone."""
_LOCAL = "local"


def read_vote(signed: SignedVote, keys: Mapping[str, str]) -> Vote | VoteRefusal:
    """The vote that a known key signed, or why it is none: see `read_signed`."""
    found = read_signed(signed.jws, keys, type_=VOTE_TYPE, model=Vote)
    return VoteRefusal(found) if isinstance(found, str) else found


def judge_vote(
    vote: Vote,
    *,
    opened: ApprovalOpened,
    run_id: str,
    tenant: str,
    interested: Collection[str],
    accepted: Sequence[Vote],
    now_s: float,
) -> VoteAccepted | VoteRefused:
    """Whether a vote that `read_vote` verified counts for this request.

    `accepted` are the votes that count already; `interested` the persons who may not decide, beside those that the
    request itself names; `now_s` Unix seconds.
    An approval needs a member of a group that is still short of people, everything else one of any group that was
    asked.
    """
    refusal = (
        _misdirected(vote, opened, run_id=run_id, tenant=tenant)
        or _untimely(vote, opened, now_s)
        or sign_in_refusal(opened.tier, vote.voted_at - vote.authenticated_at, vote.issuer, vote.strength)
        or _not_theirs(vote, opened, interested, accepted)
    )
    if refusal is None and reason_missing(vote.verdict, vote.reason, opened.tier):
        refusal = VoteRefusal.REASON_MISSING
    return VoteRefused(refusal=refusal) if refusal else VoteAccepted()


def _misdirected(vote: Vote, opened: ApprovalOpened, *, run_id: str, tenant: str) -> VoteRefusal | None:
    """Whether it is a vote on something else, or says what nobody asked."""
    if vote.tenant != tenant or vote.run_id != run_id:
        return VoteRefusal.WRONG_RUN
    if vote.request_id != opened.request_id:
        return VoteRefusal.UNKNOWN_REQUEST
    if vote.digest != opened.digest:
        return VoteRefusal.WRONG_DIGEST
    return None if vote.verdict in opened.choices else VoteRefusal.NOT_OFFERED


def _untimely(vote: Vote, opened: ApprovalOpened, now_s: float) -> VoteRefusal | None:
    """Whether its times contradict each other, or it comes too late."""
    if vote.authenticated_at > vote.voted_at + CLOCK_SKEW_S or vote.voted_at > now_s + CLOCK_SKEW_S:
        return VoteRefusal.MALFORMED
    if vote.voted_at < opened.opened_at - CLOCK_SKEW_S:
        return VoteRefusal.MALFORMED  # nobody decides before there is a question
    return VoteRefusal.EXPIRED if now_s >= min(vote.expires_at, opened.expires_at) else None


def _not_theirs(
    vote: Vote, opened: ApprovalOpened, interested: Collection[str], accepted: Sequence[Vote]
) -> VoteRefusal | None:
    """Whether somebody else has to say it: for what they are to the run, to the others who voted, to what is asked."""
    barred = {name.casefold() for name in (*interested, *opened.interested)}
    # The owner of an agent may be a group: each of its members owns it.
    if (names_of(vote) | {group.casefold() for group in vote.groups}) & barred:
        return VoteRefusal.INTERESTED_PARTY
    # By account as well: one that is said to be another person's meanwhile does not get a second vote.
    if any(names_of(vote) & names_of(other) for other in accepted):
        return VoteRefusal.SAME_PERSON
    if vote.verdict is Verdict.APPROVE and is_co_author(opened, vote.persons):
        return VoteRefusal.CO_AUTHOR
    counted = [with_seats(other, opened.escalations) for other in accepted]
    if may_decide(opened.requirement, with_seats(vote, opened.escalations), counted):
        return None
    later = vote.model_copy(update={"voted_at": opened.expires_at})
    is_early = may_decide(opened.requirement, with_seats(later, opened.escalations), counted)
    return VoteRefusal.NOT_YET if is_early else VoteRefusal.NOT_ELIGIBLE


def is_co_author(opened: ApprovalOpened, persons: Collection[str]) -> bool:
    """Whether one of these persons wrote what is asked and so has no approval of it to give.

    What cannot be undone is never approved by who wrote it, and neither is what policy wants more than one pair of eyes
    on. Where one approver is enough, their edit is a decision that they may as well approve.
    """
    judges_more = opened.tier >= HIGHEST_TIER or opened.requirement.persons > 1
    return judges_more and not {name.casefold() for name in opened.editors}.isdisjoint(
        name.casefold() for name in persons
    )


def with_seats(vote: Vote, escalations: Sequence[Escalation]) -> Vote:
    """The vote with every group whose seats it may take: its own, and those that were escalated to them before it.

    Once, not again: a seat that was escalated to its group is not one of its group's own.
    """
    groups = seats_of(vote.groups, escalations, vote.voted_at)
    return vote if groups == vote.groups else vote.model_copy(update={"groups": groups})


def seats_of(groups: Sequence[str], escalations: Sequence[Escalation], at_s: float) -> tuple[str, ...]:
    """Groups whose seats members of these groups may take at that moment: theirs first."""
    more = {one.group for one in escalations if one.to in groups and one.at <= at_s}
    return (*groups, *sorted(more.difference(groups)))


def names_of(vote: Vote) -> frozenset[str]:
    """Every name of those whose vote it is, in small letters: persons and accounts."""
    accounts = (vote.subject, *((vote.delegated.approver,) if vote.delegated else ()))
    return vote.persons | {name.casefold() for name in accounts}


def sign_in_refusal(tier: int, signed_in_s: float, issuer: str, strength: str) -> VoteRefusal | None:
    """What is wrong with how the approver signed in, so many seconds ago, for a decision of that tier."""
    if signed_in_s > sign_in_limit_s(tier):
        return VoteRefusal.STALE_SIGN_IN
    # A local account has nothing but its password; a provider can ask for more, and at the highest tier it must have.
    if tier >= HIGHEST_TIER and issuer != _LOCAL and strength != "multi_factor":
        return VoteRefusal.WEAK_SIGN_IN
    return None


def sign_in_limit_s(tier: int) -> int:
    """How long before a vote on a call of that tier the approver may have signed in, in seconds."""
    return SIGN_IN_TIER_4_S if tier >= HIGHEST_TIER else SIGN_IN_USUAL_S


def reason_missing(verdict: Verdict, reason: str, tier: int) -> bool:
    """Whether it needs words and has none: all but an approval do, and every vote on a call of the highest tier."""
    return (verdict is not Verdict.APPROVE or tier >= HIGHEST_TIER) and len(reason.strip()) < MIN_REASON_CHARACTERS


def may_decide(requirement: Requirement, vote: Vote, accepted: Sequence[Vote]) -> bool:
    """Whether the voter's groups fit: for an approval one that is still short, for all else any that was asked."""
    if vote.verdict is not Verdict.APPROVE:
        return any(need.group in vote.groups for need in requirement.needs)
    return _seated(requirement, (*accepted, vote)) > _seated(requirement, accepted)


def quorum(requirement: Requirement, accepted: Sequence[Vote], escalations: Sequence[Escalation] = ()) -> bool:
    """Whether the approvals among these votes meet every need, each person counting for one of them."""
    return _seated(requirement, [with_seats(vote, escalations) for vote in accepted]) == requirement.persons


def satisfied(ladder: Sequence[Requirement], votes: Sequence[Vote]) -> tuple[str, ...]:
    """Ids of all rungs, in the ladder's order, whose needs these approvers meet."""
    return tuple(rung.id for rung in ladder if quorum(rung, votes))


def _seated(requirement: Requirement, votes: Sequence[Vote]) -> int:
    """How many of the needed seats these approvers can fill at once: a maximum bipartite matching.

    Counting per group would let a member of two groups count twice; first come, first served would let them take the
    only seat that somebody else fits. At most 25 seats and 20 votes, so augmenting paths are plenty.
    """
    seats = [need.group for need in requirement.needs for _ in range(need.count)]
    people: dict[str, Sequence[str]] = {}
    seen: set[str] = set()
    for vote in votes:
        if vote.verdict is Verdict.APPROVE and not vote.persons & seen:
            people[vote.person.casefold()] = vote.groups
            seen |= vote.persons
    taken: dict[int, str] = {}

    def seat(person: str, tried: set[int]) -> bool:
        for index, group in enumerate(seats):
            if group in people[person] and index not in tried:
                tried.add(index)
                if index not in taken or seat(taken[index], tried):
                    taken[index] = person
                    return True
        return False

    return sum(seat(person, set()) for person in people)
