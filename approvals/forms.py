"""Where a form may lead."""

import re
from urllib.parse import urlencode

from store.accounts import LOCAL_ISSUER
from store.sessions import StoredSession

__all__ = ["safe_next", "sign_in_again"]

_OWN_PATH = re.compile(
    r"/(?:requests|runs|stop|doubts|emergencies|reviews|reviewers|standing|delegations|passkeys|device|sessions)(?:/[a-z0-9-]{1,60}){0,3}"
    r"(?:\?[A-Za-z0-9_=&%.-]{0,400})?",
    re.ASCII,
)


def safe_next(address: str) -> str:
    """An address of ours to go to after signing in; anything else becomes the inbox."""
    return address if _OWN_PATH.fullmatch(address) else "/requests"


def sign_in_again(session: StoredSession, here: str) -> str:
    """Where this person proves anew who they are, and comes back."""
    if session.issuer == LOCAL_ISSUER:
        return f"/sign-in?{urlencode({'next': here})}"
    return f"/sign-in/with/{session.tenant}?{urlencode({'next': here, 'again': 'true'})}"
