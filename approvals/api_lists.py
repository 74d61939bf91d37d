"""Lists as JSON: requests, how many wait, and what people decided. The same filters and pages as the inbox."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException

from approvals.list_filters import DecisionFilter, RequestFilter
from approvals.machines import Machine
from approvals.roles import ApiOpenTo
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from store.approval_lists import Counts, RequestPage, count_open, list_requests
from store.vote_lists import DecisionPage, list_decisions

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
Caller = Annotated[Visitor | Machine, Depends(ApiOpenTo("view", "requests:read"))]

router = APIRouter(prefix="/api", tags=["requests"])


@router.get("/approvals", responses={400: {}})
async def api_list(services: Parts, caller: Caller, asked: Annotated[RequestFilter, Query()]) -> RequestPage:
    """Requests, page by page. To a machine nothing is `mine` or of its groups: it asks for `all`."""
    try:
        async with services.database.tenant(caller.tenant) as cursor:
            return await list_requests(cursor, caller.tenant, asked.query(caller.reader))
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


@router.get("/counts")
async def api_counts(services: Parts, caller: Caller) -> Counts:
    """Open requests: yours to decide, your groups', all. Each is counted to 1,000; 1,001 means more."""
    async with services.database.tenant(caller.tenant) as cursor:
        return await count_open(cursor, caller.tenant, caller.reader)


@router.get("/decisions", responses={400: {}})
async def api_decisions(services: Parts, caller: Caller, asked: Annotated[DecisionFilter, Query()]) -> DecisionPage:
    """What people decided, newest first."""
    query = asked.query(caller.reader.person)
    if query is None:
        return DecisionPage(lines=(), next="")
    try:
        async with services.database.tenant(caller.tenant) as cursor:
            return await list_decisions(cursor, caller.tenant, query)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
