"""Sessions of browsers and of other front ends. Only the hash of a token is kept."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import opaque_id

__all__ = [
    "ABSOLUTE",
    "IDLE",
    "Begun",
    "ListedSession",
    "StoredSession",
    "add_session",
    "end_all_sessions",
    "end_one_session",
    "end_session",
    "end_sessions_of",
    "find_session",
    "list_sessions",
    "note_session",
    "token_hash_of",
]

IDLE = timedelta(minutes=30)
"""A session that nobody uses for so long is over."""
ABSOLUTE = timedelta(hours=12)
"""No session lives longer, used or not."""
MAX_SESSIONS = 20
"""Sessions of one account; the oldest give way."""


def token_hash_of(token: str) -> bytes:
    """What is kept of a session's token."""
    return hashlib.sha256(token.encode()).digest()


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
    front_end: str = ""
    """What a program calls itself; empty of a browser."""


class Begun(Record):
    """Where and how a session begins."""

    address: str = ""
    """Network address of whoever begins it."""
    browser: str = ""
    """What a browser says that it is, in words of ours."""
    front_end: str = ""
    """What a program calls itself; empty of a browser."""
    scopes: tuple[str, ...] | None = None
    """Roles that it may use of its account's; None: all."""
    multi_factor: bool = False
    """Whether more than a password was shown."""
    authenticated_at: datetime | None = None
    """When the person proved who they are; None: now."""
    ends_at: datetime | None = None
    """It ends then at the latest; None: after `ABSOLUTE`."""


class ListedSession(Record):
    """A live session, for the person whose it is: nothing that opens anything."""

    session_id: str
    front_end: str
    address: str
    browser: str
    scopes: tuple[str, ...] | None
    multi_factor: bool
    started_at: datetime
    last_used_at: datetime
    """To a minute."""
    expires_at: datetime
    is_this: bool
    """Whether it is the one in which the list is read."""


async def add_session(
    cursor: AsyncCursor[DictRow],
    *,
    tenant: str,
    username: str,
    token_hash: bytes,
    csrf_hash: bytes,
    begun: Begun,
) -> None:
    """Start a session, and end the account's dead and surplus ones."""
    await cursor.execute(
        """delete from sessions where tenant = %(tenant)s and username = %(username)s and (expires_at <= now()
               or last_seen_at <= now() - %(idle)s or token_hash in (
                   select token_hash from sessions where tenant = %(tenant)s and username = %(username)s
                   order by authenticated_at desc offset %(kept)s))""",
        {"tenant": tenant, "username": username, "idle": IDLE, "kept": MAX_SESSIONS - 1},
    )
    await cursor.execute(
        """insert into sessions (tenant, token_hash, username, csrf_hash, multi_factor, authenticated_at, expires_at,
               front_end, address, browser, scopes)
           values (%s, %s, %s, %s, %s, least(coalesce(%s, now()), now()), least(now() + %s, %s), %s, %s, %s, %s)""",
        (
            tenant,
            token_hash,
            username,
            csrf_hash,
            begun.multi_factor,
            begun.authenticated_at,
            ABSOLUTE,
            begun.ends_at,
            begun.front_end,
            begun.address,
            begun.browser,
            None if begun.scopes is None else list(begun.scopes),
        ),
    )


async def find_session(cursor: AsyncCursor[DictRow], tenant: str, token_hash: bytes) -> StoredSession | None:
    """The live session of that token, or None. Using it keeps it from idling out."""
    await cursor.execute(
        """select s.tenant, s.username, s.csrf_hash, s.multi_factor, s.authenticated_at, s.expires_at,
               s.front_end, a.issuer, a.person, a.display_name, a.groups,
               array(select role from unnest(a.roles) role where s.scopes is null or role = any(s.scopes)) as roles,
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


async def list_sessions(cursor: AsyncCursor[DictRow], mine: StoredSession, this: bytes) -> tuple[ListedSession, ...]:
    """The live sessions of one's account, the one used last first. `this`: hash of the token that asks."""
    await cursor.execute(
        """select token_hash, front_end, address, browser, scopes, multi_factor, started_at,
               last_seen_at as last_used_at, expires_at
           from sessions where tenant = %s and username = %s and expires_at > now() and last_seen_at > now() - %s
           order by last_seen_at desc, token_hash limit %s""",
        (mine.tenant, mine.username, IDLE, MAX_SESSIONS),
    )
    found = [(bytes(row.pop("token_hash")), row) for row in await cursor.fetchall()]
    return tuple(
        ListedSession.model_validate({**row, "session_id": _id_of(mine.tenant, token), "is_this": token == this})
        for token, row in found
    )


async def end_one_session(cursor: AsyncCursor[DictRow], mine: StoredSession, session_id: str) -> bool:
    """End one of one's own sessions by its id; False when there is none."""
    await cursor.execute(
        "select token_hash, front_end, address from sessions where tenant = %s and username = %s",
        (mine.tenant, mine.username),
    )
    for row in await cursor.fetchall():
        if _id_of(mine.tenant, bytes(row["token_hash"])) == session_id:
            await end_session(cursor, mine.tenant, bytes(row["token_hash"]))
            await note_session(cursor, "end", mine, front_end=row["front_end"], address=row["address"])
            return True
    return False


async def end_all_sessions(cursor: AsyncCursor[DictRow], mine: StoredSession) -> None:
    """Sign out everywhere: of this session too."""
    await end_sessions_of(cursor, mine.tenant, mine.username)
    await note_session(cursor, "end_all", mine)


async def end_sessions_of(cursor: AsyncCursor[DictRow], tenant: str, username: str) -> None:
    """End every session of an account, and let nobody in whom it let in and who has not come for the token yet."""
    await cursor.execute(
        "update device_sign_ins set state = 'denied' where tenant = %s and username = %s and state = 'allowed'",
        (tenant, username),
    )
    await cursor.execute("delete from sessions where tenant = %s and username = %s", (tenant, username))


async def note_session(
    cursor: AsyncCursor[DictRow],
    verb: Literal["allow", "deny", "end", "end_all"],
    who: StoredSession,
    *,
    front_end: str = "",
    address: str = "",
    scopes: Sequence[str] = (),
) -> None:
    """Write down what somebody did about a session of theirs."""
    await cursor.execute(
        """insert into session_changes (tenant, verb, username, person, front_end, address, scopes)
           values (%s, %s, %s, %s, %s, %s, %s)""",
        (who.tenant, verb, who.username, who.person, front_end, address, list(scopes)),
    )


def _id_of(tenant: str, token_hash: bytes) -> str:
    return opaque_id("ses", tenant, token_hash.hex())
