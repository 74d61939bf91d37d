"""The page of one's passkeys: add one, remove one; and the challenges that a page's script asks for."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, RedirectResponse, Response

from approvals.forms import sign_in_again
from approvals.passkey_proofs import MAX_POSTED, ask_decision, new_nonce
from approvals.passkeys import Site, holder_of, new_challenge
from approvals.roles import ApiNeeds, PageNeeds, PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from approvals.wire import AssertionsReply
from approvals.words import at
from contracts.passkey import DecisionStatement, PostedPasskey
from policy.votes import SIGN_IN_TIER_4_S
from store.accounts import find_account
from store.passkey_challenges import assertions_on, give_challenge, take_challenge
from store.passkeys import MAX_PASSKEYS, add_passkey, events_of, passkeys_of, remove_passkey

__all__ = ["api", "pages"]

PasskeyId = Annotated[str, Path(pattern=r"^psk-[a-z2-7]{26}$")]
RequestId = Annotated[str, Path(pattern=r"^apr-[a-z2-7]{26}$")]
Parts = Annotated[Services, Depends(services_of)]
Reader = Annotated[Visitor, Depends(PageNeeds(None))]
Owner = Annotated[Visitor, Depends(PostNeeds(None))]
Approver = Annotated[Visitor, Depends(PostNeeds("approve"))]
Auditor = Annotated[Visitor, Depends(ApiNeeds("view"))]
_STALE = "You signed in too long ago to change your passkeys."
_WEAK = "You have passkeys: sign in with one of them to change them."

pages = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api", tags=["requests"])


@api.get("/approvals/{request_id}/assertions")
async def api_assertions(services: Parts, caller: Auditor, request_id: RequestId) -> AssertionsReply:
    """The evidence beside the votes, byte for byte: it verifies without this installation."""
    async with services.database.tenant(caller.tenant) as cursor:
        return AssertionsReply(assertions=await assertions_on(cursor, caller.tenant, request_id))


@pages.get("/passkeys")
async def passkeys_page(services: Parts, visitor: Reader) -> Response:
    """One's own."""
    return await _page(services, visitor)


@pages.post("/passkeys/options")
async def post_options(services: Parts, visitor: Owner) -> Response:
    """What the browser asks an authenticator for, to make a passkey."""
    site = services.passkeys.site
    async with services.database.tenant(visitor.tenant) as cursor:
        known = await passkeys_of(cursor, visitor.tenant, visitor.session.person)
        account = await find_account(cursor, visitor.tenant, visitor.account)
        barred = _not_now(visitor, has_passkeys=bool(known))
        if site is None or account is None or barred:
            return _problem(barred or "This site has no name for which passkeys work.")
        challenge = new_challenge()
        await give_challenge(
            cursor, visitor.tenant, challenge=challenge, holder=holder_of(visitor.token), purpose="add"
        )
    return JSONResponse(services.passkeys.new_options(site, account, known, challenge))


@pages.post("/passkeys")
async def post_passkey(
    services: Parts,
    visitor: Owner,
    name: Annotated[str, Form(max_length=200)] = "",
    answer: Annotated[str, Form(max_length=MAX_POSTED)] = "",
) -> Response:
    """Keep the passkey that an authenticator has made."""
    problem = await _added(services, visitor, " ".join(name.split())[:60], answer)
    return await _page(services, visitor, problem, 409) if problem else RedirectResponse("/passkeys", 303)


@pages.post("/passkeys/{passkey_id}/removal")
async def post_removal(services: Parts, visitor: Owner, passkey_id: PasskeyId) -> Response:
    """Remove one of one's own."""
    async with services.database.tenant(visitor.tenant) as cursor:
        problem = _not_now(visitor, has_passkeys=True)
        removed = None if problem else await remove_passkey(
            cursor, visitor.tenant, visitor.account, passkey_id, by=visitor.account, reason="by its owner"
        )  # fmt: skip
    if problem or removed is None:
        return await _page(services, visitor, problem or "This account has no such passkey.", 409)
    return RedirectResponse("/passkeys", 303)


@pages.post("/passkeys/challenge/{request_id}")
async def post_challenge(
    services: Parts,
    visitor: Approver,
    request_id: RequestId,
    sent: Request,
) -> Response:
    """What the browser asks an authenticator for, to sign exactly this. Whether it can be taken is seen afterwards."""
    site = services.passkeys.site
    if site is None:
        return _problem("This site has no name for which passkeys work. Tell the operator.")
    form = {name: str(value) for name, value in (await sent.form()).items()}
    try:
        statement = DecisionStatement.model_validate(
            {
                "tenant": visitor.tenant,
                "request_id": request_id,
                "digest": form.get("digest"),
                "seen": form.get("seen") or None,
                "verdict": form.get("verdict"),
                "reason": form.get("reason", "").replace("\r\n", "\n").strip(),
                "edited": form.get("edited") or None,
                "delegation_id": form.get("delegation", ""),
                "account": visitor.account,
                "person": visitor.session.person,
                "session": holder_of(visitor.token).hex(),
                "nonce": new_nonce(),
            }
        )
    except ValidationError:
        return _problem("The form is not whole. Open the page again, then decide.")
    async with services.database.tenant(visitor.tenant) as cursor:
        options = await ask_decision(cursor, services.passkeys, site, visitor, statement)
    return JSONResponse(options)


async def _added(services: Services, visitor: Visitor, name: str, answer: str) -> str:
    """Why nothing was added; empty: it was."""
    site = services.passkeys.site
    try:
        posted = PostedPasskey.model_validate_json(answer)
    except ValidationError:
        return "Nothing was added: this page's script did not run, or your browser knows no passkeys."
    async with services.database.tenant(visitor.tenant) as cursor:
        taken = await take_challenge(cursor, visitor.tenant, holder=holder_of(visitor.token), purpose="add")
        known = await passkeys_of(cursor, visitor.tenant, visitor.session.person)
        barred = _not_now(visitor, has_passkeys=bool(known))
        if barred:
            return barred
        if site is None or taken is None:
            return "Nothing was added: it took too long. Try again."
        found = services.passkeys.read_new(site, posted, taken[0])
        if isinstance(found, str):
            return f"Nothing was added: {found}"
        added = await add_passkey(cursor, visitor.tenant, visitor.account, name or _default_name(site), found)
    return "" if added else f"Nothing was added: you have {MAX_PASSKEYS} passkeys, or this one already."


def _default_name(site: Site) -> str:
    return f"Passkey for {site.rp_id}"


def _not_now(visitor: Visitor, *, has_passkeys: bool) -> str:
    """Why this session may not change passkeys; empty: it may. A thief with a password adds none of their own."""
    signed_in_s = (datetime.now(UTC) - visitor.session.authenticated_at).total_seconds()
    if signed_in_s > SIGN_IN_TIER_4_S:
        return _STALE
    return _WEAK if has_passkeys and not visitor.session.multi_factor else ""


def _problem(words: str) -> Response:
    return JSONResponse({"problem": words}, 409)


async def _page(services: Services, visitor: Visitor, problem: str = "", status: int = 200) -> Response:
    session = visitor.session
    async with services.database.tenant(visitor.tenant) as cursor:
        passkeys = await passkeys_of(cursor, visitor.tenant, session.person)
        events = await events_of(cursor, visitor.tenant, session.username)
    values: Mapping[str, object] = {
        "visitor": visitor,
        "passkeys": passkeys,
        "events": events[:20],
        "problem": problem,
        "not_now": _not_now(visitor, has_passkeys=bool(passkeys)),
        "site": services.passkeys.site,
        "demanded": services.passkeys.is_demanded,
        "most": MAX_PASSKEYS,
        "again": sign_in_again(session, "/passkeys"),
        "at": at,
    }
    return services.assets.page("passkeys.html", values, status)
