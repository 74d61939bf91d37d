"""What somebody who had to go on says of the packet that a run left them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.roles import PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from store.packet_ratings import PacketRating, Usefulness, rate_packet

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.post("/runs/{run_id}/rating")
async def post_rating(
    services: Annotated[Services, Depends(services_of)],
    visitor: Annotated[Visitor, Depends(PostNeeds("approve"))],
    run_id: Annotated[str, Path(pattern=r"^run-[a-z2-7]{26}$")],
    useful: Annotated[Usefulness, Form()],
    minutes_saved: Annotated[int, Form(ge=0, le=1_440)] = 0,
    note: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Rate it, or change what one said before."""
    person = visitor.session.person
    try:
        rating = PacketRating(useful=useful, minutes_saved=minutes_saved, note=note, person=person)
    except ValidationError:
        raise HTTPException(422, "The note has characters that cannot be kept.") from None
    async with services.database.tenant(visitor.tenant) as cursor:
        if not await rate_packet(cursor, visitor.tenant, run_id, rating):
            raise HTTPException(404)
    return RedirectResponse(f"/runs/{run_id}", 303)
