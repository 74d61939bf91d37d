"""The page of delegations: who is away, who decides meanwhile; name a delegate, or end it. And the list as JSON."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from approvals.roles import ApiNeeds, PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import DelegationList
from approvals.words import at
from contracts.delegation import NewDelegation
from store.accounts import list_accounts
from store.delegations import MAX_DAYS, NotDelegated, add_delegation, end_delegation, list_delegations

__all__ = ["api", "pages"]

DelegationId = Annotated[str, Path(pattern=r"^dlg-[a-z2-7]{26}$")]
UserField = Annotated[str, Form(max_length=127)]
ReasonField = Annotated[str, Form(max_length=500)]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Approver = Annotated[Visitor, Depends(PostNeeds("approve"))]
Administrator = Annotated[Visitor, Depends(PostNeeds("administer"))]
Anybody = Annotated[Visitor, Depends(PostNeeds(None))]
Caller = Annotated[Visitor, Depends(ApiNeeds("view"))]

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["requests"])


@api.get("/delegations")
async def api_delegations(services: Parts, caller: Caller) -> DelegationList:
    """Who decides for whom, now or soon."""
    async with services.database.tenant(caller.tenant) as cursor:
        return DelegationList(delegations=await list_delegations(cursor, caller.tenant))


@pages.get("/delegations")
async def delegations_page(
    services: Parts,
    visitor: Viewer,
    past: Annotated[bool, Query()] = False,  # noqa: FBT002 - a field of the address, never passed by position
) -> Response:
    """Everybody's: who decides for whom is no secret."""
    return await _page(services, visitor, past=past)


@pages.post("/delegations")
async def post_delegation(
    services: Parts,
    visitor: Approver,
    delegate: UserField,
    last_day: Annotated[date, Form()],
    first_day: Annotated[date | None, Form()] = None,
    reason: ReasonField = "",
) -> Response:
    """Name who decides for oneself."""
    return await _add(services, visitor, visitor.session.username, delegate, (first_day, last_day), reason)


@pages.post("/delegations/of-others")
async def post_delegation_of_others(
    services: Parts,
    visitor: Administrator,
    approver: UserField,
    delegate: UserField,
    last_day: Annotated[date, Form()],
    first_day: Annotated[date | None, Form()] = None,
    reason: ReasonField = "",
) -> Response:
    """Name who decides for somebody who could not do it before they went."""
    return await _add(services, visitor, approver, delegate, (first_day, last_day), reason, administers=True)


@pages.post("/delegations/{delegation_id}/end")
async def post_end(services: Parts, visitor: Anybody, delegation_id: DelegationId) -> Response:
    """End one: the approver, the delegate, or an administrator."""
    session = visitor.session
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            await end_delegation(
                cursor, visitor.tenant, delegation_id, account=session.username, person=session.person,
                administers="administer" in session.roles,
            )  # fmt: skip
    except NotDelegated as refusal:
        return await _page(services, visitor, problem=f"Not ended: {refusal}.")
    return RedirectResponse("/delegations", 303)


async def _add(
    services: Services,
    visitor: Visitor,
    approver: str,
    delegate: str,
    days: tuple[date | None, date],
    reason: str,
    *,
    administers: bool = False,
) -> Response:
    first, last = days
    try:
        new = NewDelegation(
            approver=approver.strip().lower(),
            delegate=delegate.strip().lower(),
            from_at=datetime.combine(first, time(), UTC) if first else None,
            until_at=datetime.combine(last, time(), UTC) + timedelta(days=1),
            reason=reason,
        )
        async with services.database.tenant(visitor.tenant) as cursor:
            await add_delegation(cursor, visitor.tenant, new, by=visitor.session.person, administers=administers)
    except NotDelegated as refusal:
        return await _page(services, visitor, problem=f"Not named: {refusal}.")
    except (ValidationError, OverflowError):
        return await _page(services, visitor, problem="Not named: say who, until when and why.")
    return RedirectResponse("/delegations", 303)


async def _page(services: Services, visitor: Visitor, *, past: bool = False, problem: str = "") -> Response:
    session = visitor.session
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await list_delegations(cursor, visitor.tenant, past=past)
        accounts = await list_accounts(cursor, visitor.tenant)
    values = {
        "visitor": visitor,
        "found": found,
        "past": past,
        "problem": problem,
        "approvers": [one for one in accounts if not one.disabled and "approve" in one.roles],
        "may_approve": "approve" in session.roles,
        "administers": "administer" in session.roles,
        "today": datetime.now(UTC).date(),
        "most_days": MAX_DAYS,
        "at": at,
    }
    return services.assets.page("delegations.html", values, 409 if problem else 200)
