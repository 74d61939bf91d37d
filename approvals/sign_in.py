"""Signing in and out by browser: with a local account, or at the tenant's OpenID provider."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from approvals.browsers import browser_of
from approvals.forms import safe_next
from approvals.oidc import Identity, OidcError
from approvals.passkey_proofs import MAX_POSTED
from approvals.passkey_sign_in import NOT_ASKED, TOO_LATE, has_passkeys, passkey_page, proven_account
from approvals.roles import PostNeeds
from approvals.services import Services, services_of
from approvals.visitors import Visitor
from store.accounts import Account, NewAccount, authenticate, upsert_vouched
from store.sessions import Begun

__all__ = ["TOO_MANY", "WRONG", "address_of", "admit", "router"]

Parts = Annotated[Services, Depends(services_of)]
WRONG = "Organisation, user name or password is not right, or the account is locked for some minutes after failures."
TOO_MANY = "Too many tries. Wait five minutes, then try again."

router = APIRouter(include_in_schema=False)


async def admit(services: Services, request: Request, tenant: str, username: str, password: str) -> Account | str:
    """The account, or what to tell the person. The same words for every cause, so that nobody learns who exists."""
    tenant, username = tenant.strip().lower(), username.strip().lower()
    provider = services.oidc.providers.get(tenant)
    if provider is not None and not provider.local_accounts:
        return f"{tenant} signs in with {provider.label}."
    address = address_of(request)
    if not services.tries_by_address.allows(address) or not services.tries_by_account.allows(f"{tenant}/{username}"):
        return TOO_MANY
    return await authenticate(services.database, tenant, username, password) or WRONG


def address_of(request: Request) -> str:
    """The network address of whoever asks, as far as this process can tell."""
    return request.client.host if request.client else ""


@router.get("/sign-in")
async def sign_in_page(
    services: Parts, request: Request, after: Annotated[str, Query(alias="next", max_length=600)] = ""
) -> Response:
    """The sign-in form. A session that is live is named: signing in again renews its proof."""
    visitor = await services.desk.find(services.desk.token_of(request))
    values = {
        "next": safe_next(after),
        "problem": "",
        "tenant": visitor.tenant if visitor else _only_tenant(services),
        "username": visitor.session.username if visitor else "",
    }
    return _page(services, values)


@router.post("/sign-in")
async def sign_in(
    services: Parts,
    request: Request,
    tenant: Annotated[str, Form(max_length=100)] = "",
    username: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1_000)] = "",
    after: Annotated[str, Form(alias="next", max_length=600)] = "",
) -> Response:
    """Start a session with a new token, and end the one that the browser held. Who has a passkey is asked for it."""
    account = await admit(services, request, tenant, username, password)
    if not isinstance(account, str) and await has_passkeys(services, account):
        asked = await passkey_page(services, account, safe_next(after))
        if isinstance(asked, Response):
            return asked
        account = asked
    if isinstance(account, str):
        values = {"next": safe_next(after), "problem": account, "tenant": tenant, "username": username}
        return _page(services, values, 429 if account == TOO_MANY else 401)
    await _end(services, services.desk.token_of(request))
    response = RedirectResponse(safe_next(after), 303)
    services.desk.give(response, await services.desk.start(account, _begun(request)))
    return response


@router.post("/sign-in/passkey")
async def sign_in_with_passkey(
    services: Parts, request: Request, answer: Annotated[str, Form(max_length=MAX_POSTED)] = ""
) -> Response:
    """Start the session of the person whose passkey answered: they have shown more than a password."""
    address = address_of(request)
    may_try = services.tries_by_address.allows(address)
    found = await proven_account(services, services.desk.carried(request), answer) if may_try else None
    if found is None:
        problem = TOO_LATE if answer else NOT_ASKED
        return _refused(services, problem if may_try else TOO_MANY, "")
    account, after = found
    await _end(services, services.desk.token_of(request))
    response = RedirectResponse(safe_next(after), 303)
    services.desk.drop(response)
    services.desk.give(response, await services.desk.start(account, _begun(request, multi_factor=True)))
    return response


@router.get("/sign-in/with/{tenant}")
async def start_elsewhere(
    services: Parts,
    tenant: Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,39}$")],
    after: Annotated[str, Query(alias="next", max_length=600)] = "",
    again: Annotated[bool, Query()] = False,  # noqa: FBT002 - a field of the address, never passed by position
) -> Response:
    """Lead to the tenant's OpenID provider. `again`: it must ask for the proof anew, whoever is signed in there."""
    try:
        started = await services.oidc.start(tenant, safe_next(after), again=again)
    except OidcError as error:
        return _refused(services, str(error), after)
    response = RedirectResponse(started.address, 303)
    services.desk.carry(response, started.cookie)
    return response


@router.get("/sign-in/back")
async def finish_elsewhere(services: Parts, request: Request) -> Response:
    """Take the provider's answer: a session with a new token, for the account that the provider vouches for."""
    try:
        found = await services.oidc.finish(dict(request.query_params), services.desk.carried(request))
    except OidcError as error:
        return _refused(services, str(error), "")
    account = await _account_of(services, found)
    if account is None:
        return _refused(services, "Your account is disabled here. Ask an administrator.", "")
    await _end(services, services.desk.token_of(request))
    response = RedirectResponse(safe_next(found.next), 303)
    services.desk.drop(response)
    at = datetime.fromtimestamp(found.authenticated_at, UTC)
    begun = _begun(request, multi_factor=found.multi_factor, authenticated_at=at)
    services.desk.give(response, await services.desk.start(account, begun))
    return response


def _begun(request: Request, *, multi_factor: bool = False, authenticated_at: datetime | None = None) -> Begun:
    browser = browser_of(request.headers.get("user-agent", ""))
    return Begun(
        address=address_of(request), browser=browser, multi_factor=multi_factor, authenticated_at=authenticated_at
    )


async def _account_of(services: Services, found: Identity) -> Account | None:
    new = NewAccount.model_validate(
        {
            "tenant": found.tenant,
            "username": found.username,
            "person": found.person,
            "display_name": found.display_name,
            "groups": found.groups,
            "roles": found.roles,
        }
    )
    async with services.database.tenant(found.tenant) as cursor:
        return await upsert_vouched(cursor, new, found.issuer)


def _refused(services: Services, problem: str, after: str) -> Response:
    values: dict[str, object] = {"next": safe_next(after), "problem": problem, "tenant": "", "username": ""}
    response = _page(services, values, 401)
    services.desk.drop(response)
    return response


def _only_tenant(services: Services) -> str:
    """Of an installation for one organisation nobody has to type it, and nothing is given away by it."""
    tenants = list(services.tenants.tenants)
    return tenants[0] if len(tenants) == 1 else ""


async def _end(services: Services, token: str | None) -> None:
    await services.desk.end(token)
    services.live.end_session(token)


def _page(services: Services, values: Mapping[str, object], status: int = 200) -> Response:
    listed = {tenant: found.label for tenant, found in services.oidc.providers.items() if found.listed}
    return services.assets.page("sign_in.html", {**values, "providers": listed}, status)


@router.post("/sign-out")
async def sign_out(services: Parts, visitor: Annotated[Visitor, Depends(PostNeeds(None))]) -> Response:
    """End the session on the server and in the browser."""
    await _end(services, visitor.token)
    response = RedirectResponse("/sign-in", 303)
    services.desk.take(response)
    return response
