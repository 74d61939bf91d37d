"""Tokens of machines: made and revoked by administrators, found by their hash. The token itself is nowhere."""

from datetime import datetime, timedelta
from typing import Literal, get_args

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record

__all__ = [
    "MAX_ACTIVE",
    "SCOPES",
    "ApiToken",
    "Author",
    "Scope",
    "add_token",
    "find_token",
    "list_tokens",
    "revoke_token",
]

Scope = Literal["requests:read", "runs:read", "kill"]
"""`requests:read`: approval requests and decisions; `runs:read`: what is stopped, under way or in doubt; `kill`: throw
a kill switch, never release one."""
SCOPES: tuple[Scope, ...] = get_args(Scope)
MAX_ACTIVE = 100
"""Tokens of a tenant that are neither expired nor revoked."""
MAX_LISTED = 500
_NOTED_EVERY = timedelta(minutes=10)


class Author(Record):
    """Who makes or revokes a token."""

    username: str
    person: str
    """The human being."""


class ApiToken(Record):
    """A token, without what opens anything."""

    tenant: str
    token_id: str
    name: str
    """What it is for."""
    scopes: tuple[Scope, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    """To ten minutes."""
    revoked_at: datetime | None
    revoked_by: str | None
    state: Literal["active", "expired", "revoked"]


_SELECT = """
    select tenant, token_id, name, scopes, created_by, created_at, expires_at, last_used_at, revoked_at, revoked_by,
        case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'active'
        end as state
    from api_tokens where tenant = %(tenant)s
"""


async def add_token(
    cursor: AsyncCursor[DictRow],
    *,
    tenant: str,
    token_id: str,
    token_hash: bytes,
    name: str,
    scopes: tuple[Scope, ...],
    lives: timedelta,
    by: Author,
) -> ApiToken | None:
    """Write a token down, with who made it; None: the tenant has `MAX_ACTIVE` already."""
    # Two administrators at once must not pass the limit together.
    await cursor.execute("select pg_advisory_xact_lock(hashtext('api_tokens ' || %s))", (tenant,))
    await cursor.execute(
        """insert into api_tokens (tenant, token_id, token_hash, name, scopes, created_by, expires_at)
           select %(tenant)s::text, %(token_id)s::text, %(token_hash)s::bytea, %(name)s::text, %(scopes)s::text[],
               %(by)s::text, now() + %(lives)s::interval
           where (select count(*) from api_tokens where tenant = %(tenant)s and revoked_at is null
               and expires_at > now()) < %(most)s""",
        {
            "tenant": tenant,
            "token_id": token_id,
            "token_hash": token_hash,
            "name": name,
            "scopes": list(scopes),
            "by": by.username,
            "lives": lives,
            "most": MAX_ACTIVE,
        },
    )
    if cursor.rowcount == 0:
        return None
    await _write_down(cursor, tenant, token_id, "create", by, name)
    return await _find(cursor, tenant, token_id)


async def find_token(cursor: AsyncCursor[DictRow], tenant: str, token_hash: bytes) -> ApiToken | None:
    """The active token of that hash, or None. Its use is noted now and then."""
    await cursor.execute(
        _SELECT + " and token_hash = %(token_hash)s and revoked_at is null and expires_at > now()",
        {"tenant": tenant, "token_hash": token_hash},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    found = ApiToken.model_validate(row)
    await cursor.execute(
        """update api_tokens set last_used_at = now() where tenant = %s and token_id = %s
               and (last_used_at is null or last_used_at < now() - %s)""",
        (tenant, found.token_id, _NOTED_EVERY),
    )
    return found


async def list_tokens(cursor: AsyncCursor[DictRow], tenant: str) -> tuple[ApiToken, ...]:
    """The tenant's tokens, the newest first, with those that are over."""
    await cursor.execute(
        _SELECT + " order by created_at desc, token_id limit %(most)s", {"tenant": tenant, "most": MAX_LISTED}
    )
    return tuple(ApiToken.model_validate(row) for row in await cursor.fetchall())


async def revoke_token(
    cursor: AsyncCursor[DictRow], *, tenant: str, token_id: str, by: Author, reason: str
) -> ApiToken | None:
    """End a token at once; again changes nothing. None: the tenant has no such token."""
    await cursor.execute(
        """update api_tokens set revoked_at = now(), revoked_by = %s
           where tenant = %s and token_id = %s and revoked_at is null""",
        (by.username, tenant, token_id),
    )
    if cursor.rowcount:
        await _write_down(cursor, tenant, token_id, "revoke", by, reason)
    return await _find(cursor, tenant, token_id)


async def _find(cursor: AsyncCursor[DictRow], tenant: str, token_id: str) -> ApiToken | None:
    await cursor.execute(_SELECT + " and token_id = %(token_id)s", {"tenant": tenant, "token_id": token_id})
    row = await cursor.fetchone()
    return ApiToken.model_validate(row) if row else None


async def _write_down(
    cursor: AsyncCursor[DictRow], tenant: str, token_id: str, verb: Literal["create", "revoke"], by: Author, reason: str
) -> None:
    await cursor.execute(
        """insert into api_token_changes (tenant, token_id, verb, changed_by, person, reason, scopes, expires_at)
           select tenant, token_id, %s::text, %s::text, %s::text, %s::text, scopes, expires_at from api_tokens
           where tenant = %s and token_id = %s""",
        (verb, by.username, by.person, reason, tenant, token_id),
    )
