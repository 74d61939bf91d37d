"""Whether a call may reach whom it names: destinations of its arguments against allowlists. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from urllib.parse import urlsplit

from contracts.tool import Destination

__all__ = ["refused_destination"]

_MAX_CHARACTERS = 2_000
_PRINTABLE = re.compile(r"[!-~]+")


def refused_destination(destinations: Sequence[Destination], allowed: Sequence[str]) -> str:
    """The first destination that no pattern allows, with why, in words for model and record; empty: all are allowed.

    Patterns: `example.com` is that host, or mail to it; `*.example.com` every host below it, and mail there;
    `@example.com` mail to that domain alone; `ops@example.com` one mailbox; anything else an account, where a `*` at
    the end stands for the rest. What cannot be read for certain is not allowed.
    """
    for destination in destinations:
        name = _name(destination)
        if name is None:
            return f"the {destination.kind} {destination.value[:100]!r} cannot be read for certain"
        if not any(_matches(destination.kind, name, _plain(pattern)) for pattern in allowed):
            return f"the {destination.kind} {name[:100]!r} is not on the list of allowed destinations"
    return ""


def _name(destination: Destination) -> str | None:
    """The destination in one spelling; None when two readers could take it for different ones."""
    text = destination.value
    # A look-alike in another script would be another destination than the one that people read.
    if not text or len(text) > _MAX_CHARACTERS or not text.isascii() or not _PRINTABLE.fullmatch(text):
        return None
    match destination.kind:
        case "host":
            return _host(text)
        case "email":
            local, at, domain = text.partition("@")
            host = _host(domain) if at and local and "@" not in domain else None
            return None if host is None or any(c in local for c in '<>,;:"\\()[]%!') else f"{local.lower()}@{host}"
        case "account":
            return text.upper() if all(c.isalnum() or c in "-_." for c in text) else None


def _host(text: str) -> str | None:
    """A host name, or that of a URL without a user, in lower case."""
    if "://" in text:
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:
            return None
        if parts.scheme not in {"http", "https"} or parts.username is not None or "\\" in text:
            return None
        text = parts.hostname or ""
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if not name or len(name) > 253 or not all(_is_label(label) for label in labels):  # noqa: PLR2004 - DNS's own bound
        return None
    return name


def _is_label(label: str) -> bool:
    return bool(label) and len(label) <= 63 and all(c.isalnum() or c == "-" for c in label) and label[0] != "-"  # noqa: PLR2004 - DNS's own bound


def _plain(pattern: str) -> str:
    return unicodedata.normalize("NFKC", pattern).strip()


def _matches(kind: str, name: str, pattern: str) -> bool:
    if kind == "account":
        wanted = pattern.upper()
        return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted
    wanted = pattern.lower().removesuffix(".")
    host = name.partition("@")[2] if kind == "email" else name
    if wanted.startswith("@"):
        return kind == "email" and host == wanted[1:]
    if "@" in wanted:
        return kind == "email" and name == wanted
    if wanted.startswith("*."):
        return host.endswith(wanted[1:]) and host != wanted[2:]
    return host == wanted
