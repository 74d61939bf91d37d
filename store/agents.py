"""States of agents as principals of a tenant: enabled, stage, tier ceiling, and who changed them why."""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.agent import Stage
from contracts.base import Record
from settings.tenants import TenantsFile
from store.database import Database

__all__ = [
    "AgentChange",
    "AgentState",
    "ChangeResult",
    "ChangeVerb",
    "WantedState",
    "agent_changes",
    "change_agent",
    "ensure_agent_states",
    "find_agent",
    "list_agents",
]

ChangeVerb = Literal["enable", "disable", "stage", "ceiling"]

_INSERT_IF_ABSENT: LiteralString = """
insert into agent_states (tenant, agent, enabled, stage, tier_ceiling, changed_by)
values (%(tenant)s, %(agent)s, %(enabled)s, %(stage)s, %(tier_ceiling)s, 'tenants file')
on conflict (tenant, agent) do nothing
returning agent"""

_STATE: LiteralString = """
select tenant, agent, enabled, stage, tier_ceiling, version, changed_by, changed_at from agent_states"""


class WantedState(Record):
    """What may be changed of an agent."""

    enabled: bool
    """Whether it may run at all."""
    stage: Stage
    """Autonomy level."""
    tier_ceiling: int = Field(ge=0, le=4)
    """Highest risk tier that it may ever call."""


class AgentState(Record):
    """An agent in a tenant, as it is now."""

    tenant: str
    agent: str
    enabled: bool
    stage: Stage
    tier_ceiling: int
    version: int
    """Rises with every change."""
    changed_by: str
    changed_at: datetime

    @property
    def wanted(self) -> WantedState:
        """The part that may be changed."""
        return WantedState(enabled=self.enabled, stage=self.stage, tier_ceiling=self.tier_ceiling)


class AgentChange(Record):
    """One change: by whom, under which role, why."""

    agent: str
    version: int
    """Version of the state that it made."""
    at: datetime
    verb: ChangeVerb
    changed_by: str
    role: str
    reason: str
    before: str
    """JSON."""
    after: str
    """JSON."""


class ChangeResult(Record):
    """What became of a change."""

    kind: Literal["changed", "same", "moved", "absent"]
    """`moved`: somebody else changed it since it was looked at; `same`: it was so already."""
    version: int | None
    epoch: int | None
    """Of a disabled agent: its credentials below this are refused."""


async def ensure_agent_states(store: Database, tenants: TenantsFile) -> list[str]:
    """Give each agent that has no state yet the one of the tenants' file; a state that is there stays as it is.

    Returns:
        What was added, as `tenant/agent`.

    Raises:
        StoreDown: the agents before the fault have their states; calling again is safe.
    """
    added: list[str] = []
    for tenant_id, tenant in tenants.tenants.items():
        if not tenant.agents:
            continue
        async with store.tenant(tenant_id) as cursor:
            for agent, state in tenant.agents.items():
                values = {"tenant": tenant_id, "agent": agent, **state.model_dump(mode="json")}
                await cursor.execute(_INSERT_IF_ABSENT, values)
                if await cursor.fetchone() is not None:
                    added.append(f"{tenant_id}/{agent}")
    return added


async def find_agent(cursor: AsyncCursor[DictRow], tenant: str, agent: str) -> AgentState | None:
    """An agent's state; None: it has none, and so it is off."""
    await cursor.execute(_STATE + " where tenant = %s and agent = %s", (tenant, agent))
    row = await cursor.fetchone()
    return AgentState.model_validate(row) if row else None


async def list_agents(cursor: AsyncCursor[DictRow], tenant: str) -> tuple[AgentState, ...]:
    """The tenant's agents by name."""
    await cursor.execute(_STATE + " where tenant = %s order by agent limit 1000", (tenant,))
    return tuple(AgentState.model_validate(row) for row in await cursor.fetchall())


async def agent_changes(
    cursor: AsyncCursor[DictRow], tenant: str, agent: str, limit: int = 20
) -> tuple[AgentChange, ...]:
    """The newest changes of an agent."""
    await cursor.execute(
        """select agent, version, at, verb, changed_by, role, reason, before, after from agent_changes
           where tenant = %s and agent = %s order by version desc limit %s""",
        (tenant, agent, limit),
    )
    return tuple(AgentChange.model_validate(row) for row in await cursor.fetchall())


async def change_agent(
    store: Database, seen: AgentState, verb: ChangeVerb, wanted: WantedState, *, by: str, role: str, reason: str
) -> ChangeResult:
    """Change an agent's state, if it still is the one that was seen. The next admission of the gate decides on it."""
    row = await store.call(
        "select * from change_agent(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (seen.tenant, seen.agent, seen.version, verb, wanted.enabled, wanted.stage.value, wanted.tier_ceiling, by,
         role, reason),
    )  # fmt: skip
    return ChangeResult.model_validate(row)
