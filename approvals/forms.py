"""Who may see a page and post a form, and where a form may lead."""

import hmac
import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Form, Request
from starlette.exceptions import HTTPException

from approvals.services import services_of
from approvals.visitors import Visitor

__all__ = ["page_visitor", "posting_visitor", "safe_next"]

_OWN_PATH = re.compile(r"/(?:requests|runs)(?:/[a-z0-9-]{1,60})?(?:\?[A-Za-z0-9_=&%.-]{0,400})?", re.ASCII)


async def page_visitor(request: Request) -> Visitor:
    """The signed-in reader; anybody else is led to the sign-in page and back."""
    services = services_of(request)
    visitor = await services.desk.find(services.desk.token_of(request))
    if visitor is None:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = here if request.method == "GET" else request.url.path.removesuffix("/decision")
        address = "/sign-in?" + urlencode({"next": safe_next(back)})
        raise HTTPException(303, headers={"location": address})
    if "view" not in visitor.session.roles:
        raise HTTPException(403, "Your account has no role view. Ask an administrator.")
    return visitor


async def posting_visitor(
    visitor: Annotated[Visitor, Depends(page_visitor)], csrf: Annotated[str, Form(max_length=100)] = ""
) -> Visitor:
    """The signed-in person whose own form was posted: it carries the session's token (besides the origin check)."""
    if not hmac.compare_digest(csrf.encode(), visitor.csrf.encode()):
        raise HTTPException(403, "The form has expired. Open the page again, then decide.")
    return visitor


def safe_next(address: str) -> str:
    """An address of ours to go to after signing in; anything else becomes the inbox."""
    return address if _OWN_PATH.fullmatch(address) else "/requests"
