"""Where a form may lead."""

import re

__all__ = ["safe_next"]

_OWN_PATH = re.compile(
    r"/(?:requests|runs|stop|doubts|emergencies|reviews|reviewers)(?:/[a-z0-9-]{1,60}){0,3}"
    r"(?:\?[A-Za-z0-9_=&%.-]{0,400})?",
    re.ASCII,
)


def safe_next(address: str) -> str:
    """An address of ours to go to after signing in; anything else becomes the inbox."""
    return address if _OWN_PATH.fullmatch(address) else "/requests"
