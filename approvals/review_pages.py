"""Review after the fact, for people: the queue of drawn effects, one of them, and how people decide."""

import json
import logging
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.review_words import CONCERNS, LABELS
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.words import amount, at, duration
from contracts.review import ReviewLabel
from settings.reviews import TenantReviews, load_reviews
from store.decoys import list_decoys
from store.doubts import EffectPlace
from store.packet_ratings import packet_report
from store.reviewers import By, concerns_of, figures
from store.reviews import Chosen, Label, Labelled, NotLabelled, find_review, list_reviews, write_label

__all__ = ["router"]

RunIdPath = Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")]
Number = Annotated[int, Path(ge=0, le=100_000)]
Days = Annotated[int, Query(ge=1, le=365)]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Reviewer = Annotated[Visitor, Depends(PostNeeds("approve"))]
Operator = Annotated[Visitor, Depends(PageNeeds("administer"))]
_STATUS = {"absent": 404, "labelled": 409, "barred": 403, "note": 422, "expected": 422}
_LOG = logging.getLogger("approvals")

router = APIRouter(include_in_schema=False)


@router.get("/reviews")
async def reviews_page(services: Parts, visitor: Viewer, label: Chosen = "waiting") -> Response:
    """The queue, or what was said of those that are done."""
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await list_reviews(cursor, visitor.tenant, label=label)
    values = {
        "visitor": visitor,
        "label": label,
        "labels": LABELS,
        "found": found,
        "sees_figures": "administer" in visitor.session.roles,
        "amount": amount,
        "duration": duration,
    }
    return services.assets.page("reviews.html", values)


@router.get("/reviews/{run_id}/{step}/{call}")
async def review_page(services: Parts, visitor: Viewer, run_id: RunIdPath, step: Number, call: Number) -> Response:
    """One drawn effect: what was done, for whom, what came of it, and the form that labels it."""
    return await _review(services, visitor, EffectPlace(visitor.tenant, run_id, step, call))


@router.post("/reviews/{run_id}/{step}/{call}/label")
async def post_label(
    services: Parts,
    visitor: Reviewer,
    run_id: RunIdPath,
    step: Number,
    call: Number,
    label: Annotated[ReviewLabel, Form()],
    note: Annotated[str, Form(max_length=8_000)] = "",
    expected: Annotated[str, Form(max_length=8_000)] = "",
) -> Response:
    """Label it. The answer is the effect's own page, so that reloading it posts nothing."""
    place = EffectPlace(visitor.tenant, run_id, step, call)
    typed = {"label": label, "note": note, "expected": expected}
    try:
        said = Label.model_validate(typed)
    except ValidationError:
        problem = "What you wrote is too long or has characters that cannot be kept: at most 2,000 characters of text."
        return await _review(services, visitor, place, problem=problem, typed=typed, status=422)
    session = visitor.session
    async with services.database.tenant(visitor.tenant) as cursor:
        done = await write_label(
            cursor, place, said, person=session.person, username=session.username, groups=session.groups
        )
    match done:
        case Labelled():
            return RedirectResponse(f"/reviews/{place}", 303)
        case NotLabelled(code="absent"):
            raise HTTPException(404)
        case NotLabelled(why=why, code=code):
            return await _review(services, visitor, place, problem=why, typed=typed, status=_STATUS[code])


@router.get("/reviewers")
async def reviewers_page(services: Parts, visitor: Operator, by: By = "person", days: Days = 30) -> Response:
    """How people decide: for those who run the installation. Every look is logged."""
    _LOG.info("figures by %s read by %s of %s", by, visitor.session.username, visitor.tenant)
    reviews = _settings(services, visitor)
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await figures(cursor, visitor.tenant, by=by, days=days, quick_s=reviews.watch.quick_s)
        decoys = await list_decoys(cursor, visitor.tenant, limit=50)
        packets = await packet_report(cursor, visitor.tenant, days)
    values = {
        **_common(visitor, reviews, days),
        "by": by,
        "found": [(one, concerns_of(one, reviews.watch) if by == "person" else ()) for one in found],
        "decoys": decoys,
        "packets": packets,
    }
    return services.assets.page("reviewers.html", values)


@router.get("/reviewers/mine")
async def mine_page(services: Parts, visitor: Viewer, days: Days = 30) -> Response:
    """The reader's own figures, and what is said to everybody about test requests."""
    reviews = _settings(services, visitor)
    person = visitor.session.person
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await figures(cursor, visitor.tenant, days=days, quick_s=reviews.watch.quick_s, only=person)
    values = {
        **_common(visitor, reviews, days),
        "mine": found[0] if found else None,
        "is_tested": bool(set(reviews.tests) & set(visitor.session.groups)),
    }
    return services.assets.page("reviewers_mine.html", values)


def _settings(services: Services, visitor: Visitor) -> TenantReviews:
    return load_reviews(services.reviews_file).tenant(visitor.tenant)


def _common(visitor: Visitor, reviews: TenantReviews, days: int) -> dict[str, object]:
    return {
        "visitor": visitor,
        "days": days,
        "watch": reviews.watch,
        "concerns": CONCERNS,
        "at": at,
        "span": _span,
    }


def _span(seconds: int) -> str:
    return duration(timedelta(seconds=seconds))


async def _review(
    services: Services, visitor: Visitor, place: EffectPlace, *, problem: str = "", status: int = 200,
    typed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    async with services.database.tenant(visitor.tenant) as cursor:
        review = await find_review(cursor, place)
    if review is None:
        raise HTTPException(404)
    session = visitor.session
    names = {name.casefold() for name in (session.person, session.username, *session.groups)}
    values = {
        "visitor": visitor,
        "review": review,
        "labels": LABELS,
        "arguments": json.loads(review.arguments),
        "output": json.loads(review.output) if review.output else None,
        "may_label": not review.label and "approve" in session.roles,
        "is_barred": bool(names & {name.casefold() for name in review.barred}),
        "problem": problem,
        "typed": typed or {"label": "", "note": "", "expected": ""},
        "amount": amount,
        "at": at,
        "duration": duration,
    }
    return services.assets.page("review.html", values, status)
