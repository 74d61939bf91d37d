"""Every mistake in every file that decides: base policy, agents' policies and cases, overlays, ladder, tiers."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from activities.agent_folder import AgentFolder
from activities.agent_policy import policy_warnings
from activities.bundles import BASE_POLICY, load_ladder, overlay_files, tiers_of
from activities.finding import Finding
from activities.policy_cases import CASES_FILE, CasesMistake, read_cases
from activities.registry import read_agents
from contracts.tool import Tool
from policy.bundle import PolicyFinding, base_findings, overlay_findings, policy_findings
from policy.ladder import Ladder
from policy.schema import SchemaError, cedar_schema
from policy.tier import TierRules
from settings import Settings
from settings.tenants import load_tenants

__all__ = ["check_policies"]

_BASE = "policy/base.cedar"
_POLICY = "policy.cedar"


def check_policies(settings: Settings) -> list[Finding]:
    """Findings in the order of files. An error keeps everybody, an agent or a tenant from being allowed anything."""
    found: list[Finding] = []
    ladder = _ladder(settings, found)
    tiers = _tiers(settings, found)
    if ladder is None:
        return found
    agents = read_agents(settings.agents_dir, ladder)
    schema = _schema(agents)
    base = BASE_POLICY.read_text("utf-8")
    found += [
        _of_bundle(finding, "policy-base")
        for finding in (*policy_findings({_BASE: base}, schema, ladder), *base_findings(_BASE, base))
    ]
    for agent in agents:
        found += _of_agent(agent, base, ladder, tiers)
    return [*found, *_of_overlays(settings, schema, ladder)]


def _schema(agents: Sequence[AgentFolder]) -> str:
    """Of every tool that can be put before policy; `agent check` tells of the others."""
    usable: dict[str, Tool] = {}
    for agent in agents:
        try:
            cedar_schema([*usable.values(), *agent.tools.values()])
        except SchemaError:
            continue
        usable |= agent.tools
    return cedar_schema(usable.values())


def _of_agent(agent: AgentFolder, base: str, ladder: Ladder, tiers: TierRules) -> Iterator[Finding]:
    yield from (finding for finding in agent.errors if finding.file.endswith(f"/{_POLICY}"))
    if agent.errors or agent.file is None:
        return
    folder = f"{agent.folder.parent.name}/{agent.name}"
    listed: list[Tool] = [agent.tools[name] for name in agent.file.tools]
    for found in policy_warnings(agent.name, agent.policy_text, base, listed, agent.tools, ladder, tiers):
        yield _finding(
            f"{folder}/{_POLICY}", found.line, found.rule, found.message, found.advice, agent.name, warning=True
        )
    try:
        cases = read_cases(agent.folder)
    except CasesMistake as mistake:
        yield _finding(f"{folder}/{CASES_FILE}", mistake.line, "policy-cases", str(mistake), "Correct it.", agent.name)
        return
    if cases is None and any(tool.tier > 1 for tool in listed):
        advice = f"Write {CASES_FILE}: calls, facts, and what must be decided."
        message = "no cases say what this policy must decide"
        yield _finding(f"{folder}/{_POLICY}", 1, "policy-cases", message, advice, agent.name, warning=True)


def _of_overlays(settings: Settings, schema: str, ladder: Ladder) -> Iterator[Finding]:
    tenants: Mapping[str, object] = load_tenants(settings.tenants_file).tenants
    for tenant, file in overlay_files(settings.overlays_dir).items():
        name = f"{file.parent.parent.name}/{file.parent.name}/{file.name}"
        if tenant not in tenants:
            advice = f"Name it after a tenant: {', '.join(sorted(tenants))}."
            yield _finding(name, 1, "policy-overlay", f"there is no tenant {tenant}: nobody is narrowed", advice)
            continue
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            yield _finding(name, 1, "policy-overlay", f"cannot be read: {error}", "Make it a readable UTF-8 file.")
            continue
        for finding in overlay_findings(tenant, text, schema, ladder):
            yield _of_bundle(finding, "policy-overlay")


def _ladder(settings: Settings, found: list[Finding]) -> Ladder | None:
    try:
        return load_ladder(settings.ladder_file)
    except (OSError, ValueError) as error:
        found.append(_setting(settings.ladder_file, "policy-ladder", error))
        return None


def _tiers(settings: Settings, found: list[Finding]) -> TierRules:
    try:
        return tiers_of(settings.tiers_file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        found.append(_setting(settings.tiers_file, "policy-tiers", error))
        return TierRules()


def _setting(file: Path, rule: str, error: Exception) -> Finding:
    if isinstance(error, ValidationError):
        words = "; ".join(
            f"{'.'.join(map(str, detail['loc'])) or 'the file'}: {detail['msg'].removeprefix('Value error, ')}"
            for detail in error.errors()
        )
    else:
        words = " ".join(str(error).split())
    return _finding(f"{file.parent.name}/{file.name}", 1, rule, words, "Correct the file.")


def _of_bundle(finding: PolicyFinding, rule: str) -> Finding:
    return _finding(finding.file, max(finding.line, 1), rule, finding.message, "Correct this policy.")


def _finding(
    file: str, line: int, rule: str, message: str, advice: str, agent: str = "", *, warning: bool = False
) -> Finding:
    severity = "warning" if warning else "error"
    return Finding(agent=agent, file=file, line=line, severity=severity, rule=rule, message=message, advice=advice)
