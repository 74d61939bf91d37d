"""Kill switches: thrown, released, listed, with what was under way when each fell and what became of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import computed_field

from contracts.base import Record
from store.database import Database

__all__ = [
    "EVERYBODY",
    "Receipt",
    "SwitchRow",
    "SwitchScope",
    "Thrown",
    "find_switch",
    "halted_by",
    "list_switches",
    "receipts_of",
    "release_switch",
    "throw_switch",
    "under_way",
]

SwitchScope = Literal["global", "tenant", "agent", "tool", "run"]
EVERYBODY = "*"
MAX_LISTED = 500
_UNSETTLED = ("prepared", "in_flight", "unknown", "reserved")


class SwitchRow(Record):
    """A kill switch that is or was on."""

    switch_id: int
    tenant: str
    """`*`: it holds for every tenant."""
    scope: Literal["tenant", "agent", "tool", "run"]
    target: str
    """Agent, tool or run; `*`: a whole tenant."""
    reason: str
    set_by: str
    set_at: datetime
    epoch: int | None
    """Credentials of the scope with a lower one are refused."""
    released_by: str | None
    released_at: datetime | None
    released_reason: str | None

    @computed_field
    @property
    def kind(self) -> SwitchScope:
        """The scope as people say it: tenant `*` is `global`."""
        return "global" if self.tenant == EVERYBODY and self.scope == "tenant" else self.scope


class Thrown(Record):
    """A switch is on."""

    switch_id: int
    fresh: bool
    """False: it was on already, and nothing was changed."""
    in_flight: int
    """Calls that were under way when it fell."""
    set_at: datetime
    epoch: int | None


class Receipt(Record):
    """A call that was under way when a switch fell, or is now."""

    run_id: str
    step: int
    call: int
    """-1: the step's model call."""
    visit: int
    agent: str
    tool: str | None
    kind: Literal["write", "read", "model"]
    state: str
    """Then: `prepared` (admitted, not sent), `in_flight`, `unknown`, or `reserved` of a read or a model call."""
    since: datetime
    attempts: int
    now: str
    """Its state by now."""

    @computed_field
    @property
    def effect_key(self) -> str:
        """Under which the service knows it; of a write."""
        return f"{self.run_id}/{self.step}/{self.call}" if self.kind == "write" else ""

    @computed_field
    @property
    def settled(self) -> bool:
        """Whether it is known what became of it."""
        return self.now not in _UNSETTLED


async def throw_switch(
    database: Database, *, tenant: str, scope: str, target: str, reason: str, by: str, tenants: Sequence[str]
) -> Thrown:
    """Throw a switch, revoke the credentials of its scope, write down what is under way: one transaction.

    `tenants` are searched for what is under way: the tenant itself, or every one for tenant `*`.
    """
    row = await database.call(
        "select * from throw_switch(%s, %s, %s, %s, %s, %s::text[])",
        (tenant, scope, target, reason[:2_000], by, list(tenants)),
    )
    return Thrown.model_validate(row)


async def release_switch(
    cursor: AsyncCursor[DictRow], *, tenant: str, switch_id: int, by: str, reason: str
) -> SwitchRow | None:
    """Release a switch of a tenant; None when it has none of that number that is on."""
    await cursor.execute("select * from release_switch(%s, %s, %s, %s)", (tenant, switch_id, by, reason[:2_000]))
    row = await cursor.fetchone()
    return _switch(row) if row else None


async def find_switch(cursor: AsyncCursor[DictRow], tenant: str, switch_id: int) -> SwitchRow | None:
    """A switch that holds for the tenant, or held."""
    await cursor.execute("select * from switches where tenant in (%s, '*') and switch_id = %s", (tenant, switch_id))
    row = await cursor.fetchone()
    return _switch(row) if row else None


async def halted_by(cursor: AsyncCursor[DictRow], tenant: str, *, run_id: str, agent: str, tool: str) -> str:
    """What keeps a call from running now, a switch or its agent being disabled, in words; empty: nothing does."""
    await cursor.execute("select coalesce(halted_by(%s, %s, %s, %s), '') as words", (tenant, run_id, agent, tool))
    row = await cursor.fetchone()
    return str(row["words"]) if row else ""


async def list_switches(
    cursor: AsyncCursor[DictRow], tenant: str, *, released: bool = False, limit: int = 100
) -> tuple[SwitchRow, ...]:
    """The switches that hold for the tenant, also those of every tenant; `released`: the past ones. Newest first."""
    await cursor.execute(
        """select * from switches where tenant in (%s, '*') and (released_at is not null) = %s
           order by set_at desc, switch_id desc limit %s""",
        (tenant, released, min(limit, MAX_LISTED)),
    )
    return tuple(_switch(row) for row in await cursor.fetchall())


async def receipts_of(
    cursor: AsyncCursor[DictRow], tenant: str, switch_id: int, limit: int = MAX_LISTED
) -> tuple[Receipt, ...]:
    """The receipts of a switch in one tenant with what became of each, unsettled ones first."""
    await cursor.execute(
        """with found as (
               select q.run_id, q.step, q.call, q.visit, q.agent, q.tool, q.kind, q.state, q.since, q.attempts,
                   case when q.kind = 'write' then (select e.state from effects e where e.tenant = q.tenant
                           and e.run_id = q.run_id and e.step = q.step and e.call = q.call)
                       when r.closed_at is not null then 'ended'
                       else (select j.state from journal j where j.tenant = q.tenant and j.run_id = q.run_id
                           and j.step = q.step and j.call = q.call and j.visit = q.visit) end as now
               from switch_receipts q left join runs r on r.tenant = q.tenant and r.run_id = q.run_id
               where q.tenant = %s and q.switch_id = %s)
           select f.run_id, f.step, f.call, f.visit, f.agent, f.tool, f.kind, f.state, f.since, f.attempts,
               coalesce(f.now, 'gone') as now
           from found f
           order by f.now in ('prepared', 'in_flight', 'unknown', 'reserved') desc, f.run_id, f.step, f.call
           limit %s""",
        (tenant, switch_id, limit),
    )
    return tuple(Receipt.model_validate(row) for row in await cursor.fetchall())


async def under_way(cursor: AsyncCursor[DictRow], tenant: str, limit: int = MAX_LISTED) -> tuple[Receipt, ...]:
    """What the tenant's open runs have started and not finished, oldest first."""
    await cursor.execute(
        "select u.*, u.state as now from under_way(%s) u order by since, run_id, step, call limit %s", (tenant, limit)
    )
    return tuple(Receipt.model_validate(row) for row in await cursor.fetchall())


def _switch(row: DictRow) -> SwitchRow:
    return SwitchRow.model_validate(row)
