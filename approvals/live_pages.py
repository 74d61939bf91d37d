"""The streams that open pages listen to: each for whoever may see the page."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from approvals.live import TooManyStreams
from approvals.roles import PageNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from store.approvals import find_request

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("view"))]
# Proxies must not wait for the end of an answer that has none.
_HEADERS = {"x-accel-buffering": "no"}

router = APIRouter(include_in_schema=False)


@router.get("/requests/live")
async def inbox_live(services: Parts, visitor: Reader) -> StreamingResponse:
    """Tells the inbox that a request of the tenant changed."""
    return _stream(services, visitor, "")


@router.get("/requests/{request_id}/live")
async def request_live(
    services: Parts, visitor: Reader, request_id: Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
) -> StreamingResponse:
    """Tells the page of a request that it changed, or that somebody decided."""
    async with services.database.tenant(visitor.tenant) as cursor:
        if await find_request(cursor, visitor.tenant, request_id) is None:
            raise HTTPException(404)
    return _stream(services, visitor, request_id)


def _stream(services: Services, visitor: Visitor, request_id: str) -> StreamingResponse:
    try:
        stream = services.live.open(visitor, request_id)
    except TooManyStreams:
        raise HTTPException(503, "Too many pages are open. This one works without news.") from None
    return StreamingResponse(services.live.serve(stream), media_type="text/event-stream", headers=_HEADERS)
