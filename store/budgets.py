"""What a run and its day have used of their budgets, in one statement: for the page of a request."""

from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import RunLimits
from contracts.base import Record
from store.limits import CounterNow

__all__ = ["BudgetsNow", "budgets_of"]


class BudgetsNow(Record):
    """As it stands at this moment: it moves with every call of the agent, the tenant and the tool."""

    agent: str
    limits: RunLimits
    """As pinned for the run."""
    limit_changes: dict[str, int]
    """By how much each was raised, or shrunk, since."""
    tool_calls: int
    micros: int
    """Model cost used or reserved, in micro-dollars."""
    tokens: int
    held_tool_calls: int
    """What the run holds of the day's allotments: counted as used there, and left to this run."""
    held_micros: int
    ends_at: datetime
    """When the tenant's day ends."""
    counters: tuple[CounterNow, ...]
    """Of the day: of the agent, the tenant and the tool, where they have used anything."""


async def budgets_of(
    cursor: AsyncCursor[DictRow], *, tenant: str, run_id: str, tool: str, zone: str
) -> BudgetsNow | None:
    """The budgets that a call of the tool in the run draws on; None when the run, or its definition, is gone."""
    await cursor.execute(
        """select r.agent, d.body::json -> 'limits' as limits, coalesce(s.limit_changes, '{}'::jsonb) as limit_changes,
               s.tool_calls, s.micros_used + s.micros_reserved as micros, s.tokens_used + s.tokens_reserved as tokens,
               case when s.allot_day = p.period then s.left_tool_calls else 0 end as held_tool_calls,
               case when s.allot_day = p.period then s.left_micros else 0 end as held_micros, p.ends as ends_at,
               array(select to_jsonb(c) - '{tenant,period}'::text[] from counters c
                   where c.tenant = r.tenant and c.period = p.period
                       and (c.scope, c.subject) in (('agent', r.agent), ('tenant', '*'), ('tool', %(tool)s))
               ) as counters
           from runs r join run_state s using (tenant, run_id)
               join definitions d on d.tenant = r.tenant and d.digest = r.definition
               cross join period_of(%(zone)s) p
           where r.tenant = %(tenant)s and r.run_id = %(run_id)s""",
        {"tenant": tenant, "run_id": run_id, "tool": tool, "zone": zone},
    )
    row = await cursor.fetchone()
    return BudgetsNow.model_validate(row) if row else None
