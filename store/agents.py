"""States of agents as principals of a tenant."""

from typing import LiteralString

from settings.tenants import TenantsFile
from store.database import Database

__all__ = ["ensure_agent_states"]

_INSERT_IF_ABSENT: LiteralString = """
insert into agent_states (tenant, agent, enabled, stage, tier_ceiling, changed_by)
values (%(tenant)s, %(agent)s, %(enabled)s, %(stage)s, %(tier_ceiling)s, 'tenants file')
on conflict (tenant, agent) do nothing
returning agent"""


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
