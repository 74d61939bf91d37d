"""Signing in by password, who one is, and the tokens of machines."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field
from starlette.exceptions import HTTPException

from approvals.machines import Machine, make_token
from approvals.passkey_sign_in import has_passkeys
from approvals.proof import require_proof
from approvals.roles import ApiNeeds, ApiOpenTo
from approvals.services import Services, services_of
from approvals.sign_in import TOO_MANY, address_of, admit
from approvals.visitors import Visitor
from approvals.wire import Me, NewToken, RevokeToken, TokenMade
from contracts.base import Record
from store.api_tokens import MAX_ACTIVE, ApiToken, Author, list_tokens, revoke_token
from store.sessions import Begun

__all__ = ["SignIn", "SignedIn", "router"]

Parts = Annotated[Services, Depends(services_of)]
Anybody = Annotated[Visitor, Depends(ApiNeeds(None))]
Known = Annotated[Visitor | Machine, Depends(ApiOpenTo(None, None))]
Administrator = Annotated[Visitor, Depends(ApiNeeds("administer"))]
TokenId = Annotated[str, Path(pattern=r"^tok-[a-z2-7]{26}$")]

router = APIRouter(prefix="/api")


class SignIn(Record):
    """Credentials of a local account."""

    tenant: str = Field(max_length=100)
    """The organisation."""
    username: str = Field(max_length=200)
    password: str = Field(max_length=1_000)


class SignedIn(Record):
    """A session."""

    token: str
    """Goes into `Authorization: Bearer <token>`. A secret."""
    tenant: str
    username: str
    display_name: str


@router.post("/sign-in", tags=["account"], responses={401: {}, 403: {}, 429: {}})
async def api_sign_in(services: Parts, request: Request, body: SignIn) -> SignedIn:
    """Start a session of a person with a local account. Whoever has a passkey signs in by browser instead."""
    account = await admit(services, request, body.tenant, body.username, body.password)
    if isinstance(account, str):
        raise HTTPException(429 if account == TOO_MANY else 401, account)
    if await has_passkeys(services, account):
        raise HTTPException(
            403,
            "A password is not enough: you have a passkey. Sign in by browser: `countersign approvals sign-in`, or let "
            f"another program in at {services.passkeys.web_url}/device.",
        )
    begun = Begun(address=address_of(request), front_end="the API, with a password")
    token = await services.desk.start(account, begun)
    return SignedIn(token=token, tenant=account.tenant, username=account.username, display_name=account.display_name)


@router.post("/sign-out", status_code=204, tags=["account"])
async def api_sign_out(services: Parts, caller: Anybody) -> None:
    """End the session."""
    await services.desk.end(caller.token)


@router.get("/me", tags=["account"])
async def api_me(caller: Known) -> Me:
    """Whose token this is, and what it may do."""
    if isinstance(caller, Machine):
        return Me(
            kind="machine", tenant=caller.tenant, name=caller.name, display_name=caller.name, scopes=caller.scopes,
            expires_at=caller.expires_at,
        )  # fmt: skip
    session = caller.session
    return Me.model_validate(
        {
            "kind": "person",
            "tenant": session.tenant,
            "name": session.username,
            "display_name": session.display_name,
            "person": session.person,
            "groups": session.groups,
            "roles": session.roles,
            "authenticated_at": session.authenticated_at,
            "expires_at": session.expires_at,
        }
    )


@router.get("/tokens", tags=["tokens"])
async def api_tokens(services: Parts, caller: Administrator) -> list[ApiToken]:
    """The tenant's tokens, newest first; never the tokens themselves."""
    async with services.database.tenant(caller.tenant) as cursor:
        return list(await list_tokens(cursor, caller.tenant))


@router.post("/tokens", status_code=201, tags=["tokens"], responses={409: {}})
async def api_make_token(services: Parts, caller: Administrator, body: NewToken) -> TokenMade:
    """Make a token for a machine. The answer is the only place where it ever stands.

    It takes a sign-in of the last minutes, with a passkey of whoever has one: the token outlives the session.
    """
    await require_proof(services.database, caller)
    made = await make_token(
        services.database,
        caller.tenant,
        name=body.name,
        scopes=tuple(dict.fromkeys(body.scopes)),
        lives=timedelta(days=body.days),
        by=_author(caller),
    )
    if made is None:
        raise HTTPException(409, f"There are {MAX_ACTIVE} active tokens: revoke one that nobody uses.")
    return TokenMade(token=made[0], kept=made[1])


@router.post("/tokens/{token_id}/revocation", tags=["tokens"])
async def api_revoke_token(services: Parts, caller: Administrator, token_id: TokenId, body: RevokeToken) -> ApiToken:
    """End a token at once. Again changes nothing."""
    async with services.database.tenant(caller.tenant) as cursor:
        token = await revoke_token(
            cursor, tenant=caller.tenant, token_id=token_id, by=_author(caller), reason=body.reason
        )
    if token is None:
        raise HTTPException(404, "There is no such token.")
    return token


def _author(caller: Visitor) -> Author:
    return Author(username=caller.session.username, person=caller.session.person)
