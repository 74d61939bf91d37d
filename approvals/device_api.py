"""What programs call to be signed in by a person in a browser, by RFC 8628: any library for it fits."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import Response

from approvals.device import begin, fetch_token, scopes_in
from approvals.problems import problem
from approvals.services import Services, services_of
from approvals.sign_in import TOO_MANY, address_of
from approvals.wire import GRANT_TYPE, DeviceCode, DeviceToken
from store.device_sign_ins import INTERVAL_S, LIFETIME, Poll

__all__ = ["router"]

Parts = Annotated[Services, Depends(services_of)]
ClientId = Annotated[
    str, Form(min_length=3, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$", description="What the program calls itself.")
]
_WHY = {
    Poll.WAITING: "Nobody has answered yet. Ask again after the interval.",
    Poll.TOO_FAST: "Too fast: wait five seconds longer each time from now on.",
    Poll.DENIED: "The person said no.",
    Poll.EXPIRED: "Nobody answered in time. Ask for another code.",
    Poll.UNKNOWN: "There is no such code, or its token was taken. Ask for another code.",
}

router = APIRouter(prefix="/api/device", tags=["account"])


@router.post("/code", response_model=DeviceCode, responses={400: {}, 404: {}, 429: {}})
async def api_device_code(
    services: Parts,
    request: Request,
    client_id: ClientId,
    scope: Annotated[
        str, Form(max_length=200, description="Roles, with spaces between: by default view approve.")
    ] = "",
    tenant: Annotated[str, Form(max_length=40, description="The organisation, where there are several.")] = "",
) -> DeviceCode | Response:
    """Ask that somebody lets the program in. Show them `user_code` and `verification_uri`, then ask for the token."""
    scopes = scopes_in(scope)
    if scopes is None:
        return problem(400, "There are the scopes view, approve, kill, undo and administer.", error="invalid_scope")
    known = services.tenants.tenants
    where = tenant or (next(iter(known)) if len(known) == 1 else "")
    if where not in known:
        return problem(404, "Name the organisation: field tenant.", error="invalid_request")
    address = address_of(request)
    if not services.tries_by_address.allows(f"device {address}"):
        return problem(429, TOO_MANY)
    asked = await begin(services, where, front_end=client_id.strip(), address=address, scopes=scopes)
    if asked is None:
        return problem(429, "Too many programs wait to be let in. Try again in ten minutes.")
    page = f"{services.oidc.web_url}/device"
    return DeviceCode(
        device_code=asked.device_code,
        user_code=asked.user_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?code={asked.user_code}",
        expires_in=int(LIFETIME.total_seconds()),
        interval=INTERVAL_S,
    )


@router.post("/token", response_model=DeviceToken, responses={400: {}})
async def api_device_token(
    services: Parts,
    grant_type: Annotated[str, Form(max_length=100, description=f"`{GRANT_TYPE}`")],
    device_code: Annotated[str, Form(max_length=200)],
) -> DeviceToken | Response:
    """Ask for the token. Until the person has answered it is refused: `error` says why, by RFC 8628, 3.5."""
    if grant_type != GRANT_TYPE:
        return problem(400, f"The grant_type must be {GRANT_TYPE}.", error="unsupported_grant_type")
    found = await fetch_token(services, device_code)
    if isinstance(found, Poll):
        return problem(400, _WHY[found], error=found.value)
    token, _ = found
    visitor = await services.desk.find(token)
    if visitor is None:  # disabled since
        return problem(400, _WHY[Poll.DENIED], error=Poll.DENIED.value)
    session = visitor.session
    return DeviceToken(
        access_token=token,
        expires_in=int((session.expires_at - datetime.now(UTC)).total_seconds()),
        scope=" ".join(session.roles),
        tenant=session.tenant,
        username=session.username,
        display_name=session.display_name,
    )
