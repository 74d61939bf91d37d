"""Public keys of votes: published by the approvals service, pinned by each run at its start. They have no tenant."""

from datetime import datetime
from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record

__all__ = ["VoteKey", "list_vote_keys", "pinned_vote_keys", "publish_key", "retire_key", "runs_that_pin", "vote_keys"]


class VoteKey(Record):
    """One public key."""

    kid: str
    public_jwk: str
    """Canonical JSON."""
    created_at: datetime
    retired_at: datetime | None
    """From when no run that starts accepts it."""


async def publish_key(cursor: AsyncCursor[DictRow], *, kid: str, public_jwk: str) -> bool:
    """Make the public half of a vote key known to runs that start from now on. The table has no tenant.

    Returns False when the key has been retired: it stays so, and whoever signs with it must not go on.
    """
    await cursor.execute(
        "insert into vote_keys (kid, public_jwk) values (%s, %s) on conflict (kid) do nothing", (kid, public_jwk)
    )
    return kid in await vote_keys(cursor)


async def retire_key(cursor: AsyncCursor[DictRow], kid: str) -> None:
    """Runs that start from now on do not accept the key; those that pinned it still do."""
    await cursor.execute("update vote_keys set retired_at = now() where kid = %s and retired_at is null", (kid,))


async def vote_keys(cursor: AsyncCursor[DictRow]) -> dict[str, str]:
    """Public keys (JWK as canonical JSON) in use, by key id: what a run pins at its start."""
    await cursor.execute("select kid, public_jwk from vote_keys where retired_at is null order by kid limit 100")
    return {row["kid"]: row["public_jwk"] for row in await cursor.fetchall()}


async def list_vote_keys(cursor: AsyncCursor[DictRow]) -> tuple[VoteKey, ...]:
    """Every key that there was, newest first."""
    await cursor.execute(
        "select kid, public_jwk, created_at, retired_at from vote_keys order by created_at desc, kid limit 500"
    )
    return tuple(VoteKey.model_validate(row) for row in await cursor.fetchall())


_PINNED: LiteralString = """
select d.body::json -> 'vote_keys' as keys from runs r
    join definitions d on d.tenant = r.tenant and d.digest = r.definition
where r.tenant = %s and r.run_id = %s"""

_PINNING: LiteralString = """
select r.run_id from runs r join definitions d on d.tenant = r.tenant and d.digest = r.definition
where r.tenant = %s and r.closed_at is null and (d.body::jsonb -> 'vote_keys') ? %s order by r.opened_at limit %s"""


async def pinned_vote_keys(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> frozenset[str]:
    """Ids of the keys with which a run verifies votes; empty when the run is not known here."""
    await cursor.execute(_PINNED, (tenant, run_id))
    row = await cursor.fetchone()
    return frozenset(row["keys"] or ()) if row else frozenset()


async def runs_that_pin(cursor: AsyncCursor[DictRow], tenant: str, kid: str, limit: int = 20) -> tuple[str, ...]:
    """Open runs of a tenant that verify votes with this key, oldest first."""
    await cursor.execute(_PINNING, (tenant, kid, limit))
    return tuple(row["run_id"] for row in await cursor.fetchall())
