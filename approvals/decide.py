"""Taking a decision: the same checks for the form, the API and the command line. The run checks everything again."""

import logging
import time
from typing import Annotated, Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from approvals.delegates import Place, place_of
from approvals.editing import problems_of
from approvals.passkey_proofs import SignedOff, keep_evidence, sign_off
from approvals.run_line import NoAnswer
from approvals.seen import Sight
from approvals.services import DecidingServices
from approvals.visitors import Visitor
from approvals.wire import Decide
from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes, digest, digest_bytes, opaque_id
from contracts.trace import trace_of
from contracts.vote import SignedVote, Verdict, Vote, VoteRefusal, VoteRefused
from policy.votes import judge_vote, read_vote
from settings.logs import note
from settings.spans import tell
from store.accounts import members_behind
from store.approvals import StoredRequest, find_request
from store.attention import note_decision
from store.decoys import end_decoy, find_decoy
from store.revisions import find_schema
from store.seen import keep_page
from store.vote_keys import pinned_vote_keys, vote_keys
from store.votes import AlreadyVoted, StoredVote, cast_vote, record_answer, refusals_of, votes_on

__all__ = ["Decided", "Forbidden", "NoSuchRequest", "NotCast", "Stands", "Unusable", "decide"]

ANSWER_WITHIN_S = 2.0
_ALWAYS_SAFE = (Verdict.DENY, Verdict.HAND_OVER)
_LOG = logging.getLogger("approvals")


class Decided(Record):
    """The vote is signed and stored; its `state` is what the run has said so far."""

    kind: Literal["decided"] = "decided"
    vote: StoredVote
    tested: str = ""
    """Of a test request: that it was one, and what a careful look finds. No vote was stored."""


class Stands(Record):
    """The person has decided before; that vote stands and nothing was written."""

    kind: Literal["stands"] = "stands"
    vote: StoredVote


class NotCast(Record):
    """The run would refuse the vote, so it was neither signed nor stored."""

    kind: Literal["not_cast"] = "not_cast"
    refusal: VoteRefusal


class Unusable(Record):
    """The edited arguments cannot be asked; nothing was signed or stored."""

    kind: Literal["unusable"] = "unusable"
    problems: dict[str, str]
    """What is wrong, by argument; under an empty name, with all of them."""


class Forbidden(Record):
    """The account may look, not decide."""

    kind: Literal["forbidden"] = "forbidden"


class NoSuchRequest(Record):
    """The tenant has no such request."""

    kind: Literal["no_such_request"] = "no_such_request"


Outcome = Annotated[Decided | Stands | NotCast | Unusable | Forbidden | NoSuchRequest, Field(discriminator="kind")]


async def decide(
    services: DecidingServices,
    visitor: Visitor,
    request_id: str,
    posted: Decide,
    sight: Sight | None,
    answer: str = "",
) -> Outcome:
    """Check, sign, store, send. The stored vote is the promise: what cannot be sent now, the dispatcher sends.

    `sight`: the page on which it was decided; None where another front end showed the canonical view. `answer`: what
    the person's passkey answered there.
    """
    began_ns = time.time_ns()
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        if request is None:
            return NoSuchRequest()
        note(run=request.run_id)
        outcome = await _cast(cursor, services, visitor, request, posted, sight, answer)
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
    if outcome.vote.state == "pending":
        outcome = Decided(vote=await _send(services, outcome.vote))
    if not outcome.tested:  # no run is behind a test request
        _tell(request, outcome.vote, began_ns)
    return outcome


def _tell(request: StoredRequest, vote: StoredVote, began_ns: int) -> None:
    facts: dict[str, str | int] = {
        "gen_ai.conversation.id": request.run_id,
        "gen_ai.tool.name": request.tool,
        "countersign.tenant": request.tenant,
        "countersign.request": request.request_id,
        "countersign.step": request.step,
        "countersign.verdict": vote.verdict.value,
        "countersign.answer": vote.state,
        "countersign.waited_s": round((request.read_at - request.opened_at).total_seconds()),
    }
    tell("vote", trace_of(request.tenant, request.run_id), began_ns, facts)


async def _cast(
    cursor: AsyncCursor[DictRow],
    services: DecidingServices,
    visitor: Visitor,
    request: StoredRequest,
    posted: Decide,
    sight: Sight | None,
    answer: str,
) -> Outcome:
    session = visitor.session
    if "approve" not in session.roles:
        return Forbidden()
    votes = await votes_on(cursor, request.tenant, request.request_id)
    mine = next((vote for vote in votes if vote.person == session.person and vote.state != "refused"), None)
    if mine is not None:
        return Stands(vote=mine)
    barred = await _barred(cursor, request, posted)
    if barred is not None:
        return barred
    place = await place_of(cursor, session, posted.delegation)
    if place is None:
        return NotCast(refusal=VoteRefusal.NOT_DELEGATED)
    refused = await refusals_of(cursor, request.tenant, request.request_id, session.person)
    page = sight.page(request) if sight else None
    vote = _vote(visitor, request, posted, refused, place, page)
    keys = {**services.signer.public_keys, **await vote_keys(cursor)}
    readings = [read_vote(SignedVote(jws=other.jws), keys) for other in votes if other.state == "accepted"]
    judged = judge_vote(
        vote,
        opened=request.opened(),
        run_id=request.run_id,
        tenant=request.tenant,
        interested=await members_behind(cursor, request.tenant, request.interested),
        accepted=[other for other in readings if isinstance(other, Vote)],
        now_s=request.read_at.timestamp(),
    )
    if isinstance(judged, VoteRefused):
        return NotCast(refusal=judged.refusal)
    # Bytes of another version of the page are none that could be kept beside the vote: it is shown anew.
    if sight is not None and sight.seen != vote.seen:
        return NotCast(refusal=VoteRefusal.NOT_AS_SEEN)
    signed_off = await sign_off(cursor, services.passkeys, visitor, vote, request.tier, answer)
    if isinstance(signed_off, VoteRefusal):
        return NotCast(refusal=signed_off)
    # A test request has no run to ask: what was decided is kept, and nothing is signed that could be carried anywhere.
    match await end_decoy(cursor, signed_off.vote):
        case StoredVote() as tested:
            decoy = await find_decoy(cursor, request.tenant, request.request_id)
            return Decided(vote=tested, tested=f"This was a test request. {decoy.tell if decoy else ''}".strip())
        case "ended":
            return NotCast(refusal=VoteRefusal.REQUEST_CLOSED)
        case "real":
            return await _keep(cursor, services, signed_off, posted, page)


async def _keep(
    cursor: AsyncCursor[DictRow], services: DecidingServices, signed_off: SignedOff, posted: Decide, page: str | None
) -> Outcome:
    """Sign the vote and keep it, with the page on which it was cast and what a passkey answered there."""
    vote = signed_off.vote
    try:
        signed = services.signer.sign(vote, await pinned_vote_keys(cursor, vote.tenant, vote.run_id))
    except LookupError:
        return NotCast(refusal=VoteRefusal.UNKNOWN_KEY)
    edited = canonical_bytes(posted.arguments).decode() if posted.arguments is not None else None
    result = await cast_vote(cursor, vote, signed, edited)
    if isinstance(result, AlreadyVoted):
        return Stands(vote=result.vote)
    if page is not None:
        await keep_page(cursor, vote.tenant, page)
    await keep_evidence(cursor, signed_off, signed)
    return Decided(vote=result.vote)


async def _barred(cursor: AsyncCursor[DictRow], request: StoredRequest, posted: Decide) -> NotCast | Unusable | None:
    """Why the request cannot be answered so, whoever does; None: it can."""
    if request.state != "open":
        return NotCast(refusal=VoteRefusal.REQUEST_CLOSED)
    # What is damaged cannot be shown, so nobody can have seen what they would approve, change or ask about.
    if posted.digest != request.digest or (posted.verdict not in _ALWAYS_SAFE and not request.is_intact()):
        return NotCast(refusal=VoteRefusal.WRONG_DIGEST)
    if posted.verdict not in request.opened().choices:
        return NotCast(refusal=VoteRefusal.NOT_OFFERED)
    problems = await _problems(cursor, request, posted.arguments) if posted.arguments is not None else {}
    return Unusable(problems=problems) if problems else None


async def _problems(cursor: AsyncCursor[DictRow], request: StoredRequest, arguments: JsonObject) -> dict[str, str]:
    basis = request.read_basis
    schema = await find_schema(cursor, request.tenant, basis.schema_digest) if basis else None
    if schema is None:
        return {"": "What the tool takes is not known here. Ask the agent instead, or hand over to a person."}
    return problems_of(schema, ApprovalView.model_validate_json(request.view).arguments, arguments)


def _vote(
    visitor: Visitor, request: StoredRequest, posted: Decide, refused: int, place: Place, page: str | None
) -> Vote:
    session = visitor.session
    return Vote(
        tenant=request.tenant,
        run_id=request.run_id,
        request_id=request.request_id,
        digest=request.digest,
        verdict=posted.verdict,
        reason=posted.reason,
        seen=digest_bytes(page.encode()) if page is not None else None,
        edited=digest(posted.arguments) if posted.arguments is not None else None,
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


async def _send(services: DecidingServices, vote: StoredVote) -> StoredVote:
    answer = await services.runs.deliver(
        vote.run_id, vote.decision_id, SignedVote(jws=vote.jws), within_s=ANSWER_WITHIN_S
    )
    if isinstance(answer, NoAnswer):
        return vote
    async with services.database.tenant(vote.tenant) as cursor:
        await record_answer(cursor, tenant=vote.tenant, decision_id=vote.decision_id, answer=answer)
        votes = await votes_on(cursor, vote.tenant, vote.request_id)
    return next((stored for stored in votes if stored.decision_id == vote.decision_id), vote)
