"""Sessions of browsers and command lines. Only the hash of a token is kept."""

from datetime import datetime, timedelta

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record

__all__ = ["ABSOLUTE", "IDLE", "StoredSession", "add_session", "end_session", "find_session"]

IDLE = timedelta(minutes=30)
"""A session that nobody uses for so long is over."""
ABSOLUTE = timedelta(hours=12)
"""No session lives longer, used or not."""
MAX_SESSIONS = 20
"""Sessions of one account; the oldest give way."""


class StoredSession(Record):
    """A live session, with its account as it is now: a change of groups or roles holds at once."""

    tenant: str
    username: str
    person: str
    display_name: str
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    csrf_hash: bytes
    """SHA-256 of the CSRF token of its forms."""
    issuer: str
    """Who vouches for the account."""
    multi_factor: bool
    """Whether more than a password was shown."""
    authenticated_at: datetime
    """When the person last proved who they are."""
    expires_at: datetime


async def add_session(
    cursor: AsyncCursor[DictRow],
    *,
    tenant: str,
    username: str,
    token_hash: bytes,
    csrf_hash: bytes,
    multi_factor: bool = False,
    authenticated_at: datetime | None = None,
) -> None:
    """Start a session, and end the account's dead and surplus ones. `authenticated_at`: None is now."""
    await cursor.execute(
        """delete from sessions where tenant = %(tenant)s and username = %(username)s and (expires_at <= now()
               or last_seen_at <= now() - %(idle)s or token_hash in (
                   select token_hash from sessions where tenant = %(tenant)s and username = %(username)s
                   order by authenticated_at desc offset %(kept)s))""",
        {"tenant": tenant, "username": username, "idle": IDLE, "kept": MAX_SESSIONS - 1},
    )
    await cursor.execute(
        """insert into sessions (tenant, token_hash, username, csrf_hash, multi_factor, authenticated_at, expires_at)
           values (%s, %s, %s, %s, %s, least(coalesce(%s, now()), now()), now() + %s)""",
        (tenant, token_hash, username, csrf_hash, multi_factor, authenticated_at, ABSOLUTE),
    )


async def find_session(cursor: AsyncCursor[DictRow], tenant: str, token_hash: bytes) -> StoredSession | None:
    """The live session of that token, or None. Using it keeps it from idling out."""
    await cursor.execute(
        """select s.tenant, s.username, s.csrf_hash, s.multi_factor, s.authenticated_at, s.expires_at,
               a.issuer, a.person, a.display_name, a.groups, a.roles,
               s.last_seen_at < now() - interval '1 minute' as stale
           from sessions s join accounts a on a.tenant = s.tenant and a.username = s.username
           where s.tenant = %s and s.token_hash = %s and s.expires_at > now() and s.last_seen_at > now() - %s
               and not a.disabled""",
        (tenant, token_hash, IDLE),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row.pop("stale"):  # written once a minute, not at every page
        await cursor.execute(
            "update sessions set last_seen_at = now() where tenant = %s and token_hash = %s", (tenant, token_hash)
        )
    return StoredSession.model_validate(row)


async def end_session(cursor: AsyncCursor[DictRow], tenant: str, token_hash: bytes) -> None:
    """Sign out."""
    await cursor.execute("delete from sessions where tenant = %s and token_hash = %s", (tenant, token_hash))
