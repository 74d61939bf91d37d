"""What a kill switch can be meant for: one on a misspelt name is on, and stops nothing."""

from activities.bundles import load_ladder
from activities.registry import Registry
from contracts.undo import UNDO_SUFFIX
from settings import Settings, SettingsError
from store.agents import list_agents
from store.database import Database
from store.runs import find_run_ids
from store.switches import SwitchScope

__all__ = ["misses"]


async def misses(settings: Settings, store: Database, tenant: str, scope: SwitchScope, target: str) -> str:
    """What there is instead of a target that nobody here knows; empty: it is known, or nobody can tell."""
    match scope:
        case "run":
            known = await find_run_ids(store, tenant, target, limit=1)
            return "" if known else "`countersign runs list` shows the runs"
        case "agent" | "tool":
            try:
                agents = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file)).agents
            except SettingsError:
                return ""
            if scope == "tool":
                names = {tool for agent in agents.values() for tool in agent.tools}
            else:
                async with store.tenant(tenant) as cursor:
                    names = {*agents, *(state.agent for state in await list_agents(cursor, tenant))}
                names |= {f"{name}{UNDO_SUFFIX}" for name in names}
            return "" if target in names else f"{scope}s here: {', '.join(sorted(names)) or 'none'}"
        case _:
            return ""
