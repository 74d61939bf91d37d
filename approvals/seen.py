"""Pages as approvers saw them, without what moves: the same bytes whenever they are made, so a vote can bind them.

Left out are the time left, votes, budgets, what was asked before and who looks. Style sheets stand in them, so that
they open later as they did then; scripts do not.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic, TypeVar

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from approvals.assets import Assets
from approvals.presenting import RequestView, present
from approvals.standing_words import standing_view
from approvals.values import changes_of
from approvals.words import amount, at
from contracts.base import JsonObject
from contracts.canonical import digest_bytes
from store.approvals import StoredRequest
from store.seen import SeenPage
from store.standing import StandingShown

__all__ = [
    "REMEMBERED",
    "Sight",
    "SightOf",
    "as_asked",
    "kept_answer",
    "kept_page",
    "policy_for",
    "seen_digest",
    "seen_edit",
    "seen_page",
    "seen_standing",
    "told",
]

SubjectT = TypeVar("SubjectT")
_SOMEBODY = {"csrf": "", "session": {"display_name": "the approver", "username": "their account"}}
_SHEET = re.compile(r'<link rel="stylesheet" href="/static/[0-9a-f]+/([a-z_.-]+)">')
_OTHER = re.compile(r'<(?:link|img|script)\b[^<>]*"/static/[^<>]*>(?:</script>)?')
_SHUT_IN = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
REMEMBERED = 256
"""Requests whose renderings a process keeps: whoever looks at one looks again, and others look at the same."""


@dataclass(frozen=True)
class SightOf(Generic[SubjectT]):
    """What a form says of the page on which it stood."""

    seen: str
    """The digest that came with the form."""
    page: Callable[[SubjectT], str]
    """The page of what is decided, made anew: its digest must be the same."""


Sight = SightOf[StoredRequest]
"""Of a request."""


def seen_page(assets: Assets, request: StoredRequest) -> str:
    """The request's page."""
    return kept_page(assets, "seen.html", {"page": as_asked(request), "may_approve": True, "is_member": True})


def seen_digest(assets: Assets, request: StoredRequest) -> str:
    """What a vote on it carries as `seen`."""
    return _digest(assets, told(request))


@lru_cache(REMEMBERED)
def _digest(assets: Assets, told: str) -> str:
    return digest_bytes(seen_page(assets, StoredRequest.model_validate_json(told)).encode())


def seen_edit(assets: Assets, request: StoredRequest, edited: JsonObject, reason: str) -> str:
    """The page that shows once more what an edit changes."""
    page = as_asked(request)
    changes = [one for one in changes_of(page.view.arguments if page.view else {}, edited) if one.changed]
    return kept_page(
        assets, "seen_edit.html", {"page": page, "digest": page.digest, "changes": changes, "reason": reason}
    )


def seen_standing(assets: Assets, shown: StandingShown) -> str:
    """The page of a proposed standing approval, before anybody had decided."""
    asked = shown.model_copy(
        update={
            "state": "proposed", "decided_at": None, "revoked_by": None, "revoked_at": None, "revoke_reason": "",
            "uses": 0, "moved_minor": 0, "read_at": shown.proposed_at,
        }
    )  # fmt: skip
    values = {"view": standing_view(asked), "uses": (), "may_approve": True, "is_member": True, "amount": amount}
    return kept_page(assets, "standing_seen.html", {**values, "at": at})


def policy_for(body: str) -> str:
    """Content security policy under which a kept page opens: its own style sheets and nothing else."""
    styles = (hashlib.sha256(found.encode()).digest() for found in _STYLE.findall(body))
    sources = " ".join(f"'sha256-{base64.b64encode(style).decode()}'" for style in styles)
    return f"default-src 'none'; style-src {sources}; {_SHUT_IN}"


def kept_answer(pages: Sequence[SeenPage], digest: str) -> Response:
    """One of the kept pages, by the digest that its address names.

    Raises:
        HTTPException: there is none of that digest, or it is no longer what the votes were signed over.
    """
    page = next((page for page in pages if page.digest == f"sha256:{digest}"), None)
    if page is None:
        raise HTTPException(404)
    if not page.is_intact():
        raise HTTPException(409, "The kept page is damaged: it is not what the votes were signed over.")
    return HTMLResponse(page.body, headers={"content-security-policy": policy_for(page.body)})


def told(request: StoredRequest) -> str:
    """All that a page of it is made from, as JSON: what moves stands in it as it was when it was asked."""
    return _asked(request).model_dump_json()


def as_asked(request: StoredRequest) -> RequestView:
    """The page's data as they were when it was asked, before anybody had decided."""
    return present(_asked(request), (), now=request.opened_at)


def _asked(request: StoredRequest) -> StoredRequest:
    asked = {"state": "open", "escalated_to": (), "closed_at": None, "read_at": request.opened_at}
    return request.model_copy(update=asked)


def kept_page(assets: Assets, template: str, values: Mapping[str, object]) -> str:
    """A page for nobody in particular, whole in itself."""
    html = assets.text(template, {"visitor": _SOMEBODY, **values})
    return _OTHER.sub("", _SHEET.sub(lambda found: f"<style>{assets.sheet(found[1])}</style>", html))
