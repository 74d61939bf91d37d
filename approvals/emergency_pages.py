"""The page of emergencies: what is lifted now, by whom and until when; approve, end, review."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from starlette.responses import RedirectResponse, Response
from temporalio.service import RPCError

from approvals.emergencies import approve_with_timer
from approvals.forms import sign_in_again
from approvals.proof import unproven
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.words import at
from settings import SettingsError
from store.emergencies import NotAllowed, end_emergency, list_emergencies, review_emergency

__all__ = ["router"]

EmergencyId = Annotated[str, Path(pattern=r"^emg-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Approving = Annotated[Visitor, Depends(PostNeeds("approve"))]
Stopping = Annotated[Visitor, Depends(PostNeeds("kill"))]

router = APIRouter(include_in_schema=False)


@router.get("/emergencies")
async def emergencies_page(services: Parts, visitor: Viewer) -> Response:
    """All of them, the newest first."""
    return await _page(services, visitor)


@router.post("/emergencies/{emergency_id}/approval")
async def post_approval(services: Parts, visitor: Approving, emergency_id: EmergencyId) -> Response:
    """Approve one; the second person's approval opens it."""
    session = visitor.session
    lacking = await unproven(services.database, visitor)
    if lacking:
        return await _page(services, visitor, problem=f"Not approved. {lacking}", status=403)
    try:
        await approve_with_timer(
            services.database, visitor.tenant, emergency_id, username=session.username, person=session.person,
            start=services.runs.watch_emergency,
        )  # fmt: skip
    except NotAllowed as refusal:
        return await _page(services, visitor, problem=f"Not approved: {refusal}.")
    except (RPCError, SettingsError, OSError, RuntimeError):  # the SDK's word for "cannot connect" is RuntimeError
        return await _page(services, visitor, problem="Not approved: Temporal does not answer. Try again in a minute.")
    return RedirectResponse("/emergencies", 303)


@router.post("/emergencies/{emergency_id}/end")
async def post_end(services: Parts, visitor: Stopping, emergency_id: EmergencyId) -> Response:
    """End it before its time."""
    async with services.database.tenant(visitor.tenant) as cursor:
        await end_emergency(cursor, visitor.tenant, emergency_id, person=visitor.session.person)
    return RedirectResponse("/emergencies", 303)


@router.post("/emergencies/{emergency_id}/review")
async def post_review(
    services: Parts,
    visitor: Approving,
    emergency_id: EmergencyId,
    note: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Close its review."""
    person, words = visitor.session.person, note.replace("\0", "")
    lacking = await unproven(services.database, visitor)
    if lacking:
        return await _page(services, visitor, problem=f"Not reviewed. {lacking}", status=403)
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            await review_emergency(cursor, visitor.tenant, emergency_id, person=person, note=words)
    except NotAllowed as refusal:
        return await _page(services, visitor, problem=f"Not reviewed: {refusal}.")
    return RedirectResponse("/emergencies", 303)


async def _page(services: Services, visitor: Visitor, *, problem: str = "", status: int = 409) -> Response:
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await list_emergencies(cursor, visitor.tenant, every=True)
    roles = visitor.session.roles
    values = {
        "visitor": visitor,
        "found": found,
        "problem": problem,
        "may_approve": "approve" in roles,
        "may_end": "kill" in roles,
        "lacking": await unproven(services.database, visitor),
        "again": sign_in_again(visitor.session, "/emergencies"),
        "at": at,
    }
    return services.assets.page("emergencies.html", values, status if problem else 200)
