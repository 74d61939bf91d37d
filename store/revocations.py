"""Revocation epochs: which credentials services must refuse, though their time is not over."""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Record
from store.database import Database

__all__ = ["EVERYBODY", "NEWS_S", "Revocation", "Scope", "current_epoch", "list_revocations", "news", "revoke"]

Scope = Literal["tenant", "agent", "tool", "run"]
EVERYBODY = "*"
"""Tenant of a revocation that holds for all tenants; target of one that holds for a whole tenant."""
NEWS_S = 900
"""How long a revocation is told to services, in seconds: three times the longest life of a credential (300 s)."""
MAX_NEWS = 5_000
"""Most revocations that are told one by one."""


class Revocation(Record):
    """One raised epoch."""

    tenant: str
    scope: Scope
    target: str
    epoch: int
    """Credentials of this scope with a lower one are refused."""
    at: datetime
    revoked_by: str
    reason: str = Field(max_length=2_000)


async def revoke(cursor: AsyncCursor[DictRow], *, tenant: str, scope: Scope, target: str, by: str, reason: str) -> int:
    """Raise the epoch of a scope, in a transaction of its tenant. The epoch below which credentials are refused now."""
    await cursor.execute(
        "select revoke_credentials(%s, %s, %s, %s, %s) as epoch", (tenant, scope, target, by, reason[:2_000])
    )
    row = await cursor.fetchone()
    if row is None:
        raise RuntimeError("revoke_credentials returned no row")
    return int(row["epoch"])


async def current_epoch(cursor: AsyncCursor[DictRow], *, tenant: str, run_id: str, agent: str, tool: str) -> int:
    """The epoch that a credential of this call carries now."""
    await cursor.execute("select current_epoch(%s, %s, %s, %s) as epoch", (tenant, run_id, agent, tool))
    row = await cursor.fetchone()
    return int(row["epoch"]) if row else 0


async def list_revocations(
    cursor: AsyncCursor[DictRow], tenant: str, *, target: str = "", limit: int = 100
) -> tuple[Revocation, ...]:
    """The newest revocations of a tenant, those for all tenants among them; of one target where it is named."""
    await cursor.execute(
        """select * from revocations where tenant in (%(tenant)s, '*') and (%(target)s = '' or target = %(target)s)
           order by epoch desc limit %(limit)s""",
        {"tenant": tenant, "target": target, "limit": limit},
    )
    return tuple(Revocation.model_validate(row) for row in await cursor.fetchall())


_NEWS: LiteralString = """
select tenant, scope, target, max(epoch) as epoch from revocations
where at > now() - make_interval(secs => %s)
group by tenant, scope, target order by max(epoch) desc limit %s"""


async def news(dispatch: Database) -> dict[tuple[str, str, str], int]:
    """The epochs that services have to know, of every tenant (role countersign_dispatch), by (tenant, scope, target).

    A revocation older than the longest-lived credential needs no telling. More than `MAX_NEWS` become one for all
    tenants: that refuses calls under way, which is the safe side, and new ones carry a lower epoch until it is over.
    """
    async with dispatch.everywhere() as cursor:
        await cursor.execute(_NEWS, (NEWS_S, MAX_NEWS + 1))
        rows = await cursor.fetchall()
    if len(rows) > MAX_NEWS:
        return {(EVERYBODY, "tenant", EVERYBODY): int(rows[0]["epoch"])}
    return {(row["tenant"], row["scope"], row["target"]): int(row["epoch"]) for row in rows}
