"""`countersign agent`: write a new agent's folder, check folders, list agents. Their states: `cli/agent_states.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field
from rich.text import Text

from activities.bundles import load_ladder
from activities.finding import Finding
from activities.models.model_map import ModelMapError
from activities.registry import Registry
from cli.agent_check import check_agents
from cli.agent_new import write_agent
from cli.agent_states import mount_states, states_of
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from contracts.base import Record
from settings import Settings
from settings.load import load_settings
from store.agents import AgentState

__all__ = ["mount"]

_COLOURS = {"error": "red", "warning": "yellow", "ok": "green", "broken": "red"}


class AgentRow(Record):
    """One line of the listing."""

    name: str
    """The folder's name."""
    state: Literal["ok", "broken"]
    """Whether runs of it can start."""
    version: int | None = None
    owner: str = ""
    models: dict[str, str] = Field(default_factory=dict[str, str])
    """Role to a name of the model map."""
    tools: tuple[str, ...] = ()
    """The tools that it may call."""
    errors: int = 0
    """How many errors its folder has."""
    tenants: dict[str, str] | None = None
    """What it may do, by tenant; null: the store did not answer."""


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Agents: write and check folders; see and change what each may do.")
    group.command("new")(new)
    group.command("check")(check)
    group.command("list")(list_agents)
    mount_states(group)
    app.add_typer(group, name="agent")


def new(
    name: Annotated[str, typer.Argument(help="Name of the agent and its folder, such as invoice_check.")],
    owner: Annotated[str, typer.Option(help="Team that answers for it.")] = "unassigned",
) -> int:
    """Write a new agent's folder that passes `countersign agent check`. Change it from there."""
    settings = load_settings()
    for file in write_agent(settings.agents_dir, name, owner):
        say(f"wrote {_from_here(file)}")
    findings = _checked(settings)[name]
    if findings:
        _print_findings(findings, settings.agents_dir)
        return Exit.BAD
    say(f"\n{name} passes its check. Next:")
    for step in (
        f"write what it is for: {_from_here(settings.agents_dir / name / 'prompt.md')}, then tools.py and policy.cedar",
        f"check it as you go: countersign agent check {name}",
        "say in its agent.yaml whose it is: a user or a group of users, who then have no vote on it",
        f"let a tenant have it: {_from_here(settings.tenants_file)}",
        f"let an event start it: {_from_here(settings.endpoints_file)}",
        "restart the worker: agents are read when it starts",
    ):
        say(f"  - {step}")
    return Exit.OK


def check(
    name: Annotated[str | None, typer.Argument(help="One agent; without it, all.")] = None,
    json: JsonOption = False,
) -> int:
    """Explain every mistake in agents' folders, with file and line and what to do. Exit code 1 if there is an error."""
    settings = load_settings()
    found = _checked(settings, owners=True)
    if name is not None:
        if name not in found:
            known = ", ".join(found) or "none"
            raise CliError(
                f"no folder {name} in {settings.agents_dir}. It has: {known}. `countersign agent new` makes one."
            )
        found = {name: found[name]}
    findings = [finding for each in found.values() for finding in each]
    bad = any(finding.severity == "error" for finding in findings)
    if json:
        print_json(findings)
        return Exit.BAD if bad else Exit.OK
    _print_findings(findings, settings.agents_dir)
    for agent, each in found.items():
        errors = sum(finding.severity == "error" for finding in each)
        warnings = len(each) - errors
        counted = f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"
        say(f"{agent}: {counted if each else 'ok'}")
    if not found:
        say(f"no agents in {settings.agents_dir}. `countersign agent new NAME` makes one.")
    return Exit.BAD if bad else Exit.OK


def list_agents(json: JsonOption = False) -> int:
    """List the agents that can run, and those that cannot."""
    settings = load_settings()
    try:
        registry = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file))
    except (OSError, ValueError) as error:
        raise CliError(f"{settings.ladder_file} cannot be used: {error}. Restore it.") from None
    rows = [
        AgentRow(
            name=name,
            state="ok",
            version=agent.file.version,
            owner=agent.file.owner,
            models=agent.file.models,
            tools=agent.file.tools,
        )
        for name, agent in registry.agents.items()
    ]
    rows += [AgentRow(name=name, state="broken", errors=len(errors)) for name, errors in registry.broken.items()]
    states = states_of(settings)
    if states is not None:
        rows = [row.model_copy(update={"tenants": _standings(row.name, states)}) for row in rows]
    rows.sort(key=lambda row: row.name)
    if json:
        print_json(rows)
        return Exit.OK
    print_table(("AGENT", "STATE", "VERSION", "OWNER", "TENANTS", "TOOLS"), [_listed(row) for row in rows])
    for name in registry.broken:
        say(f"{name} cannot run. `countersign agent check {name}` says why.")
    return Exit.OK


def _checked(settings: Settings, *, owners: bool = False) -> dict[str, list[Finding]]:
    try:
        return check_agents(settings, owners=owners)
    except ModelMapError as error:
        raise CliError(str(error)) from None
    except (OSError, ValueError) as error:
        raise CliError(f"{settings.ladder_file} cannot be used: {' '.join(str(error).split())}. Restore it.") from None


def _listed(row: AgentRow) -> Sequence[str | Text]:
    state = Text(row.state, style=_COLOURS[row.state])
    standing = "?" if row.tenants is None else ", ".join(f"{tenant}: {what}" for tenant, what in row.tenants.items())
    return row.name, state, str(row.version or ""), row.owner, standing or "none", ", ".join(row.tools)


def _standings(agent: str, states: Sequence[AgentState]) -> dict[str, str]:
    """What an agent may do in each tenant that has it, in words."""
    return {
        state.tenant: f"{state.stage.value} up to tier {state.tier_ceiling}" if state.enabled else "disabled"
        for state in states
        if state.agent == agent
    }


def _print_findings(findings: Sequence[Finding], root: Path) -> None:
    """As compilers do, so that editors and terminals turn the place into a link."""
    for finding in findings:
        place = Text(f"{_from_here(root.parent / finding.file)}:{finding.line}", style="bold")
        severity = Text(finding.severity, style=_COLOURS[finding.severity])
        console.print(Text.assemble(place, ": ", severity, f": {finding.message} [{finding.rule}]"), soft_wrap=True)
        console.print(Text(f"    {finding.advice}", style="dim"), soft_wrap=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
