"""Whether anybody is an agent's owner: owners may not decide about their agent, which bars nobody if nobody is one."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import typer

from activities.agent_folder import AgentFolder
from cli.operators import store_of
from policy.ladder import Ladder
from settings import Settings, SettingsError
from settings.sign_in import load_sign_in
from settings.tenants import load_tenants
from store.accounts import known_names
from store.database import StoreDown

__all__ = ["check_owners"]


def check_owners(settings: Settings, ladder: Ladder, agents: Sequence[AgentFolder]) -> None:
    """Report the owners whom nobody is; where the accounts cannot be asked, say so on standard error."""
    owners = {agent.file.owner.casefold() for agent in agents if agent.file}
    if not owners:
        return
    try:
        known = asyncio.run(_known(settings, ladder, owners))
    except (StoreDown, SettingsError) as error:
        typer.echo(f"not checked: whether anybody is an agent's owner. {error}", err=True)
        return
    for agent in agents:
        _check(agent, settings, known)


def _check(agent: AgentFolder, settings: Settings, known: Mapping[str, frozenset[str]]) -> None:
    """An owner is somebody in each tenant that has the agent; of an agent that no tenant has yet, in any."""
    if agent.file is None:
        return
    tenants = load_tenants(settings.tenants_file).tenants
    has_it = [name for name, tenant in tenants.items() if agent.name in tenant.agents]
    owner = agent.file.owner
    without = [name for name in has_it or tenants if owner.casefold() not in known.get(name, frozenset())]
    if not without or (not has_it and len(without) < len(tenants)):
        return
    message = f"`{owner}` is nobody in {', '.join(without)}, no person or group: nobody is barred from its approvals"
    advice = (
        "Write a user, a person or a group that `countersign approvals account list` shows, or put people into it: "
        f"`countersign approvals account add USER --group GROUP --tenant {without[0]}`."
    )
    # No error: the folder is right and runs, and somebody of a provider has no account here before they first sign in.
    agent.report("agent.yaml", agent.yaml.line("owner"), "owner-unknown", message, advice, severity="warning")


async def _known(settings: Settings, ladder: Ladder, names: Collection[str]) -> Mapping[str, frozenset[str]]:
    """By tenant, those of the names that are a user, a person or a group there; and its groups, whoever asks."""
    providers = load_sign_in(settings.sign_in_file).tenants
    found: dict[str, frozenset[str]] = {}
    async with store_of(settings) as store:
        for tenant in load_tenants(settings.tenants_file).tenants:
            provider = providers.get(tenant)
            # Nobody is in these yet, perhaps; whoever comes to be in them is barred from then on.
            groups = (*ladder.deciding_groups, *(provider.groups if provider else ()))
            async with store.tenant(tenant) as cursor:
                accounts = await known_names(cursor, tenant, names)
            found[tenant] = frozenset((*accounts, *(group.casefold() for group in groups)))
    return found
