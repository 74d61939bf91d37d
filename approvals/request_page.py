"""The page of one request: what is bound by a decision, and beside it what moves."""

from urllib.parse import urlencode

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.budget import BudgetLine, budget_lines
from approvals.presenting import RequestView, present
from approvals.services import Services
from approvals.visitors import Visitor
from approvals.words import DID, REFUSALS
from contracts.limits import RAISE_TOOL
from policy.votes import sign_in_refusal
from store.accounts import LOCAL_ISSUER
from store.approvals import find_request
from store.attention import note_views
from store.budgets import budgets_of
from store.decoy_runs import stand_in
from store.decoys import find_decoy
from store.earlier import earlier_requests
from store.sessions import StoredSession
from store.votes import votes_on

__all__ = ["request_page"]


def _sign_in_again(session: StoredSession, here: str) -> str:
    """Where this person proves anew who they are, and comes back."""
    if session.issuer == LOCAL_ISSUER:
        return f"/sign-in?{urlencode({'next': here})}"
    return f"/sign-in/with/{session.tenant}?{urlencode({'next': here, 'again': 'true'})}"


async def request_page(
    services: Services,
    visitor: Visitor,
    request_id: str,
    *,
    problem: str = "",
    reason: str = "",
    is_stale: bool = False,
    whole: bool = False,
    status: int = 200,
) -> Response:
    """The page, with what is wrong with what was posted."""
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        if request is None:
            raise HTTPException(404)
        votes = await votes_on(cursor, visitor.tenant, request_id)
        await note_views(cursor, visitor.tenant, [request_id], visitor.session.person)
        # Only of what is over: a test request that waits is treated as any other.
        decoy = await find_decoy(cursor, visitor.tenant, request_id) if request.state == "voided" else None
        earlier = await earlier_requests(cursor, request)
        page = present(request, votes, now=request.read_at)
        budget = await _budget(cursor, services, page)
    session = visitor.session
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
        "decoy": decoy,
        "refusals": REFUSALS,
        "did": DID,
        "whole": whole,
        "earlier": earlier,
        "budget": budget,
        "is_stale": is_stale or weak is not None,
        "weak": REFUSALS[weak] if weak else "",
        "is_interested": bool({session.person.casefold(), session.username.casefold()} & names),
        "is_member": any(need.group in session.groups for need in request.requirement.needs),
        "may_approve": "approve" in session.roles,
        "again": _sign_in_again(session, f"/requests/{request_id}"),
    }
    return services.assets.page("request.html", values, status)


async def _budget(cursor: AsyncCursor[DictRow], services: Services, page: RequestView) -> tuple[BudgetLine, ...]:
    view = page.view
    if view is None or view.tool == RAISE_TOOL:  # a raise is no call, and changes what it would be measured by
        return ()
    limits = services.limits.current().tenant(view.tenant)
    now = await budgets_of(cursor, tenant=view.tenant, run_id=view.run_id, tool=view.tool, zone=limits.timezone)
    if now is None and (real := await stand_in(cursor, view.tenant, view.run_id)) is not None:
        now = await budgets_of(cursor, tenant=view.tenant, run_id=real.run_id, tool=view.tool, zone=limits.timezone)
    if now is None:
        return ()
    return budget_lines(now, limits, tool=view.tool, money_minor=view.money_minor, currency=view.currency)
