"""Programs that ask to be signed in (RFC 8628): each is asked for once, answered once, and taken once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from store.sessions import Begun, StoredSession, note_session

__all__ = [
    "INTERVAL_S",
    "LIFETIME",
    "AskedSignIn",
    "Let",
    "Poll",
    "answer_sign_in",
    "ask_sign_in",
    "find_asked",
    "may_try",
    "poll",
]

LIFETIME = timedelta(minutes=10)
"""A code that nobody has answered by then is worth nothing."""
INTERVAL_S = 2
"""A program may ask again after so long; each time it is faster, this grows by `_SLOWER_S` (RFC 8628, 3.5)."""
MAX_OPEN = 10_000
"""Of a tenant at once."""
_SLOWER_S = 5
MAX_TRIES = 15
"""Codes that an account may type within `_TRIED_WITHIN`, right ones too."""
_TRIED_WITHIN = timedelta(minutes=5)


class AskedSignIn(Record):
    """What a program asked for."""

    front_end: str
    """What it calls itself."""
    address: str
    scopes: tuple[str, ...]
    """Roles that it wants to use."""
    asked_at: datetime
    expires_at: datetime


class Poll(StrEnum):
    """Why a program has no token, by the codes of RFC 8628, 3.5."""

    WAITING = "authorization_pending"
    TOO_FAST = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    UNKNOWN = "invalid_grant"


@dataclass(frozen=True)
class Let:
    """A person let the program in: their account, and how its session begins."""

    username: str
    begun: Begun


_COLUMNS = "front_end, address, scopes, asked_at, expires_at"


async def ask_sign_in(
    cursor: AsyncCursor[DictRow], tenant: str, device_hash: bytes, user_hash: bytes, *, front_end: str, address: str,
    scopes: Sequence[str],
) -> bool:  # fmt: skip
    """Keep what a program asks for; False: the code is in use, or too many wait. Forgets those that are long over."""
    await cursor.execute(
        "delete from device_sign_ins where tenant = %s and expires_at < now() - %s", (tenant, LIFETIME)
    )
    await cursor.execute(
        """insert into device_sign_ins (tenant, device_hash, user_hash, front_end, address, scopes, expires_at,
               interval_s)
           select %(tenant)s::text, %(device)s::bytea, %(user)s::bytea, %(front_end)s::text, %(address)s::text,
               %(scopes)s::text[], now() + %(lives)s::interval, %(interval)s::int
           where (select count(*) from device_sign_ins where tenant = %(tenant)s) < %(most)s
           on conflict do nothing""",
        {
            "tenant": tenant, "device": device_hash, "user": user_hash, "front_end": front_end, "address": address,
            "scopes": list(scopes), "lives": LIFETIME, "interval": INTERVAL_S, "most": MAX_OPEN,
        },
    )  # fmt: skip
    return cursor.rowcount == 1


async def may_try(cursor: AsyncCursor[DictRow], tenant: str, username: str) -> bool:
    """Count a code that the account types, before it is looked up, and say whether it may be."""
    await cursor.execute(
        """update accounts set
               code_tries = case when code_tries_since > now() - %(within)s then code_tries + 1 else 1 end,
               code_tries_since = case when code_tries_since > now() - %(within)s then code_tries_since else now() end
           where tenant = %(tenant)s and username = %(username)s
               and not coalesce(code_tries_since > now() - %(within)s and code_tries >= %(most)s, false)""",
        {"tenant": tenant, "username": username, "within": _TRIED_WITHIN, "most": MAX_TRIES},
    )
    return cursor.rowcount == 1


async def find_asked(cursor: AsyncCursor[DictRow], tenant: str, user_hash: bytes) -> AskedSignIn | None:
    """What waits under a person's code; None: nothing, or not any more."""
    await cursor.execute(
        f"""select {_COLUMNS} from device_sign_ins
            where tenant = %s and user_hash = %s and state = 'waiting' and expires_at > now()""",  # noqa: S608 - our columns
        (tenant, user_hash),
    )
    row = await cursor.fetchone()
    return AskedSignIn.model_validate(row) if row else None


async def answer_sign_in(
    cursor: AsyncCursor[DictRow], who: StoredSession, user_hash: bytes, *, allow: bool
) -> AskedSignIn | None:
    """Let the program in as this person, or not; None: nothing waits under that code any more.

    What the program gets is what this session has: when and how strongly the person proved who they are, and its end.
    """
    await cursor.execute(
        f"""update device_sign_ins set state = %s, username = %s, multi_factor = %s, authenticated_at = %s,
                session_ends_at = %s
            where tenant = %s and user_hash = %s and state = 'waiting' and expires_at > now()
            returning {_COLUMNS}""",  # noqa: S608 - our columns
        (
            "allowed" if allow else "denied", who.username, who.multi_factor, who.authenticated_at, who.expires_at,
            who.tenant, user_hash,
        ),
    )  # fmt: skip
    row = await cursor.fetchone()
    if row is None:
        return None
    found = AskedSignIn.model_validate(row)
    await note_session(
        cursor, "allow" if allow else "deny", who, front_end=found.front_end, address=found.address,
        scopes=found.scopes,
    )  # fmt: skip
    return found


async def poll(cursor: AsyncCursor[DictRow], tenant: str, device_hash: bytes) -> Let | Poll:
    """What became of it. Once somebody let the program in, the first to come takes it, and nobody else."""
    await cursor.execute(
        """select *, expires_at <= now() as is_over, polled_at > now() - make_interval(secs => interval_s) as is_fast
           from device_sign_ins where tenant = %s and device_hash = %s for update""",
        (tenant, device_hash),
    )
    row = await cursor.fetchone()
    if row is None or row["state"] == "taken":
        return Poll.UNKNOWN
    if row["is_over"]:
        return Poll.EXPIRED
    if row["state"] == "denied":
        return Poll.DENIED
    is_taken = row["state"] == "allowed" and not row["is_fast"]
    await cursor.execute(
        """update device_sign_ins set polled_at = now(), interval_s = interval_s + %s, state = %s
           where tenant = %s and device_hash = %s""",
        (_SLOWER_S if row["is_fast"] else 0, "taken" if is_taken else row["state"], tenant, device_hash),
    )
    if row["is_fast"]:
        return Poll.TOO_FAST
    if not is_taken:
        return Poll.WAITING
    begun = Begun(
        address=row["address"], front_end=row["front_end"], scopes=tuple(row["scopes"]),
        multi_factor=row["multi_factor"], authenticated_at=row["authenticated_at"], ends_at=row["session_ends_at"],
    )  # fmt: skip
    return Let(row["username"], begun)
