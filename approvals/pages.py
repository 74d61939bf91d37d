"""The page of one request, and the decision that its form posts."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.decide import Decided, Forbidden, NoSuchRequest, NotCast, Stands, Unusable, decide
from approvals.passkey_proofs import MAX_POSTED
from approvals.request_page import Draft, request_page
from approvals.roles import PageNeeds, PostNeeds
from approvals.seen import Sight, kept_answer, seen_page
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import Decide
from approvals.words import DID, REFUSALS
from contracts.vote import Verdict, VoteRefusal
from store.seen import seen_pages

__all__ = ["router"]

RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("view"))]
Poster = Annotated[Visitor, Depends(PostNeeds("approve"))]
_STATUS = {
    VoteRefusal.REASON_MISSING: 422,
    VoteRefusal.WRONG_DIGEST: 409,
    VoteRefusal.NOT_AS_SEEN: 409,
    VoteRefusal.REQUEST_CLOSED: 409,
}


@dataclass(frozen=True)
class Beside:
    """What a form holds beside the decision."""

    seen: Annotated[str, Form(max_length=8_000)] = ""
    """Digest of the page."""
    answer: Annotated[str, Form(max_length=MAX_POSTED)] = ""
    """What the person's passkey answered."""


router = APIRouter(include_in_schema=False)


@router.get("/")
async def start(_visitor: Reader) -> Response:
    """The inbox is the start page."""
    return RedirectResponse("/requests", 303)


@router.get("/requests/{request_id}")
async def show_request(
    services: Parts,
    visitor: Reader,
    request_id: RequestId,
    whole: Annotated[bool, Query()] = False,  # noqa: FBT002 - a field of the address, never passed by position
) -> Response:
    """One request, with the forms that decide it. `whole`: everything that folds is open, to be printed."""
    return await request_page(services, visitor, request_id, whole=whole)


@router.get("/requests/{request_id}/seen/{digest}")
async def show_seen(
    services: Parts, visitor: Reader, request_id: RequestId, digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
) -> Response:
    """The very page on which somebody decided, as it was kept with their vote."""
    async with services.database.tenant(visitor.tenant) as cursor:
        return kept_answer(await seen_pages(cursor, visitor.tenant, request_id), digest)


@router.post("/requests/{request_id}/decision")
async def post_decision(
    services: Parts,
    visitor: Poster,
    request_id: RequestId,
    verdict: Annotated[Verdict, Form()],
    digest: Annotated[str, Form(max_length=100)],
    beside: Annotated[Beside, Depends()],
    reason: Annotated[str, Form(max_length=8_000)] = "",
    delegation: Annotated[str, Form(max_length=40)] = "",
) -> Response:
    """Decide. The answer to a counted decision is the request's own page, so that reloading it posts nothing."""
    try:
        posted = Decide(verdict=verdict, digest=digest, reason=reason, delegation=delegation)
    except ValidationError:
        problem = "The reason is too long or has characters that cannot be kept: at most 2,000 characters of text."
        return await request_page(
            services, visitor, request_id, problem=problem, draft=Draft(verdict, reason, delegation), status=422
        )
    sight = Sight(beside.seen, partial(seen_page, services.assets))
    outcome = await decide(services, visitor, request_id, posted, sight, beside.answer)
    match outcome:
        case Decided():
            return RedirectResponse(f"/requests/{request_id}", 303)
        case Stands(vote=vote):
            if vote.verdict is verdict:
                return RedirectResponse(f"/requests/{request_id}", 303)
            problem = f"You had already {DID[vote.verdict]} this request. That decision stands."
            return await request_page(services, visitor, request_id, problem=problem, status=409)
        case NotCast(refusal=refusal):
            return await request_page(
                services,
                visitor,
                request_id,
                problem=REFUSALS[refusal],
                draft=Draft(verdict, posted.reason, delegation),
                is_stale=refusal in (VoteRefusal.STALE_SIGN_IN, VoteRefusal.WEAK_SIGN_IN),
                status=_STATUS.get(refusal, 403),
            )
        case Forbidden() | Unusable():
            problem = "Your account may look at requests, not decide them. Ask an administrator for the role approve."
            return await request_page(services, visitor, request_id, problem=problem, status=403)
        case NoSuchRequest():
            raise HTTPException(404)
