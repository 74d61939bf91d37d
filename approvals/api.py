"""One request as JSON, with the digest that a decision must carry; and deciding. The same protocol as the form's."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Header, Path
from fastapi.openapi.models import Example
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.decide import Decided, Forbidden, NoSuchRequest, NotCast, Outcome, Stands, Unusable, decide
from approvals.machines import Machine
from approvals.roles import ApiNeeds, ApiOpenTo
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import Decide, DecisionReply, RequestReply, SeenReply, VoteLine
from approvals.words import REFUSALS
from contracts.approval import ApprovalView
from contracts.vote import Verdict, VoteRefusal
from store.approvals import find_request
from store.attention import note_views
from store.revisions import find_schema
from store.seen import seen_pages
from store.votes import StoredVote, votes_on

__all__ = ["router"]

RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Caller = Annotated[Visitor | Machine, Depends(ApiOpenTo("view", "requests:read"))]
Decider = Annotated[Visitor, Depends(ApiNeeds("approve"))]
_FORBIDDEN = "Your account may look at requests, not decide them. Ask an administrator for the role approve."

router = APIRouter(prefix="/api", tags=["requests"])


_DECISIONS: dict[str, Example] = {
    "approve": {
        "summary": "Approve exactly what the digest says",
        "value": {"verdict": "approve", "digest": "sha256:" + "0" * 64},
    },
    "edit": {
        "summary": "Ask again with other arguments",
        "value": {
            "verdict": "edit",
            "digest": "sha256:" + "0" * 64,
            "reason": "Only one of the two lamps broke.",
            "arguments": {"order_id": "ORD-1007", "amount_minor": 20000, "currency": "EUR"},
        },
    },
    "ask": {
        "summary": "Ask the agent",
        "value": {"verdict": "ask", "digest": "sha256:" + "0" * 64, "reason": "Was the parcel insured?"},
    },
    "hand_over": {
        "summary": "Let a person go on instead of the agent",
        "value": {"verdict": "hand_over", "digest": "sha256:" + "0" * 64, "reason": "I know this customer."},
    },
    "deny": {
        "summary": "Deny, saying why",
        "value": {"verdict": "deny", "digest": "sha256:" + "0" * 64, "reason": "The parcel was delivered in time."},
    },
}


@router.get("/approvals/{request_id}", responses={304: {"description": "It is as the given ETag says"}})
async def api_show(
    services: Parts,
    caller: Caller,
    request_id: RequestId,
    response: Response,
    if_none_match: Annotated[str, Header(max_length=200)] = "",
) -> RequestReply:
    """One request with its digest: what to show, and what a decision on it must carry.

    The answer's `ETag` changes when anything in it does; sent back as `If-None-Match`, it costs an empty 304.
    """
    async with services.database.tenant(caller.tenant) as cursor:
        request = await find_request(cursor, caller.tenant, request_id)
        if request is None:
            raise HTTPException(404, "There is no such request.")
        votes = await votes_on(cursor, caller.tenant, request_id)
        basis = request.read_basis if Verdict.EDIT in request.opened().choices else None
        schema = await find_schema(cursor, caller.tenant, basis.schema_digest) if basis else None
        if isinstance(caller, Visitor):
            await note_views(cursor, caller.tenant, [request_id], caller.session.person)
    is_over = request.state == "open" and request.expires_at <= request.read_at
    reply = RequestReply(
        request_id=request.request_id,
        run_id=request.run_id,
        state="expired" if is_over else request.state,
        tier=request.tier,
        digest=request.digest,
        requirement=request.requirement,
        interested=request.interested,
        opened_at=request.opened_at,
        sla_at=request.sla_at,
        expires_at=request.expires_at,
        escalations=request.opened().escalations,
        choices=request.opened().choices,
        arguments_schema=schema,
        view=ApprovalView.model_validate_json(request.view) if request.is_intact() else None,
        view_text=request.view,
        basis_text=request.basis,
        votes=tuple(_line(vote) for vote in votes),
    )
    tag = f'"{hashlib.sha256(reply.model_dump_json().encode()).hexdigest()[:32]}"'
    if tag in if_none_match.replace("W/", "").replace(" ", "").split(","):
        raise HTTPException(304, headers={"etag": tag})
    response.headers["etag"] = tag
    return reply


@router.get("/approvals/{request_id}/seen")
async def api_seen(services: Parts, caller: Caller, request_id: RequestId) -> SeenReply:
    """The pages on which people decided in a browser, byte for byte as they saw them, without what moves."""
    async with services.database.tenant(caller.tenant) as cursor:
        if await find_request(cursor, caller.tenant, request_id) is None:
            raise HTTPException(404, "There is no such request.")
        return SeenReply(pages=await seen_pages(cursor, caller.tenant, request_id))


@router.post("/approvals/{request_id}/decision")
async def api_decide(
    services: Parts,
    caller: Decider,
    request_id: RequestId,
    body: Annotated[Decide, Body(openapi_examples=_DECISIONS)],
) -> DecisionReply:
    """Decide what the digest says, as the person who signed in. A refusal is an answer, not an error of the request.

    Sent again it changes nothing: the first vote stands. Machines' tokens are refused.
    """
    outcome = await decide(services, caller, request_id, body, sight=None)
    return _reply(outcome, f"{services.passkeys.web_url}/requests/{request_id}")


_ONLY_ON_OUR_PAGE = (VoteRefusal.PASSKEY_MISSING, VoteRefusal.STALE_SIGN_IN)
"""A passkey answers a browser on our own page alone, and there a person can sign in anew without losing the request."""


def _reply(outcome: Outcome, page: str) -> DecisionReply:
    match outcome:
        case Decided(vote=vote, tested=tested):
            message = tested or _message(vote)
            return DecisionReply(outcome="decided", vote=_line(vote), refusal=vote.refusal, message=message)
        case Stands(vote=vote):
            return DecisionReply(outcome="stands", vote=_line(vote), message="You had decided this before.")
        case NotCast(refusal=refusal):
            more = f" Open {page}" if refusal in _ONLY_ON_OUR_PAGE else ""
            return DecisionReply(outcome="refused", refusal=refusal, message=REFUSALS[refusal] + more)
        case Unusable(problems=problems):
            message = "The edited arguments cannot be asked. Nothing was signed."
            return DecisionReply(outcome="unusable", message=message, problems=problems)
        case Forbidden():
            return DecisionReply(outcome="forbidden", message=_FORBIDDEN)
        case NoSuchRequest():
            raise HTTPException(404, "There is no such request.")


def _message(vote: StoredVote) -> str:
    return REFUSALS[vote.refusal] if vote.refusal else ""


def _line(vote: StoredVote) -> VoteLine:
    return VoteLine(**{name: getattr(vote, name) for name in VoteLine.model_fields})
