"""The page on which a person lets a program in that is no browser, and the page of all their sessions."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from approvals.device import MEANINGS, code_hash, code_in, look_up
from approvals.forms import sign_in_again
from approvals.roles import PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.sign_in import TOO_MANY, address_of
from approvals.visitors import Visitor
from approvals.words import at, duration
from policy.votes import SIGN_IN_TIER_4_S
from store.accounts import LOCAL_ISSUER
from store.device_sign_ins import AskedSignIn, answer_sign_in, may_try
from store.sessions import IDLE, end_all_sessions, end_one_session, list_sessions

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds(None))]
Poster = Annotated[Visitor, Depends(PostNeeds(None))]
CodeField = Annotated[str, Form(max_length=40)]
NO_CODE = "Nothing waits under that code: it was mistyped, answered already, or is more than ten minutes old."

router = APIRouter(include_in_schema=False)


@router.get("/device")
async def device_page(services: Parts, visitor: Reader, code: Annotated[str, Query(max_length=40)] = "") -> Response:
    """Where the code is typed. A link may fill it in; nothing is looked up and nothing happens until it is sent."""
    return _form(services, visitor, code_in(code))


@router.post("/device")
async def post_code(services: Parts, request: Request, visitor: Poster, code: CodeField = "") -> Response:
    """Show who asks for what."""
    if not await _may_try(services, visitor):
        return _form(services, visitor, "", TOO_MANY, 429)
    asked = await look_up(services, visitor.tenant, code)
    if asked is None:
        return _form(services, visitor, code_in(code), NO_CODE, 404)
    return services.assets.page("device_asked.html", _asked(visitor, asked, code_in(code), address_of(request)))


@router.post("/device/answer")
async def post_answer(
    services: Parts, visitor: Poster, code: CodeField = "", answer: Annotated[str, Form(max_length=10)] = ""
) -> Response:
    """Let it in, or not. Only what was asked for is answered, and once."""
    if not await _may_try(services, visitor):
        return _form(services, visitor, "", TOO_MANY, 429)
    hashed = code_hash(services, visitor.tenant, code)
    async with services.database.tenant(visitor.tenant) as cursor:
        asked = await answer_sign_in(cursor, visitor.session, hashed, allow=answer == "allow")
    if asked is None:
        return _form(services, visitor, "", NO_CODE, 404)
    values = {"visitor": visitor, "asked": asked, "allowed": answer == "allow"}
    return services.assets.page("device_answered.html", values)


@router.get("/sessions")
async def sessions_page(services: Parts, visitor: Reader) -> Response:
    """Where one is signed in."""
    async with services.database.tenant(visitor.tenant) as cursor:
        found = await list_sessions(cursor, visitor.session, visitor.token_hash)
    is_local = visitor.session.issuer == LOCAL_ISSUER
    values = {"visitor": visitor, "sessions": found, "meanings": MEANINGS, "is_local": is_local, "at": at}
    return services.assets.page("sessions.html", values)


@router.post("/sessions/{session_id}/end")
async def post_end(
    services: Parts, visitor: Poster, session_id: Annotated[str, Path(pattern=r"^ses-[a-z2-7]{26}$")]
) -> Response:
    """End one of one's own sessions; one that is over is over."""
    async with services.database.tenant(visitor.tenant) as cursor:
        await end_one_session(cursor, visitor.session, session_id)
    return RedirectResponse("/sessions", 303)


@router.post("/sessions/end")
async def post_end_all(services: Parts, visitor: Poster) -> Response:
    """Sign out everywhere, here too."""
    async with services.database.tenant(visitor.tenant) as cursor:
        await end_all_sessions(cursor, visitor.session)
    services.live.end_session(visitor.token)
    response = RedirectResponse("/sign-in", 303)
    services.desk.take(response)
    return response


async def _may_try(services: Services, visitor: Visitor) -> bool:
    """Whether they may type another code; in a transaction of its own, so that nothing takes the count back."""
    async with services.database.tenant(visitor.tenant) as cursor:
        return await may_try(cursor, visitor.tenant, visitor.account)


def _form(services: Services, visitor: Visitor, code: str, problem: str = "", status: int = 200) -> Response:
    shown = f"{code[:4]}-{code[4:]}" if code else ""
    return services.assets.page("device.html", {"visitor": visitor, "code": shown, "problem": problem}, status)


def _asked(visitor: Visitor, asked: AskedSignIn, code: str, address: str) -> dict[str, object]:
    session, now = visitor.session, datetime.now(UTC)
    proven = now - session.authenticated_at
    return {
        "visitor": visitor,
        "asked": asked,
        "code": f"{code[:4]}-{code[4:]}",
        "may": [MEANINGS[role] for role in MEANINGS if role in asked.scopes and role in session.roles],
        "decides": "approve" in asked.scopes and "approve" in session.roles,
        "from_here": asked.address == address,
        "address": address,
        "ago": duration(now - asked.asked_at),
        "until": at(session.expires_at),
        "idle": duration(IDLE),
        "proven": duration(proven),
        "is_stale": proven.total_seconds() > SIGN_IN_TIER_4_S,
        "again": sign_in_again(session, f"/device?code={code[:4]}-{code[4:]}"),
    }
