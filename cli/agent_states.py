"""`countersign agent show|enable|disable|stage|ceiling`: agents as principals of a tenant.

Whatever takes something away holds from the gate's next admission on, and the roles `kill` and `administer` may do it.
Whatever gives something needs `administer`. Both are recorded, with who and why.
"""

import asyncio
import json as json_text
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import typer
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from rich.text import Text

from activities.bundles import load_ladder
from activities.registry import Registry
from cli.operators import AsOption, ReasonOption, TenantOption, reason_of, sign_in, store_of, tenant_of, unreachable
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from contracts.agent import Stage
from contracts.base import Record
from settings import Settings, SettingsError
from settings.load import load_settings
from settings.tenants import load_tenants
from store.accounts import Role
from store.agents import (
    AgentChange,
    AgentState,
    ChangeVerb,
    WantedState,
    agent_changes,
    change_agent,
    find_agent,
    list_agents,
)
from store.database import StoreDown
from store.revocations import Revocation, list_revocations

__all__ = ["AgentStanding", "mount_states", "states_of"]

STAGES = tuple(Stage)
_T = TypeVar("_T")
AgentArgument = Annotated[str, typer.Argument(help="The agent.")]


class AgentStanding(Record):
    """Everything that decides what an agent may do in a tenant, before any policy is asked."""

    principal: str
    """Its name in policies, credentials and records."""
    owner: str
    """Team that answers for it; empty: there is no such folder here."""
    scopes: tuple[str, ...]
    """What the credentials of its tools say, all together."""
    highest_tier: int | None
    """Highest static tier of its tools."""
    state: AgentState
    changes: tuple[AgentChange, ...]
    """Newest first."""
    revocations: tuple[Revocation, ...]
    """Newest first: credentials of the agent below these epochs are refused."""


def mount_states(group: typer.Typer) -> None:
    """Add the verbs to `countersign agent`."""
    for verb in (show, enable, disable, stage, ceiling):
        group.command(verb.__name__)(verb)


def states_of(settings: Settings) -> tuple[AgentState, ...] | None:
    """The states of all agents in all tenants; None: there is no store that answers."""

    async def ask() -> tuple[AgentState, ...]:
        found: list[AgentState] = []
        async with store_of(settings) as store:
            for tenant in load_tenants(settings.tenants_file).tenants:
                async with store.tenant(tenant) as cursor:
                    found += await list_agents(cursor, tenant)
        return tuple(found)

    try:
        return asyncio.run(ask())
    except (StoreDown, SettingsError):
        return None


def show(agent: AgentArgument, tenant: TenantOption = None, json: JsonOption = False) -> int:
    """Show an agent's standing: owner, enabled, stage, ceiling, scopes, and who changed it why."""
    settings = load_settings()
    where = tenant_of(settings, tenant)

    async def ask(cursor: AsyncCursor[DictRow]) -> tuple[tuple[AgentChange, ...], tuple[Revocation, ...]]:
        return await agent_changes(cursor, where, agent), await list_revocations(cursor, where, target=agent, limit=20)

    state = _state(settings, where, agent)
    changes, revocations = _in_tenant(settings, where, ask)
    loaded = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file)).agents.get(agent)
    tools = tuple(loaded.tools.values()) if loaded else ()
    standing = AgentStanding(
        principal=f"agent:{where}/{agent}",
        owner=loaded.file.owner if loaded else "",
        scopes=tuple(sorted({scope for tool in tools for scope in tool.scopes})),
        highest_tier=max((int(tool.tier) for tool in tools), default=None),
        state=state,
        changes=changes,
        revocations=revocations,
    )
    if json:
        print_json(standing)
    else:
        _print(standing)
    return Exit.OK


def enable(agent: AgentArgument, who: AsOption, reason: ReasonOption) -> int:
    """Let an agent run again. Needs the role administer."""
    return _change(agent, who, reason, "enable", lambda seen: seen.model_copy(update={"enabled": True}))


def disable(agent: AgentArgument, who: AsOption, reason: ReasonOption) -> int:
    """Stop an agent at its next call, and revoke the credentials that it has. Needs the role kill or administer."""
    return _change(agent, who, reason, "disable", lambda seen: seen.model_copy(update={"enabled": False}))


def stage(
    agent: AgentArgument,
    level: Annotated[Stage, typer.Argument(help="Autonomy level, lowest first.")],
    who: AsOption,
    reason: ReasonOption,
) -> int:
    """Set an agent's autonomy level. Raising it needs the role administer, lowering it kill or administer."""
    return _change(agent, who, reason, "stage", lambda seen: seen.model_copy(update={"stage": level}))


def ceiling(
    agent: AgentArgument,
    tier: Annotated[int, typer.Argument(min=0, max=4, help="Highest risk tier that it may ever call.")],
    who: AsOption,
    reason: ReasonOption,
) -> int:
    """Set an agent's tier ceiling. Raising it needs the role administer, lowering it kill or administer."""
    return _change(agent, who, reason, "ceiling", lambda seen: seen.model_copy(update={"tier_ceiling": tier}))


def gives(seen: WantedState, wanted: WantedState) -> bool:
    """Whether a change lets the agent do anything that it may not do now."""
    return (
        wanted.enabled > seen.enabled
        or STAGES.index(wanted.stage) > STAGES.index(seen.stage)
        or wanted.tier_ceiling > seen.tier_ceiling
    )


def _change(agent: str, who: str, reason: str, verb: ChangeVerb, make: Callable[[WantedState], WantedState]) -> int:
    settings = load_settings()
    why = reason_of(reason)
    tenant = tenant_of(settings, who.rpartition("/")[0] or None)
    seen = _state(settings, tenant, agent)
    wanted = make(seen.wanted)
    widens = gives(seen.wanted, wanted)
    roles: tuple[Role, ...] = ("administer",) if widens else ("kill", "administer")
    operator = sign_in(settings, who, *roles, stops=not widens)

    async def act() -> str:
        async with store_of(settings) as store:
            done = await change_agent(store, seen, verb, wanted, by=operator.username, role=operator.role, reason=why)
        match done.kind:
            case "changed":
                revoked = f"; credentials before epoch {done.epoch} are revoked" if done.epoch else ""
                return f"{tenant}/{agent}: {_words(wanted)} (version {done.version}){revoked}"
            case "same":
                return f"{tenant}/{agent} was so already: {_words(wanted)}"
            case "moved" | "absent":
                raise CliError(
                    f"{tenant}/{agent} was changed meanwhile. Look at `countersign agent show {agent}`, then say it "
                    "again.",
                    Exit.BAD,
                )

    try:
        say(asyncio.run(act()))
    except StoreDown as error:
        raise unreachable(error) from error
    return Exit.OK


def _state(settings: Settings, tenant: str, agent: str) -> AgentState:
    async def ask(cursor: AsyncCursor[DictRow]) -> AgentState | None:
        return await find_agent(cursor, tenant, agent)

    found = _in_tenant(settings, tenant, ask)
    if found is None:
        raise CliError(
            f"{tenant} has no agent {agent}: it is off. Give it a state in {settings.tenants_file.name}, then run "
            "`countersign migrate` or restart the stack.",
            Exit.BAD,
        )
    return found


def _in_tenant(settings: Settings, tenant: str, question: Callable[[AsyncCursor[DictRow]], Awaitable[_T]]) -> _T:
    async def ask() -> _T:
        async with store_of(settings) as store, store.tenant(tenant) as cursor:
            return await question(cursor)

    try:
        return asyncio.run(ask())
    except StoreDown as error:
        raise unreachable(error) from error


def _print(standing: AgentStanding) -> None:
    state = standing.state
    enabled = Text("enabled", style="green") if state.enabled else Text("disabled", style="bold red")
    console.print(Text.assemble((standing.principal, "bold"), "  ", enabled), soft_wrap=True)
    for name, value in (
        ("owner", standing.owner or "no folder of this name here"),
        ("stage", state.stage.value),
        ("tier ceiling", f"{state.tier_ceiling} (its tools reach {standing.highest_tier})"),
        ("scopes", ", ".join(standing.scopes)),
        ("version", f"{state.version}, by {state.changed_by} at {_time(state.changed_at)}"),
    ):
        say(f"  {name:<13} {value}")
    for revocation in standing.revocations:
        say(f"  revoked       before epoch {revocation.epoch}, by {revocation.revoked_by} at {_time(revocation.at)}: "
            f"{revocation.reason}")  # fmt: skip
    if standing.changes:
        rows = [_row(change) for change in standing.changes]
        say("")
        print_table(("AT", "BY", "ROLE", "CHANGE", "WHY"), rows)


def _row(change: AgentChange) -> Sequence[str]:
    before, after = json_text.loads(change.before), json_text.loads(change.after)
    changed = ", ".join(f"{name} {before[name]} → {after[name]}" for name in after if before[name] != after[name])
    return _time(change.at), change.changed_by, change.role, changed, change.reason


def _words(state: WantedState) -> str:
    return f"{'enabled' if state.enabled else 'disabled'}, stage {state.stage.value}, tier ceiling {state.tier_ceiling}"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
