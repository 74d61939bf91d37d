"""Who may use a route: every route but the few public ones names the operator role that it needs.

A role holds alone: who may kill may not therefore look, and who administers may not therefore decide. What a route
needs can be read from the application itself (`role_of`), and a test compares it with a table: no route slips through.
"""

import hmac
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Form, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from approvals.forms import safe_next
from approvals.machines import TOKEN_PREFIX, Machine, find_machine
from approvals.services import services_of
from approvals.visitors import Visitor
from settings.http_log import note_address
from settings.logs import note
from store.accounts import Role
from store.api_tokens import Scope

__all__ = ["ApiNeeds", "ApiOpenTo", "PageNeeds", "PostNeeds", "role_of", "scope_of"]

ANYBODY = "anybody"
"""Of a route that every signed-in person may use."""


class _Needs:
    def __init__(self, role: Role | None, *others: Role) -> None:
        """`role`, or one of the others; None: everybody who is signed in."""
        self._roles = {role, *others} if role else None
        self.role = " or ".join((role, *others)) if role else ANYBODY

    def admit(self, visitor: Visitor) -> Visitor:
        """The visitor, if the account has the role as it is now."""
        if self._roles is not None and self._roles.isdisjoint(visitor.session.roles):
            raise HTTPException(403, f"Your account has no role {self.role}. Ask an administrator for it.")
        return visitor


class PageNeeds(_Needs):
    """The signed-in reader of a page; anybody else is led to the sign-in page and back."""

    async def __call__(self, request: Request) -> Visitor:
        """Who reads."""
        return self.admit(await signed_in(request))


class PostNeeds(_Needs):
    """The signed-in person whose own form was posted: it carries the session's token (besides the origin check)."""

    async def __call__(self, request: Request, csrf: Annotated[str, Form(max_length=100)] = "") -> Visitor:
        """Who posts."""
        visitor = await signed_in(request)
        if not hmac.compare_digest(csrf.encode(), visitor.csrf.encode()):
            raise HTTPException(403, "The form has expired. Open the page again, then decide.")
        return self.admit(visitor)


class ApiNeeds(_Needs):
    """The person whose session's token the request carries. The browser's cookie counts for nothing here."""

    async def __call__(self, request: Request) -> Visitor:
        """Who calls."""
        caller = await _caller(request)
        if isinstance(caller, Machine):
            raise HTTPException(403, "A machine's token cannot do this: a person signs in and does it.")
        return self.admit(caller)


class ApiOpenTo(_Needs):
    """The same, or a machine whose token has a scope."""

    def __init__(self, role: Role | None, scope: Scope | None) -> None:
        """`scope`; None: every machine with a token."""
        super().__init__(role)
        self.scope: str = scope or ANYBODY

    async def __call__(self, request: Request) -> Visitor | Machine:
        """Who calls."""
        caller = await _caller(request)
        if isinstance(caller, Visitor):
            return self.admit(caller)
        if self.scope not in (ANYBODY, *caller.scopes):
            raise HTTPException(403, f"This token has no scope {self.scope}. Ask an administrator for one that has it.")
        return caller


async def _caller(request: Request) -> Visitor | Machine:
    services = await services_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found: Visitor | Machine | None = None
    if scheme.lower() == "bearer":
        is_machine = token.startswith(TOKEN_PREFIX)
        found = await (find_machine(services.database, token) if is_machine else services.desk.find(token))
    if found is None:
        detail = (
            "Sign in at /api/sign-in and send the token, or send a machine's token that is neither expired nor revoked."
        )
        raise HTTPException(401, detail, {"www-authenticate": "Bearer"})
    _note(request, found)
    return found


async def signed_in(request: Request) -> Visitor:
    """Whose session the browser holds; without one the way leads to the sign-in page."""
    services = await services_of(request)
    visitor = await services.desk.find(services.desk.token_of(request))
    # A program's token, planted in a browser or taken to one, opens no page: it could let in further programs there.
    if visitor is None or visitor.session.front_end:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = here if request.method == "GET" else request.url.path.rpartition("/")[0]
        address = "/sign-in?" + urlencode({"next": safe_next(back)})
        raise HTTPException(303, headers={"location": address})
    _note(request, visitor)
    return visitor


def _note(request: Request, caller: Visitor | Machine) -> None:
    note(tenant=caller.tenant)
    note_address(request.scope)


def role_of(route: APIRoute) -> str | None:
    """The role that a route needs; None: it asks for nobody."""
    found = _needs_in(route.dependant)
    return found.role if found else None


def scope_of(route: APIRoute) -> str | None:
    """The scope that opens a route to machines; None: it is open to none."""
    found = _needs_in(route.dependant)
    return found.scope if isinstance(found, ApiOpenTo) else None


def _needs_in(dependant: Dependant) -> _Needs | None:
    if isinstance(dependant.call, _Needs):
        return dependant.call
    return next((found for part in dependant.dependencies if (found := _needs_in(part)) is not None), None)
