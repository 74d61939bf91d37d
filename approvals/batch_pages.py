"""The list of low-tier requests that a person may decide, with what is essential of each, decided in one submission."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from approvals.batch import NotAsSeen, TierTooHigh, decide_batch, in_words, read_choices, read_list
from approvals.batch_rows import MAX_ITEMS, MAX_TIER, batch_row, seen_batch_digest
from approvals.presenting import deadline_of
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.words import REFUSALS
from contracts.vote import VoteRefusal
from store.approval_lists import RequestQuery, list_requests
from store.approvals import find_requests
from store.attention import note_views

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]

router = APIRouter(include_in_schema=False)


@router.get("/requests/batch")
async def show_batch(services: Parts, visitor: Annotated[Visitor, Depends(PageNeeds("view"))]) -> Response:
    """Those of tiers up to `MAX_TIER` that the reader may decide, the next due first."""
    return await _page(services, visitor)


@router.post("/requests/batch")
async def post_batch(
    services: Parts, request: Request, visitor: Annotated[Visitor, Depends(PostNeeds("approve"))]
) -> Response:
    """Decide what was chosen. Sent again it decides nothing anew: each first decision stands."""
    form = await request.form()
    choices = read_choices(form)
    if isinstance(choices, str):
        return await _page(services, visitor, problem=choices, kept=form, status=422)
    if not choices:
        return await _page(services, visitor, problem="Nothing was chosen, so nothing was decided.", status=422)
    seen = str(form.get("seen", ""))
    decided = await decide_batch(services, visitor, choices, listed=read_list(form), seen=seen)
    if isinstance(decided, NotAsSeen):
        problem = REFUSALS[VoteRefusal.NOT_AS_SEEN]
        return await _page(services, visitor, problem=problem, kept=form, status=409)
    if isinstance(decided, TierTooHigh):
        problem = (
            f"Nothing was decided: {decided.request.request_id} has tier {decided.request.tier}. From tier "
            f"{MAX_TIER + 1} on each request is decided on its own page."
        )
        return await _page(services, visitor, problem=problem, kept=form, status=403)
    results = [(choice.request_id, *in_words(outcome)) for choice, outcome in decided]
    return await _page(services, visitor, results=results, status=200 if all(good for _, good, _ in results) else 409)


async def _page(
    services: Services,
    visitor: Visitor,
    *,
    problem: str = "",
    kept: Mapping[str, object] | None = None,
    results: list[tuple[str, bool, str]] | None = None,
    status: int = 200,
) -> Response:
    # In one's own name alone: whose place a delegate takes is said one request at a time.
    reader = visitor.reader.model_copy(update={"groups": visitor.session.groups})
    query = RequestQuery(reader=reader, scope="mine", max_tier=MAX_TIER, limit=MAX_ITEMS)
    async with services.database.tenant(visitor.tenant) as cursor:
        listed = await list_requests(cursor, visitor.tenant, query)
        ids = [line.request_id for line in listed.lines]
        requests = await find_requests(cursor, visitor.tenant, ids)
        await note_views(cursor, visitor.tenant, ids, visitor.session.person)
    values = {
        "visitor": visitor,
        "rows": [batch_row(services.assets, request) for request in requests],
        "deadlines": {one.request_id: deadline_of(one.expires_at, one.read_at) for one in requests},
        "seen": seen_batch_digest(services.assets, requests),
        "has_more": bool(listed.next),
        "problem": problem,
        "kept": kept or {},
        "results": results or [],
        "max_tier": MAX_TIER,
    }
    return services.assets.page("batch.html", values, status)
