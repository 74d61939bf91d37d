"""The page as an approver saw it, without what moves: the same bytes however often it is made, so a vote can bind them.

Left out are the time left, votes, budgets, what was asked before and who looks. Style sheets stand in it, so that it
opens later as it did then; scripts do not.
"""

import base64
import hashlib
import re

from approvals.assets import Assets
from approvals.presenting import present
from contracts.canonical import digest_bytes
from store.approvals import StoredRequest

__all__ = ["policy_for", "seen_digest", "seen_page"]

_SOMEBODY = {"csrf": "", "session": {"display_name": "the approver", "username": "their account"}}
_SHEET = re.compile(r'<link rel="stylesheet" href="/static/[0-9a-f]+/([a-z_.-]+)">')
_OTHER = re.compile(r'<(?:link|img|script)\b[^<>]*"/static/[^<>]*>(?:</script>)?')
_SHUT_IN = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def seen_page(assets: Assets, request: StoredRequest) -> str:
    """The request's page as it was when it was asked, before anybody had decided, for nobody in particular."""
    asked = request.model_copy(update={"state": "open"})
    page = present(asked, (), now=request.opened_at)
    html = assets.text("seen.html", {"page": page, "visitor": _SOMEBODY, "may_approve": True, "is_member": True})
    return _OTHER.sub("", _SHEET.sub(lambda found: f"<style>{assets.sheet(found[1])}</style>", html))


def seen_digest(assets: Assets, request: StoredRequest) -> str:
    """What a vote carries as `seen`."""
    return digest_bytes(seen_page(assets, request).encode())


def policy_for(body: str) -> str:
    """Content security policy under which a kept page opens: its own style sheets and nothing else."""
    styles = (hashlib.sha256(found.encode()).digest() for found in _STYLE.findall(body))
    sources = " ".join(f"'sha256-{base64.b64encode(style).decode()}'" for style in styles)
    return f"default-src 'none'; style-src {sources}; {_SHUT_IN}"
