"""Signing in and out with a local account, by browser."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from approvals.forms import safe_next
from approvals.roles import PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from store.accounts import Account, authenticate

__all__ = ["TOO_MANY", "WRONG", "admit", "router"]

Parts = Annotated[Services, Depends(services_of)]
WRONG = "Organisation, user name or password is not right, or the account is locked for some minutes after failures."
TOO_MANY = "Too many tries. Wait five minutes, then try again."

router = APIRouter(include_in_schema=False)


async def admit(services: Services, request: Request, tenant: str, username: str, password: str) -> Account | str:
    """The account, or what to tell the person. The same words for every cause, so that nobody learns who exists."""
    tenant, username = tenant.strip().lower(), username.strip().lower()
    address = request.client.host if request.client else ""
    if not services.tries_by_address.allows(address) or not services.tries_by_account.allows(f"{tenant}/{username}"):
        return TOO_MANY
    return await authenticate(services.database, tenant, username, password) or WRONG


@router.get("/sign-in")
async def sign_in_page(
    services: Parts, request: Request, after: Annotated[str, Query(alias="next", max_length=600)] = ""
) -> Response:
    """The sign-in form. A session that is live is named: signing in again renews its proof."""
    visitor = await services.desk.find(services.desk.token_of(request))
    values = {
        "next": safe_next(after),
        "problem": "",
        "tenant": visitor.tenant if visitor else "",
        "username": visitor.session.username if visitor else "",
    }
    return services.assets.page("sign_in.html", values)


@router.post("/sign-in")
async def sign_in(
    services: Parts,
    request: Request,
    tenant: Annotated[str, Form(max_length=100)] = "",
    username: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1_000)] = "",
    after: Annotated[str, Form(alias="next", max_length=600)] = "",
) -> Response:
    """Start a session with a new token, and end the one that the browser held."""
    account = await admit(services, request, tenant, username, password)
    if isinstance(account, str):
        values = {"next": safe_next(after), "problem": account, "tenant": tenant, "username": username}
        return services.assets.page("sign_in.html", values, 429 if account == TOO_MANY else 401)
    await services.desk.end(services.desk.token_of(request))
    response = RedirectResponse(safe_next(after), 303)
    services.desk.give(response, await services.desk.start(account))
    return response


@router.post("/sign-out")
async def sign_out(services: Parts, visitor: Annotated[Visitor, Depends(PostNeeds(None))]) -> Response:
    """End the session on the server and in the browser."""
    await services.desk.end(visitor.token)
    response = RedirectResponse("/sign-in", 303)
    services.desk.take(response)
    return response
