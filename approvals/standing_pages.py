"""Pages of standing approvals: what they hold for, the decision about one, each use, taking it back. And as JSON."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Form, Path, Query
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from approvals.forms import sign_in_again
from approvals.passkey_proofs import MAX_POSTED, signing
from approvals.roles import ApiNeeds, PageNeeds, PostNeeds
from approvals.seen import SightOf, kept_answer, seen_standing
from approvals.services import Services, services_of
from approvals.standing import decide_standing
from approvals.standing_words import StandingView, standing_view
from approvals.visitors import Visitor
from approvals.wire import DecideStanding, StandingReply
from approvals.words import REFUSALS, amount, at
from contracts.base import Record
from contracts.canonical import digest_bytes
from contracts.vote import Verdict, VoteRefusal
from policy.votes import sign_in_refusal
from store.seen import standing_pages
from store.standing import (
    StandingNotAllowed,
    StandingShown,
    StandingUsed,
    find_standing,
    list_standing,
    revoke_standing,
    uses_of,
    votes_for,
)

__all__ = ["StandingList", "api", "pages"]

StandingIdPath = Annotated[str, Path(pattern=r"^sta-[a-z2-7]{26}$")]
ReasonField = Annotated[str, Form(max_length=8_000)]
Parts = Annotated[Services, Depends(services_of)]
Viewer = Annotated[Visitor, Depends(PageNeeds("view"))]
Poster = Annotated[Visitor, Depends(PostNeeds("approve"))]
Caller = Annotated[Visitor, Depends(ApiNeeds("view"))]
Decider = Annotated[Visitor, Depends(ApiNeeds("approve"))]
Stopper = Annotated[Visitor, Depends(PostNeeds("approve", "kill"))]
_TIER = 4

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["standing approvals"])


class StandingList(Record):
    """Standing approvals, the newest first."""

    standing: tuple[StandingView, ...]


@api.get("/standing")
async def api_list(
    services: Parts,
    caller: Caller,
    every: Annotated[bool, Query()] = False,  # noqa: FBT002 - a field of the address, never passed by position
) -> StandingList:
    """Those that hold or wait for people; with `every` those that are over, too."""
    async with services.database.tenant(caller.tenant) as cursor:
        found = await list_standing(cursor, caller.tenant, every=every)
    return StandingList(standing=tuple(standing_view(one) for one in found))


@api.get("/standing/{standing_id}")
async def api_show(services: Parts, caller: Caller, standing_id: StandingIdPath) -> StandingReply:
    """One of them, with the digest that a decision must carry."""
    view, uses = await _read(services, caller, standing_id)
    return StandingReply(view=view, uses=uses)


@api.post("/standing/{standing_id}/decision")
async def api_decide(
    services: Parts, caller: Decider, standing_id: StandingIdPath, body: Annotated[DecideStanding, Body()]
) -> StandingReply:
    """Decide what the digest says, as the person who signed in. A refusal is an answer; nothing was signed then."""
    refusal = await _decided(services, caller, standing_id, body)
    view, uses = await _read(services, caller, standing_id)
    message = REFUSALS[refusal] if refusal else ""
    if refusal is VoteRefusal.PASSKEY_MISSING:
        message += f" Open {services.passkeys.web_url}/standing/{standing_id}"
    return StandingReply(view=view, uses=uses, refusal=refusal, message=message)


@pages.get("/standing")
async def standing_list(
    services: Parts,
    visitor: Viewer,
    every: Annotated[bool, Query()] = False,  # noqa: FBT002 - a field of the address, never passed by position
) -> Response:
    """All that hold or wait for people."""
    async with services.database.tenant(visitor.tenant) as cursor:
        found = [standing_view(one) for one in await list_standing(cursor, visitor.tenant, every=every)]
    return services.assets.page("standing_list.html", {"visitor": visitor, "found": found, "every": every})


@pages.get("/standing/{standing_id}")
async def show_standing(services: Parts, visitor: Viewer, standing_id: StandingIdPath) -> Response:
    """What it holds for, who said what, and each use."""
    return await _page(services, visitor, standing_id)


@pages.get("/standing/{standing_id}/seen/{digest}")
async def show_seen(
    services: Parts,
    visitor: Viewer,
    standing_id: StandingIdPath,
    digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
) -> Response:
    """The very page on which somebody decided, as it was kept with their vote."""
    async with services.database.tenant(visitor.tenant) as cursor:
        return kept_answer(await standing_pages(cursor, visitor.tenant, standing_id), digest)


@pages.post("/standing/{standing_id}/decision")
async def post_decision(
    services: Parts,
    visitor: Poster,
    standing_id: StandingIdPath,
    verdict: Annotated[Verdict, Form()],
    digest: Annotated[str, Form(max_length=100)],
    reason: ReasonField = "",
    seen: Annotated[str, Form(max_length=100)] = "",
    answer: Annotated[str, Form(max_length=MAX_POSTED)] = "",
) -> Response:
    """Decide about it."""
    try:
        posted = DecideStanding.model_validate({"verdict": verdict, "digest": digest, "reason": reason})
    except ValidationError:
        problem = "The reason is too long or has characters that cannot be kept: at most 2,000 characters of text."
        return await _page(services, visitor, standing_id, problem=problem, status=422)
    sight = SightOf(seen, partial(seen_standing, services.assets))
    refusal = await _decided(services, visitor, standing_id, posted, sight, answer)
    if refusal is None:
        return RedirectResponse(f"/standing/{standing_id}", 303)
    return await _page(services, visitor, standing_id, problem=REFUSALS[refusal], status=409)


@pages.post("/standing/{standing_id}/revocation")
async def post_revocation(
    services: Parts, visitor: Stopper, standing_id: StandingIdPath, reason: ReasonField = ""
) -> Response:
    """Take it back, from now on: stopping is always safe, so whoever may decide or stop may do it."""
    words = reason.replace("\0", "")[:2_000]
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            await revoke_standing(cursor, visitor.tenant, standing_id, person=visitor.session.person, reason=words)
    except StandingNotAllowed as refusal:
        problem = f"Not revoked: {refusal}."
        if "view" not in visitor.session.roles:
            raise HTTPException(409, problem) from None
        return await _page(services, visitor, standing_id, problem=problem, status=409)
    return RedirectResponse(f"/standing/{standing_id}", 303)


async def _decided(
    services: Services,
    visitor: Visitor,
    standing_id: str,
    posted: DecideStanding,
    sight: SightOf[StandingShown] | None = None,
    answer: str = "",
) -> VoteRefusal | None:
    """Why nothing was signed; None: the vote is kept."""
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            found = await decide_standing(cursor, services, visitor, standing_id, posted, sight, answer)
    except StandingNotAllowed:
        raise HTTPException(404) from None
    return found if isinstance(found, VoteRefusal) else None


async def _read(
    services: Services, visitor: Visitor, standing_id: str
) -> tuple[StandingView, tuple[StandingUsed, ...]]:
    try:
        async with services.database.tenant(visitor.tenant) as cursor:
            found = await find_standing(cursor, visitor.tenant, standing_id)
            votes = await votes_for(cursor, visitor.tenant, standing_id)
            return standing_view(found, votes), tuple(await uses_of(cursor, visitor.tenant, standing_id))
    except StandingNotAllowed:
        raise HTTPException(404) from None


async def _page(
    services: Services, visitor: Visitor, standing_id: str, *, problem: str = "", status: int = 200
) -> Response:
    view, uses = await _read(services, visitor, standing_id)
    session, terms = visitor.session, view.terms
    async with services.database.tenant(visitor.tenant) as cursor:
        sign = await signing(cursor, services.passkeys, session, _TIER)
    signed_in_s = (view.shown.read_at - session.authenticated_at).total_seconds()
    strength = "multi_factor" if session.multi_factor else "password"
    weak = sign_in_refusal(_TIER, signed_in_s, session.issuer, strength)
    names = {name.casefold() for name in (terms.proposed_by, terms.proposer)} if terms else set[str]()
    values = {
        "visitor": visitor,
        "view": view,
        "uses": uses,
        "problem": problem,
        "mine": next((vote for vote in view.votes if vote.person == session.person), None),
        "may_approve": "approve" in session.roles,
        "may_revoke": not {"approve", "kill"}.isdisjoint(session.roles),
        "is_interested": bool({session.person.casefold(), session.username.casefold()} & names),
        "is_member": bool(terms) and any(need.group in session.groups for need in terms.rung.needs),
        "weak": REFUSALS[weak] if weak else "",
        "sign": sign,
        "seen": digest_bytes(seen_standing(services.assets, view.shown).encode()) if view.state == "waits" else "",
        "again": sign_in_again(session, f"/standing/{standing_id}"),
        "amount": amount,
        "at": at,
    }
    return services.assets.page("standing.html", values, status)
