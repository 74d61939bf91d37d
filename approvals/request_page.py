"""The page of one request: what is bound by a decision, and beside it what moves."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from starlette.exceptions import HTTPException
from starlette.responses import Response

from approvals.aftermath import aftermath_of
from approvals.budget import BudgetLine, budget_lines
from approvals.delegates import places_for
from approvals.forms import sign_in_again
from approvals.passkey_proofs import signing
from approvals.presenting import RequestView, present
from approvals.seen import seen_digest
from approvals.services import Services
from approvals.standing import unbounded_argument
from approvals.timetable import first_chance, timetable
from approvals.visitors import Visitor
from approvals.words import DID, REFUSALS
from contracts.limits import RAISE_TOOL
from contracts.vote import Verdict
from policy.votes import is_co_author, sign_in_refusal
from settings.logs import note
from store.approvals import StoredRequest, find_request
from store.attention import note_views
from store.budgets import budgets_of
from store.decoy_runs import stand_in
from store.decoys import find_decoy
from store.earlier import EarlierRequest, earlier_requests
from store.revisions import following_request
from store.switches import halted_by
from store.votes import StoredVote, votes_on

__all__ = ["Draft", "request_page"]


@dataclass(frozen=True)
class Draft:
    """What was posted and not taken: the form that it came from keeps it."""

    verdict: str = ""
    reason: str = ""
    delegation: str = ""


NO_DRAFT = Draft()


async def request_page(
    services: Services,
    visitor: Visitor,
    request_id: str,
    *,
    problem: str = "",
    draft: Draft = NO_DRAFT,
    is_stale: bool = False,
    whole: bool = False,
    status: int = 200,
) -> Response:
    """The page, with what is wrong with what was posted."""
    async with services.database.tenant(visitor.tenant) as cursor:
        request = await find_request(cursor, visitor.tenant, request_id)
        if request is None:
            raise HTTPException(404)
        note(run=request.run_id)
        votes = await votes_on(cursor, visitor.tenant, request_id)
        await note_views(cursor, visitor.tenant, [request_id], visitor.session.person)
        # Only of what is over: a test request that waits is treated as any other.
        decoy = await find_decoy(cursor, visitor.tenant, request_id) if request.state == "voided" else None
        earlier = await earlier_requests(cursor, request)
        page = present(request, votes, now=request.read_at)
        sign = await signing(cursor, services.passkeys, visitor.session, request.tier)
        budget = await _budget(cursor, services, page)
        aftermath = await aftermath_of(cursor, request)
        halted = await _halted(cursor, request)
        places = await places_for(cursor, visitor.session, request)
        following = await following_request(cursor, visitor.tenant, request_id) if request.state == "voided" else None
    session, opened = visitor.session, request.opened()
    signed_in_s = (request.read_at - session.authenticated_at).total_seconds()
    strength = "multi_factor" if session.multi_factor else "password"
    weak = sign_in_refusal(request.tier, signed_in_s, session.issuer, strength)
    mine = next((vote for vote in reversed(votes) if vote.person == session.person), None)
    deputy = next((vote for vote in votes if vote.for_person == session.person and vote.state != "refused"), None)
    names = {name.casefold() for name in request.interested}
    values = {
        "visitor": visitor,
        "page": page,
        "problem": problem,
        "reason": draft.reason,
        "said": draft.verdict,
        "delegation": draft.delegation,
        "choices": opened.choices,
        "is_author": is_co_author(opened, (session.person,)),
        "ending": _ending(request, votes),
        "following": following,
        "mine": mine,
        "decoy": decoy,
        "refusals": REFUSALS,
        "did": DID,
        "whole": whole,
        "earlier": _unsaid(earlier, page),
        "budget": budget,
        "aftermath": aftermath,
        "halted": halted,
        "sign": sign,
        "is_stale": is_stale or weak is not None,
        "weak": REFUSALS[weak] if weak else "",
        "is_interested": bool({session.person.casefold(), session.username.casefold(), *session.groups} & names),
        "is_member": bool(places) and deputy is None,
        "places": places,
        "deputy": deputy,
        "moments": timetable(opened.escalations, sla_at=request.sla_at, now=request.read_at),
        "later": first_chance(opened.escalations, session.groups, now=request.read_at),
        "may_approve": "approve" in session.roles,
        "may_stand": _may_stand(page),
        "seen": seen_digest(services.assets, request) if request.state == "open" else "",
        "again": sign_in_again(session, f"/requests/{request_id}"),
    }
    return services.assets.page("request.html", values, status)


def _ending(request: StoredRequest, votes: Sequence[StoredVote]) -> StoredVote | None:
    """The vote that ended a voided request, if one did."""
    others = (Verdict.APPROVE, Verdict.DENY)
    found = [vote for vote in votes if vote.state == "accepted" and vote.verdict not in others]
    return found[0] if found and request.state == "voided" else None


def _may_stand(page: RequestView) -> bool:
    """Whether calls like it could be approved beforehand, as far as it says itself; scopes are looked at when asked."""
    view = page.view
    return view is not None and view.tool != RAISE_TOOL and unbounded_argument(view) is None


def _unsaid(earlier: Sequence[EarlierRequest], page: RequestView) -> tuple[EarlierRequest, ...]:
    """Those that the view itself does not tell of: what is bound by the decision is shown once."""
    told = {one.request_id for one in page.view.earlier} if page.view else set[str]()
    return tuple(one for one in earlier if one.request_id not in told)


async def _halted(cursor: AsyncCursor[DictRow], request: StoredRequest) -> str:
    if request.state != "open":
        return ""
    place = {"run_id": request.run_id, "agent": request.agent, "tool": request.tool}
    return await halted_by(cursor, request.tenant, **place)


async def _budget(cursor: AsyncCursor[DictRow], services: Services, page: RequestView) -> tuple[BudgetLine, ...]:
    view = page.view
    # A raise is no call, and changes what it would be measured by; a call that was decided may have been counted since.
    if view is None or view.tool == RAISE_TOOL or page.state != "open":
        return ()
    limits = services.limits.current().tenant(view.tenant)
    now = await budgets_of(cursor, tenant=view.tenant, run_id=view.run_id, tool=view.tool, zone=limits.timezone)
    if now is None and (real := await stand_in(cursor, view.tenant, view.run_id)) is not None:
        now = await budgets_of(cursor, tenant=view.tenant, run_id=real.run_id, tool=view.tool, zone=limits.timezone)
    if now is None:
        return ()
    return budget_lines(now, limits, tool=view.tool, money_minor=view.money_minor, currency=view.currency)
