"""What policies can never do, found without a request: permits that nothing reaches, tools that nothing permits. Pure.

Conditions are worked out over every tier that a call of the tool can have, every stage and every rung of the ladder;
whatever else a condition asks for may be so or not. So a finding is certain, and what is not found may still be wrong.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from contracts.agent import Stage
from contracts.base import JsonObject
from contracts.tool import Tier, Tool
from policy.cedar_text import CedarPolicy
from policy.ladder import Ladder
from policy.tier import TierRules, demanded_tier

__all__ = ["Unreachable", "possible_tiers", "unpermitted", "unreachable"]


class Unreachable(NamedTuple):
    """A permit that never comes into effect for one of its tools."""

    permit: CedarPolicy
    tool: str
    shadow: CedarPolicy | None
    """The forbid that always holds where the permit does; None where the permit itself can never hold."""


class _Unknown:
    """May be anything."""


_UNKNOWN = _Unknown()
_QUIET: Mapping[str, object] = {"halted": False, "break_glass": (), "missing_steps": (), "forbidden_after": ()}


@dataclass(frozen=True)
class _Case:
    """One combination of what a call can meet."""

    tool: Tool
    names: Mapping[str, Any]
    """Known attributes of the context."""
    agent: str


def possible_tiers(tool: Tool, rules: TierRules) -> tuple[Tier, ...]:
    """Tiers that a call of it can have, lowest first."""
    least = max(tool.tier, demanded_tier(tool, rules).tier)
    return tuple(tier for tier in Tier if tier >= least) if tool.moves_money else (least,)


def unreachable(
    agent: str, policies: Sequence[CedarPolicy], tools: Mapping[str, Tool], ladder: Ladder, rules: TierRules
) -> Iterator[Unreachable]:
    """Permits about this agent that never come into effect, tool by tool; `policies` are all that concern it."""
    forbids = [policy for policy in policies if policy.effect == "forbid"]
    for permit in policies:
        if permit.effect != "permit" or agent not in permit.agents() or permit.principal_type == "User":
            continue
        for name in permit.actions:
            tool = tools.get(name)
            if tool is None:
                continue
            cases = [case for case in _cases(agent, tool, ladder, rules) if _holds(permit, case) is not False]
            if not cases:
                yield Unreachable(permit, name, None)
                continue
            shadows = (policy for policy in forbids if all(_holds(policy, case) is True for case in cases))
            shadow = next(shadows, None)
            if shadow is not None:
                yield Unreachable(permit, name, shadow)


def unpermitted(
    agent: str, policies: Sequence[CedarPolicy], tools: Iterable[Tool], ladder: Ladder, rules: TierRules
) -> Iterator[Tool]:
    """Tools no call of which any permit can reach."""
    permits = [policy for policy in policies if policy.effect == "permit" and policy.principal_type != "User"]
    for tool in tools:
        cases = list(_cases(agent, tool, ladder, rules))
        if not any(_holds(permit, case) is not False for permit in permits for case in cases):
            yield tool


def _cases(agent: str, tool: Tool, ladder: Ladder, rules: TierRules) -> Iterator[_Case]:
    fixed: dict[str, object] = {
        **_QUIET,
        "agent": agent,
        "customer_visible": tool.customer_visible,
        "reversible": bool(tool.compensation),
        "data_class": tool.data_class,
    }
    if not tool.moves_money:
        fixed |= {"amount_minor": 0, "currency": "", "money_minor": 0, "money_today_minor": 0}
    for tier in possible_tiers(tool, rules):
        for stage in Stage:
            varying = {"tier": int(tier), "stage": stage.value}
            yield _Case(tool, {**fixed, **varying, "granted": (), "approvers": 0}, agent)
            for rung in ladder.rungs:
                held = {"granted": ladder.implied_by(rung), "approvers": rung.persons}
                yield _Case(tool, {**fixed, **varying, **held}, agent)


def _holds(policy: CedarPolicy, case: _Case) -> object:
    """True or False where that is certain."""
    found: list[object] = [_of_head(policy, case)]
    for condition in cast("list[JsonObject]", policy.body.get("conditions", [])):
        value = _value(condition["body"], case)
        found.append(value if condition.get("kind") == "when" else _negated(value))
    return _all(found)


def _of_head(policy: CedarPolicy, case: _Case) -> object:
    groups = {case.tool.name, case.tool.effect.value, f"tier{int(case.tool.tier)}"}
    if policy.actions and not groups & set(policy.actions):
        return False
    if policy.principal_type == "User":
        return False
    principal, resource = (cast("JsonObject", policy.body[part]) for part in ("principal", "resource"))
    if resource.get("op") == "is" and resource.get("entity_type") != case.tool.resource_type:
        return False
    narrow = any(part.get("op") not in ("All", "is") or "in" in part for part in (principal, resource))
    return _UNKNOWN if narrow else True


def _all(values: Iterable[object]) -> object:
    found = list(values)
    if any(value is False for value in found):
        return False
    return True if all(value is True for value in found) else _UNKNOWN


def _negated(value: object) -> object:
    return not value if isinstance(value, bool) else _UNKNOWN


def _value(expression: Any, case: _Case) -> Any:  # noqa: ANN401 - a JSON expression, and a value of any type
    """What an expression is worth, where that is certain."""
    kind, operands = next(iter(cast("dict[str, Any]", expression).items()))
    match kind:
        case "Value":
            return operands
        case "Set":
            members = [_value(member, case) for member in operands]
            return _UNKNOWN if any(member is _UNKNOWN for member in members) else tuple(members)
        case ".":
            return _attribute(operands, case)
        case "&&":
            return _all(_value(operands[side], case) for side in ("left", "right"))
        case "||":
            return _negated(_all(_negated(_value(operands[side], case)) for side in ("left", "right")))
        case "!":
            return _negated(_value(operands["arg"], case))
        case "isEmpty":
            members = _value(operands["arg"], case)
            return _UNKNOWN if members is _UNKNOWN else not members
        case "if-then-else":
            condition = _value(operands["if"], case)
            chosen = {True: "then", False: "else"}.get(condition) if isinstance(condition, bool) else None
            return _UNKNOWN if chosen is None else _value(operands[chosen], case)
        case _ if kind in _COMPARISONS:
            left, right = _value(operands["left"], case), _value(operands["right"], case)
            return _UNKNOWN if left is _UNKNOWN or right is _UNKNOWN else _COMPARISONS[kind](left, right)
        case _:
            return _UNKNOWN


def _attribute(operands: Any, case: _Case) -> object:  # noqa: ANN401 - a JSON expression
    if operands["left"] == {"Var": "context"}:
        return case.names.get(operands["attr"], _UNKNOWN)
    if operands["left"] == {"Var": "principal"}:
        return {"name": case.agent, "enabled": True}.get(operands["attr"], _UNKNOWN)
    return _UNKNOWN


def _contains_all(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return set(right) <= set(left)


def _contains_any(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return bool(set(right) & set(left))


_COMPARISONS: Mapping[str, Callable[..., bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "contains": operator.contains,
    "containsAll": _contains_all,
    "containsAny": _contains_any,
}
