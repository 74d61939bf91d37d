"""Taking a decision: the same checks for the form, the API and the command line. The run checks everything again."""

import logging
from typing import Annotated, Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field, StringConstraints

from approvals.delegates import Place, place_of
from approvals.run_line import NoAnswer
from approvals.services import Services
from approvals.visitors import Visitor
from contracts.base import Digest, Record
from contracts.canonical import opaque_id
from contracts.vote import SignedVote, Verdict, Vote, VoteRefusal, VoteRefused
from policy.votes import judge_vote, read_vote
from store.accounts import persons_behind
from store.approvals import StoredRequest, find_request
from store.attention import note_decision
from store.decoys import end_decoy
from store.vote_keys import pinned_vote_keys, vote_keys
from store.votes import AlreadyVoted, StoredVote, cast_vote, record_answer, refusals_of, votes_on

__all__ = ["Decide", "Decided", "Forbidden", "NoSuchRequest", "NotCast", "Stands", "decide"]

ANSWER_WITHIN_S = 2.0
_LOG = logging.getLogger("approvals")


class Decide(Record):
    """A decision as posted."""

    verdict: Verdict
    """`approve` or `deny`."""
    reason: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")] = ""
    """Required for a denial and at tier 4."""
    digest: Digest
    """Digest of what was shown: it must be what would run."""
    delegation: Annotated[str, StringConstraints(pattern=r"^(dlg-[a-z2-7]{26})?$")] = ""
    """Delegation under which one decides for somebody else; empty: for oneself."""


class Decided(Record):
    """The vote is signed and stored; its `state` is what the run has said so far."""

    kind: Literal["decided"] = "decided"
    vote: StoredVote


class Stands(Record):
    """The person has decided before; that vote stands and nothing was written."""

    kind: Literal["stands"] = "stands"
    vote: StoredVote


class NotCast(Record):
    """The run would refuse the vote, so it was neither signed nor stored."""

    kind: Literal["not_cast"] = "not_cast"
    refusal: VoteRefusal


class Forbidden(Record):
    """The account may look, not decide."""

    kind: Literal["forbidden"] = "forbidden"


class NoSuchRequest(Record):
    """The tenant has no such request."""

    kind: Literal["no_such_request"] = "no_such_request"


Outcome = Annotated[Decided | Stands | NotCast | Forbidden | NoSuchRequest, Field(discriminator="kind")]


async def decide(services: Services, visitor: Visitor, request_id: str, posted: Decide) -> Outcome:
    """Check, sign, store, send. The stored vote is the promise: what cannot be sent now, the dispatcher sends."""
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        if request is None:
            return NoSuchRequest()
        outcome = await _cast(cursor, services, visitor, request, posted)
        if isinstance(outcome, Decided):
            await note_decision(cursor, request.tenant, request_id, request.run_id, visitor.session.person)
    if not isinstance(outcome, Decided):
        _LOG.warning(
            "vote not cast: %s request=%s tenant=%s user=%s",
            outcome.refusal.value if isinstance(outcome, NotCast) else outcome.kind,
            request_id,
            visitor.tenant,
            visitor.session.username,
        )
        return outcome
    is_answered = outcome.vote.state != "pending"
    return outcome if is_answered else Decided(vote=await _send(services, outcome.vote))


async def _cast(
    cursor: AsyncCursor[DictRow], services: Services, visitor: Visitor, request: StoredRequest, posted: Decide
) -> Outcome:
    session = visitor.session
    if "approve" not in session.roles:
        return Forbidden()
    votes = await votes_on(cursor, request.tenant, request.request_id)
    mine = next((vote for vote in votes if vote.person == session.person and vote.state != "refused"), None)
    if mine is not None:
        return Stands(vote=mine)
    if request.state != "open":
        return NotCast(refusal=VoteRefusal.REQUEST_CLOSED)
    # What is damaged cannot be shown, so nobody can have seen what they would approve; a denial is always safe.
    if posted.digest != request.digest or (posted.verdict is Verdict.APPROVE and not request.is_intact()):
        return NotCast(refusal=VoteRefusal.WRONG_DIGEST)
    place = await place_of(cursor, session, posted.delegation)
    if place is None:
        return NotCast(refusal=VoteRefusal.NOT_DELEGATED)
    refused = await refusals_of(cursor, request.tenant, request.request_id, session.person)
    vote = _vote(visitor, request, posted, refused, place)
    keys = {**services.signer.public_keys, **await vote_keys(cursor)}
    readings = [read_vote(SignedVote(jws=other.jws), keys) for other in votes if other.state == "accepted"]
    judged = judge_vote(
        vote,
        opened=request.opened(),
        run_id=request.run_id,
        tenant=request.tenant,
        interested=await persons_behind(cursor, request.tenant, request.interested),
        accepted=[other for other in readings if isinstance(other, Vote)],
        now_s=request.read_at.timestamp(),
    )
    if isinstance(judged, VoteRefused):
        return NotCast(refusal=judged.refusal)
    # A test request has no run to ask: what was decided is kept, and nothing is signed that could be carried anywhere.
    match await end_decoy(cursor, vote):
        case StoredVote() as tested:
            return Decided(vote=tested)
        case "ended":
            return NotCast(refusal=VoteRefusal.REQUEST_CLOSED)
        case "real":
            pass
    try:
        signed = services.signer.sign(vote, await pinned_vote_keys(cursor, request.tenant, request.run_id))
    except LookupError:
        return NotCast(refusal=VoteRefusal.UNKNOWN_KEY)
    result = await cast_vote(cursor, vote, signed)
    return Stands(vote=result.vote) if isinstance(result, AlreadyVoted) else Decided(vote=result.vote)


def _vote(visitor: Visitor, request: StoredRequest, posted: Decide, refused: int, place: Place) -> Vote:
    session = visitor.session
    return Vote(
        tenant=request.tenant,
        run_id=request.run_id,
        request_id=request.request_id,
        digest=request.digest,
        verdict=posted.verdict,
        reason=posted.reason,
        # The same however often the form is sent: only a refusal makes room for another vote of this person.
        decision_id=opaque_id("dec", request.tenant, request.request_id, session.person, refused),
        issuer=session.issuer,
        subject=session.username,
        person=session.person,
        display_name=session.display_name,
        groups=place.groups,
        delegated=place.delegated,
        authenticated_at=int(session.authenticated_at.timestamp()),
        strength="multi_factor" if session.multi_factor else "password",
        voted_at=int(request.read_at.timestamp()),
        expires_at=int(request.expires_at.timestamp()),
    )


async def _send(services: Services, vote: StoredVote) -> StoredVote:
    answer = await services.runs.deliver(
        vote.run_id, vote.decision_id, SignedVote(jws=vote.jws), within_s=ANSWER_WITHIN_S
    )
    if isinstance(answer, NoAnswer):
        return vote
    async with services.database.tenant(vote.tenant) as cursor:
        await record_answer(cursor, tenant=vote.tenant, decision_id=vote.decision_id, answer=answer)
        votes = await votes_on(cursor, vote.tenant, vote.request_id)
    return next((stored for stored in votes if stored.decision_id == vote.decision_id), vote)
