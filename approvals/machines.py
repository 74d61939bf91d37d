"""Machines at the other end: tokens with scopes. A machine lists, looks and stops; it never decides."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.canonical import opaque_id
from store.api_tokens import ApiToken, Author, Scope, add_token, find_token
from store.approval_lists import Reader
from store.database import Database

__all__ = ["TOKEN_PREFIX", "Machine", "find_machine", "make_token"]

TOKEN_PREFIX = "cst_"  # noqa: S105 - what every token begins with, so that scanners know one; it opens nothing
_TOKEN = re.compile(r"cst_([a-z][a-z0-9-]{0,39})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True)
class Machine:
    """A program with a token."""

    tenant: str
    token_id: str
    name: str
    scopes: tuple[Scope, ...]
    expires_at: datetime

    @property
    def account(self) -> str:
        """What is written down of whatever it does."""
        return f"token:{self.name} ({self.token_id})"

    @property
    def reader(self) -> Reader:
        """Nobody: nothing is its own."""
        return Reader(may_decide=False)


async def make_token(
    database: Database, tenant: str, *, name: str, scopes: tuple[Scope, ...], lives: timedelta, by: Author
) -> tuple[str, ApiToken] | None:
    """A new token and what is kept of it; None: the tenant has too many.

    Its 256 random bits cannot be guessed, so a plain SHA-256 keeps them: a slow hash would protect nothing more.
    """
    token = f"{TOKEN_PREFIX}{tenant}.{secrets.token_urlsafe(32)}"
    async with database.tenant(tenant) as cursor:
        kept = await add_token(
            cursor,
            tenant=tenant,
            token_id=opaque_id("tok", tenant, _hash(token).hex()),
            token_hash=_hash(token),
            name=name,
            scopes=scopes,
            lives=lives,
            by=by,
        )
    return (token, kept) if kept else None


async def find_machine(database: Database, token: str) -> Machine | None:
    """Whose token it is; None: nobody's, or its time is over."""
    parts = _TOKEN.fullmatch(token)
    if parts is None:
        return None
    async with database.tenant(parts[1]) as cursor:
        found = await find_token(cursor, parts[1], _hash(token))
    if found is None:
        return None
    return Machine(found.tenant, found.token_id, found.name, found.scopes, found.expires_at)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
