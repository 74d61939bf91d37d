"""Who may use a route: every route but the few public ones names the one operator role that it needs.

A role holds alone: who may kill may not therefore look, and who administers may not therefore decide. What a route
needs can be read from the application itself (`role_of`), and a test compares it with a table: no route slips through.
"""

import hmac
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Form, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from approvals.forms import safe_next
from approvals.services import services_of
from approvals.visitors import Visitor
from store.accounts import Role

__all__ = ["ApiNeeds", "PageNeeds", "PostNeeds", "role_of"]

ANYBODY = "anybody"
"""Of a route that every signed-in person may use."""


class _Needs:
    def __init__(self, role: Role | None) -> None:
        """`role`; None: everybody who is signed in."""
        self.role: str = role or ANYBODY

    def admit(self, visitor: Visitor) -> Visitor:
        """The visitor, if the account has the role as it is now."""
        if self.role not in (ANYBODY, *visitor.session.roles):
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
    """Whose token the request carries. The browser's cookie counts for nothing here."""

    async def __call__(self, request: Request, authorization: Annotated[str, Header(max_length=400)] = "") -> Visitor:
        """Who calls."""
        scheme, _, token = authorization.partition(" ")
        visitor = await services_of(request).desk.find(token) if scheme.lower() == "bearer" else None
        if visitor is None:
            raise HTTPException(401, "Sign in at /api/sign-in and send the token.", {"www-authenticate": "Bearer"})
        return self.admit(visitor)


async def signed_in(request: Request) -> Visitor:
    """Whose session the browser holds; without one the way leads to the sign-in page."""
    services = services_of(request)
    visitor = await services.desk.find(services.desk.token_of(request))
    if visitor is None:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = here if request.method == "GET" else request.url.path.rpartition("/")[0]
        address = "/sign-in?" + urlencode({"next": safe_next(back)})
        raise HTTPException(303, headers={"location": address})
    return visitor


def role_of(route: APIRoute) -> str | None:
    """The role that a route needs; None: it asks for nobody."""
    return _role_in(route.dependant)


def _role_in(dependant: Dependant) -> str | None:
    if isinstance(dependant.call, _Needs):
        return dependant.call.role
    return next((role for part in dependant.dependencies if (role := _role_in(part)) is not None), None)
