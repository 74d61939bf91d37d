"""The inbox, the requests that are over, and what people decided."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.list_filters import DecisionFilter, RequestFilter
from approvals.presenting import decision_line, inbox_line
from approvals.roles import PageNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from contracts.vote import Verdict
from store.approval_lists import MAX_FOUND, count_open, list_requests
from store.vote_lists import list_decisions
from store.waiting import waiting_beside

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds("view"))]
router = APIRouter(include_in_schema=False)


@router.get("/requests")
async def inbox(services: Parts, visitor: Reader, asked: Annotated[RequestFilter, Query()]) -> Response:
    """Requests: those that the reader may decide, those of their groups, all."""
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            page = await list_requests(cursor, visitor.tenant, asked.query(visitor.reader))
            counts = await count_open(cursor, visitor.tenant, visitor.reader) if asked.state == "open" else None
            beside = None
            if counts and asked.scope == "mine":
                own = visitor.reader.model_copy(update={"groups": visitor.session.groups})
                beside = await waiting_beside(cursor, visitor.tenant, own)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    now = datetime.now(UTC)
    chosen = asked.model_dump(include={"state", "scope", "sort", "search", "outcome"})
    values = {
        "visitor": visitor,
        **chosen,
        "counts": {name: _counted(number) for name, number in counts.model_dump().items()} if counts else {},
        "beside": beside,
        "lines": [inbox_line(line, now=now) for line in page.lines],
        "link": _Links("/requests", chosen),
        "next": page.next,
        "previous": page.previous,
        "is_cut": page.is_cut,
        "most": f"{MAX_FOUND:,}",
        "is_first": not asked.after and not asked.before,
    }
    return services.assets.page("inbox.html", values)


@router.get("/decisions")
async def decisions(services: Parts, visitor: Reader, asked: Annotated[DecisionFilter, Query()]) -> Response:
    """What people decided, newest first."""
    query = asked.query(visitor.session.person)
    assert query is not None  # noqa: S101 - a visitor is a person
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            page = await list_decisions(cursor, visitor.tenant, query)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    now = datetime.now(UTC)
    chosen = asked.model_dump(mode="json", include={"scope", "person", "verdict"})
    values = {
        "visitor": visitor,
        **chosen,
        "verdicts": list(Verdict),
        "lines": [decision_line(line, now=now) for line in page.lines],
        "link": _Links("/decisions", chosen),
        "next": page.next,
        "previous": page.previous,
        "is_first": not asked.after and not asked.before,
    }
    return services.assets.page("decisions.html", values)


class _Links:
    """Addresses of a list that keep what was chosen: `link(state="history")` changes one thing and drops the rest."""

    def __init__(self, path: str, chosen: Mapping[str, str]) -> None:
        self._path = path
        self._chosen = chosen

    def __call__(self, **changes: str) -> str:
        kept = {name: value for name, value in {**self._chosen, **changes}.items() if value}
        return f"{self._path}?{urlencode(kept)}"


def _counted(number: int) -> str:
    return f"{MAX_FOUND:,}+" if number > MAX_FOUND else f"{number:,}"
