"""The page of one request, and the decision that its form posts."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.decide import Decide, Decided, Forbidden, NoSuchRequest, NotCast, Stands, decide
from approvals.presenting import present
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.words import REFUSALS
from contracts.vote import Verdict, VoteRefusal
from policy.votes import sign_in_refusal
from store.accounts import LOCAL_ISSUER
from store.approvals import find_request
from store.sessions import StoredSession
from store.votes import votes_on

__all__ = ["router"]

RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("view"))]
Poster = Annotated[Visitor, Depends(PostNeeds("approve"))]
_STATUS = {VoteRefusal.REASON_MISSING: 422, VoteRefusal.WRONG_DIGEST: 409, VoteRefusal.REQUEST_CLOSED: 409}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def start(_visitor: Reader) -> Response:
    """The inbox is the start page."""
    return RedirectResponse("/requests", 303)


@router.get("/requests/{request_id}")
async def show_request(services: Parts, visitor: Reader, request_id: RequestId) -> Response:
    """One request, whole, with the forms that decide it."""
    return await _request_page(services, visitor, request_id)


@router.post("/requests/{request_id}/decision")
async def post_decision(
    services: Parts,
    visitor: Poster,
    request_id: RequestId,
    verdict: Annotated[Verdict, Form()],
    digest: Annotated[str, Form(max_length=100)],
    reason: Annotated[str, Form(max_length=8_000)] = "",
) -> Response:
    """Decide. The answer to a counted decision is the request's own page, so that reloading it posts nothing."""
    try:
        posted = Decide(verdict=verdict, digest=digest, reason=reason)
    except ValidationError:
        problem = "The reason is too long or has characters that cannot be kept: at most 2,000 characters of text."
        return await _request_page(services, visitor, request_id, problem=problem, reason=reason, status=422)
    outcome = await decide(services, visitor, request_id, posted)
    match outcome:
        case Decided():
            return RedirectResponse(f"/requests/{request_id}", 303)
        case Stands(vote=vote):
            if vote.verdict is verdict:
                return RedirectResponse(f"/requests/{request_id}", 303)
            was = "approved" if vote.verdict is Verdict.APPROVE else "denied"
            problem = f"You had already {was} this request. That decision stands."
            return await _request_page(services, visitor, request_id, problem=problem, status=409)
        case NotCast(refusal=refusal):
            return await _request_page(
                services,
                visitor,
                request_id,
                problem=REFUSALS[refusal],
                reason=posted.reason,
                is_stale=refusal in (VoteRefusal.STALE_SIGN_IN, VoteRefusal.WEAK_SIGN_IN),
                status=_STATUS.get(refusal, 403),
            )
        case Forbidden():
            problem = "Your account may look at requests, not decide them. Ask an administrator for the role approve."
            return await _request_page(services, visitor, request_id, problem=problem, status=403)
        case NoSuchRequest():
            raise HTTPException(404)


def _sign_in_again(session: StoredSession, here: str) -> str:
    """Where this person proves anew who they are, and comes back."""
    if session.issuer == LOCAL_ISSUER:
        return f"/sign-in?{urlencode({'next': here})}"
    return f"/sign-in/with/{session.tenant}?{urlencode({'next': here, 'again': 'true'})}"


async def _request_page(
    services: Services,
    visitor: Visitor,
    request_id: str,
    *,
    problem: str = "",
    reason: str = "",
    is_stale: bool = False,
    status: int = 200,
) -> Response:
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        if request is None:
            raise HTTPException(404)
        votes = await votes_on(cursor, visitor.tenant, request_id)
    session = visitor.session
    page = present(request, votes, now=request.read_at)
    signed_in_s = (request.read_at - session.authenticated_at).total_seconds()
    strength = "multi_factor" if session.multi_factor else "password"
    weak = sign_in_refusal(request.tier, signed_in_s, session.issuer, strength)
    mine = next((vote for vote in reversed(votes) if vote.person == session.person), None)
    names = {name.casefold() for name in request.interested}
    values = {
        "visitor": visitor,
        "page": page,
        "problem": problem,
        "reason": reason,
        "mine": mine,
        "refusals": REFUSALS,
        "is_stale": is_stale or weak is not None,
        "weak": REFUSALS[weak] if weak else "",
        "is_interested": bool({session.person.casefold(), session.username.casefold()} & names),
        "is_member": any(need.group in session.groups for need in request.requirement.needs),
        "may_approve": "approve" in session.roles,
        "again": _sign_in_again(session, f"/requests/{request_id}"),
    }
    return services.assets.page("request.html", values, status)
