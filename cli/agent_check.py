"""Everything that can be wrong with an agent's folder: what keeps it from running, and what a reviewer would ask."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from activities.agent_folder import AgentFolder
from activities.agent_policy import policy_warnings
from activities.agent_tools import tool_place
from activities.agent_yaml import Lines, YamlMistake, read_yaml
from activities.bundles import BASE_POLICY, load_ladder, tiers_of
from activities.finding import Finding
from activities.models.model_map import load_model_map
from activities.models.script import Script
from activities.policy_cases import CASES_FILE, CasesMistake, read_cases
from activities.registry import read_agents
from cli.agent_owners import check_owners
from contracts.tool import Effect, Tier, Tool
from policy.ladder import Ladder
from policy.tier import Demand, TierRules, demanded_tier
from settings import Settings

__all__ = ["check_agents"]

_DEMANDS: Mapping[Demand, str] = {
    "data": "of the class of its data",
    "write": "it writes",
    "money": "it moves money",
    "visible": "somebody outside sees it",
    "lasting": "no tool undoes it",
}
_CASE_NUMBER = re.compile(r"cases\.(\d+)")
SCRIPT = "script.yaml"
CASES = "cases.yaml"


def check_agents(settings: Settings, *, owners: bool = False) -> dict[str, list[Finding]]:
    """Findings of every agent's folder, by name, in the order of files and lines; empty for a folder without any.

    With `owners`, accounts are asked whether anybody is each agent's owner.

    Raises:
        ModelMapError, OSError, ValueError: the model map or the ladder of the settings cannot be used.
    """
    models = list(load_model_map(settings.models_file))
    ladder, tiers = load_ladder(settings.ladder_file), tiers_of(settings.tiers_file.read_text("utf-8"))
    agents = list(read_agents(settings.agents_dir, ladder))
    for agent in agents:
        _models(agent, models, settings)
        _runbook(agent)
        _policy(agent, ladder, tiers)
        for tool in agent.tools.values():
            if tool_place(tool)[0].resolve().is_relative_to(agent.folder.resolve()):
                _tool(agent, tool, tiers)
        _script(agent)
        _cases(agent)
    if owners:
        check_owners(settings, ladder, agents)
    return {
        agent.name: sorted(agent.findings, key=lambda finding: (finding.file, finding.line, finding.rule))
        for agent in agents
    }


def _models(agent: AgentFolder, models: Sequence[str], settings: Settings) -> None:
    from activities.models.vetting import faults_of  # noqa: PLC0415 - a price list, which other commands need not load

    seen: set[str] = set()
    for role, name in (agent.file.models if agent.file else {}).items():
        line = agent.yaml.line("models", role)
        if name in models and name not in seen:
            seen.add(name)
            for fault in faults_of(name, settings):
                severity = "error" if fault.rule == "model-unpriced" else "warning"
                agent.report("agent.yaml", line, fault.rule, fault.message, fault.advice, severity=severity)
        if name not in models:
            near = difflib.get_close_matches(name, models, n=1)
            advice = f"{f'Did you mean `{near[0]}`? ' if near else ''}The map has: {', '.join(models)}."
            message = f"`{name}` (for `{role}`) is not in the model map"
            agent.report("agent.yaml", line, "model-unknown", message, advice)


def _runbook(agent: AgentFolder) -> None:
    if agent.file is None:
        return
    path = (agent.folder / agent.file.runbook).resolve()
    line = agent.yaml.line("runbook")
    if not path.is_relative_to(agent.folder.resolve()):
        message = f"the runbook `{agent.file.runbook}` is outside the folder"
        agent.report("agent.yaml", line, "runbook-missing", message, "Keep it in the folder, for instance README.md.")
    elif not path.is_file() or not path.read_text("utf-8", errors="replace").strip():
        message = f"the runbook `{agent.file.runbook}` is missing or empty"
        advice = "Write what it does, how to stop it and whom to call."
        agent.report("agent.yaml", line, "runbook-missing", message, advice)


def _policy(agent: AgentFolder, ladder: Ladder, tiers: TierRules) -> None:
    """Policies that hold and do nothing, where the folder has no error that hides what they are about."""
    if agent.errors or agent.file is None:
        return
    base = BASE_POLICY.read_text("utf-8")
    listed = [agent.tools[name] for name in agent.file.tools]
    for found in policy_warnings(agent.name, agent.policy_text, base, listed, agent.tools, ladder, tiers):
        agent.report("policy.cedar", *found, severity="warning")
    try:
        read_cases(agent.folder)
    except CasesMistake as mistake:
        agent.report(CASES_FILE, mistake.line, "policy-cases", str(mistake), "Correct it.")


def _tool(agent: AgentFolder, tool: Tool, tiers: TierRules) -> None:
    undoes = {other.compensation for other in agent.tools.values()}
    if agent.file and tool.name not in agent.file.tools and tool.name not in undoes:
        advice = "List it in agent.yaml, or remove it."
        agent.report_tool(tool, "tool-unlisted", "is not listed and undoes nothing", advice, severity="warning")
    if tool.effect is not Effect.WRITE:
        return
    demanded = demanded_tier(tool, tiers)
    lasts = tool.tier is Tier.REVERSIBLE and demanded.because == ("lasting",)
    if demanded.tier > tool.tier and not lasts:  # that one has a rule of its own
        why = " and ".join(_DEMANDS[demand] for demand in demanded.because)
        message = f"declares the tier {tool.tier.value}, but its calls have {demanded.tier.value}: {why}"
        advice = f"Declare Tier.{demanded.tier.name}, or change what demands it."
        agent.report_tool(tool, "tool-tier", message, advice, severity="warning")
    if not tool.has_natural_key and not tool.compensation:
        advice = "State natural_key=… (so that doing it twice is noticed) or compensation=… (the tool that undoes it)."
        message = "writes, with neither a natural key nor a compensation"
        agent.report_tool(tool, "tool-write-bare", message, advice, severity="warning")
    if tool.tier is Tier.REVERSIBLE and not tool.compensation:
        message = "has the tier REVERSIBLE, but no tool that reverses it"
        advice = "State compensation=…, or raise the tier to HIGH_IMPACT."
        agent.report_tool(tool, "tool-irreversible", message, advice, severity="warning")
    if tool.tier >= Tier.REVERSIBLE and tool.probe is None:
        message = "cannot be asked what became of a write: a lost answer always goes to a person"
        advice = "State probe=…, where the service can look up an idempotency key."
        agent.report_tool(tool, "tool-probe", message, advice, severity="warning")


def _script(agent: AgentFolder) -> None:
    """The fixture of the scripted model."""
    path = agent.folder / SCRIPT
    if not path.is_file():
        advice = "Write one, so that the agent can be tried and tested without a model."
        agent.report(SCRIPT, 1, "script-missing", f"{SCRIPT} is missing", advice, severity="warning")
        return
    found = _yaml(agent, path, "script-invalid")
    if found is None:
        return
    value, lines = found
    try:
        script = Script.model_validate(value)
    except ValidationError as error:
        for detail in error.errors():
            place = tuple(part for part in detail["loc"] if part != "[key]")
            message = f"`{'.'.join(map(str, place)) or 'the file'}`: {detail['msg'][0].lower()}{detail['msg'][1:]}"
            agent.report(SCRIPT, lines.line(*place), "script-invalid", message, "Correct the rule.")
        return
    listed = agent.file.tools if agent.file else ()
    for number, rule in enumerate(script.rules):
        for position, call in enumerate(rule.say.calls if rule.say else ()):
            if listed and call.tool not in listed:
                line = lines.line("rules", number, "say", "calls", position)
                message = f"the rule `{rule.name}` calls `{call.tool}`, which is not listed"
                advice = "Correct the name; a mistake of a model is written with `raw`."
                agent.report(SCRIPT, line, "script-tool", message, advice)


def _cases(agent: AgentFolder) -> None:
    path = agent.folder / CASES
    if not path.is_file():
        advice = "Write cases: what must happen, what must never."
        agent.report(CASES, 1, "cases-missing", f"{CASES} is missing", advice, severity="warning")
        return
    found = _yaml(agent, path, "cases-invalid")
    cases = found[0].get("cases") if found and isinstance(found[0], dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - read by isinstance
    if found and not (isinstance(cases, list) and cases):
        agent.report(
            CASES, 1, "cases-invalid", "`cases` is not a list of cases", "Write `cases:` and at least one case."
        )
    elif found:
        _suite(agent, found[1])


def _suite(agent: AgentFolder, lines: Lines) -> None:
    from evals.cases import CasesError, load_suite  # noqa: PLC0415 - a second that other commands need not spend

    try:
        load_suite(agent.folder.parent, agent.name)
    except CasesError as error:
        message = str(error).removeprefix(f"{agent.folder / CASES}: ")
        case = _CASE_NUMBER.match(message)
        line = lines.line("cases", int(case[1])) if case else 1
        agent.report(CASES, line, "cases-invalid", message, "`countersign eval schema` prints the form of cases.")


def _yaml(agent: AgentFolder, path: Path, rule: str) -> tuple[object, Lines] | None:
    try:
        return read_yaml(path.read_text("utf-8"))
    except YamlMistake as mistake:
        agent.report(path.name, mistake.line, rule, f"not YAML: {mistake}", "Correct the line.")
    except (OSError, UnicodeDecodeError) as error:
        agent.report(path.name, 1, rule, f"cannot be read: {error}", "Make it a readable UTF-8 file.")
    return None
