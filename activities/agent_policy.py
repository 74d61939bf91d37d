"""What can be wrong with an agent's `policy.cedar`, each mistake with its line."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from contracts.tool import Tier, Tool
from contracts.undo import undo_identity_of
from policy.bundle import policies_of, policy_findings
from policy.cedar_text import CedarPolicy, CedarSyntax, cedar_policies
from policy.ladder import Ladder
from policy.reach import possible_tiers, unpermitted, unreachable
from policy.schema import SchemaError, cedar_schema
from policy.tier import TierRules

__all__ = ["PolicyMistake", "id_prefix", "policy_mistakes", "policy_warnings"]

GROUPS = frozenset({"read", "write", *(f"tier{tier.value}" for tier in Tier)})
_FILE = "policy.cedar"


class PolicyMistake(NamedTuple):
    """One mistake."""

    line: int
    rule: str
    message: str
    advice: str


def policy_mistakes(
    agent: str, text: str, listed: Iterable[str], tools: Mapping[str, Tool], ladder: Ladder
) -> list[PolicyMistake]:
    """Everything that is wrong with an agent's policy.

    Args:
        agent: the folder's name; its policies must be about it alone.
        text: the Cedar text.
        listed: tools that the agent lists.
        tools: every tool that its folder defines.
        ladder: requirements that policies may name.
    """
    parts = cedar_policies(text)
    policies = [part for part in parts if isinstance(part, CedarPolicy)]
    found = [
        PolicyMistake(part.line, "policy-syntax", f"not valid Cedar: {part.message}", "Correct this policy.")
        for part in parts
        if isinstance(part, CedarSyntax)
    ]
    prefix = id_prefix(agent)
    seen: dict[str, int] = {}
    for policy in policies:
        found += _annotated(policy, prefix, seen)
        found += _bounded(policy, agent, tools)
    if not found:
        found += _typed(text, tools, ladder)
        found += _without_permit(policies, listed, tools)
    return sorted(found)


def policy_warnings(
    agent: str,
    text: str,
    base: str,
    listed: Iterable[Tool],
    tools: Mapping[str, Tool],
    ladder: Ladder,
    tiers: TierRules,
) -> list[PolicyMistake]:
    """What holds and yet does nothing: permits that nothing reaches, listed tools that no permit reaches.

    Args:
        agent: the folder's name.
        text: its policy, without mistakes.
        base: the organisation's policy.
        listed: tools that the agent lists.
        tools: every tool that its folder defines.
        ladder: requirements that policies may name.
        tiers: what raises the tier of a call.
    """
    policies = [*policies_of(base), *policies_of(text)]
    found: list[PolicyMistake] = []
    for permit, tool, shadow in unreachable(agent, policies, tools, ladder, tiers):
        message = f"policy `{permit.id}` never permits `{tool}`"
        message += f": `{shadow.id}` always forbids it then" if shadow else ": its conditions never hold for that tool"
        advice = "Correct its conditions, or remove it: a permit that does nothing misleads whoever reads it."
        found.append(PolicyMistake(permit.line, "policy-unreachable", message, advice))
    for tool in unpermitted(agent, policies, listed, ladder, tiers):
        tier = possible_tiers(tool, tiers)[0]
        if tier > tool.tier:
            message = f"nothing permits `{tool.name}`, whose calls have the tier {tier.value}: each would be denied"
            advice = f'Add a permit for `action == Action::"{tool.name}"`; tiers.yaml says what raises a tier.'
            found.append(PolicyMistake(1, "policy-no-permit", message, advice))
    return sorted(found)


def id_prefix(agent: str) -> str:
    """How the ids of an agent's policies begin."""
    return agent.replace("_", "-") + "-"


def _annotated(policy: CedarPolicy, prefix: str, seen: dict[str, int]) -> Iterator[PolicyMistake]:
    if not policy.id:
        advice = f'Put @id("{prefix}…") above it: records and approvals name it.'
        yield PolicyMistake(policy.line, "policy-id", "the policy has no @id", advice)
    elif not policy.id.startswith(prefix):
        advice = f"Begin it with `{prefix}`, so that it meets no other agent's policy."
        yield PolicyMistake(policy.line, "policy-id", f"the id `{policy.id}` belongs to nobody", advice)
    elif policy.id in seen:
        message = f"the id `{policy.id}` stands already on line {seen[policy.id]}"
        yield PolicyMistake(policy.line, "policy-id-double", message, "Give each policy an id of its own.")
    seen.setdefault(policy.id, policy.line)
    if not policy.reason:
        advice = 'Put @reason("…") above it: one sentence for approvers and for the model.'
        yield PolicyMistake(policy.line, "policy-reason", f"policy `{policy.id}` has no @reason", advice)


def _bounded(policy: CedarPolicy, agent: str, tools: Mapping[str, Tool]) -> Iterator[PolicyMistake]:
    named = f"policy `{policy.id}`"
    if policy.effect == "permit" and not policy.principal_type:
        advice = "Write `principal is Agent`, or `principal is User` for those on whose behalf it acts."
        yield PolicyMistake(policy.line, "policy-principal", f"{named} permits agents and users alike", advice)
    if not {agent, undo_identity_of(agent)} & set(policy.agents()):
        name = "context.agent" if policy.principal_type == "User" else "principal.name"
        advice = f'Add `when {{ {name} == "{agent}" }}`; without it the policy is about every agent.'
        yield PolicyMistake(policy.line, "policy-agent", f"{named} is not limited to this agent", advice)
    for action in policy.actions:
        if action not in tools and action not in GROUPS:
            advice = f"Tools of this folder: {', '.join(sorted(tools)) or 'none'}."
            yield PolicyMistake(
                policy.line, "policy-action", f"{named} is about `{action}`, no tool of this folder", advice
            )
    if policy.effect == "permit" and not set(policy.actions) - GROUPS:
        advice = 'Name the tools: `action == Action::"area.verb_noun"`.'
        yield PolicyMistake(policy.line, "policy-permit-wide", f"{named} permits without naming a tool", advice)
    if policy.effect == "forbid" and policy.has_arithmetic():
        advice = "Compare without computing: an overflow is an error, and Cedar skips a forbid that errors."
        yield PolicyMistake(policy.line, "policy-arithmetic", f"{named} computes in a forbid", advice)


def _typed(text: str, tools: Mapping[str, Tool], ladder: Ladder) -> Iterator[PolicyMistake]:
    try:
        schema = cedar_schema(tools.values())
    except SchemaError:
        return  # Said where the tool stands.
    for finding in policy_findings({_FILE: text}, schema, ladder):
        advice = "policy/schema.py says what policies can refer to."
        yield PolicyMistake(max(finding.line, 1), "policy-type", finding.message, advice)


def _without_permit(
    policies: Iterable[CedarPolicy], listed: Iterable[str], tools: Mapping[str, Tool]
) -> Iterator[PolicyMistake]:
    permitted = {action for policy in policies if policy.effect == "permit" for action in policy.actions}
    for name in listed:
        tool = tools.get(name)
        if tool is not None and tool.tier >= Tier.REVERSIBLE and name not in permitted:
            message = f"nothing permits `{name}` (tier {tool.tier.value}): each call of it would be denied"
            advice = f'Add a permit for `action == Action::"{name}"`, or remove the tool from agent.yaml.'
            yield PolicyMistake(1, "policy-no-permit", message, advice)
