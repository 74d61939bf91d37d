"""The authorization request of a call, built from recorded facts only."""

from collections.abc import Mapping

from pydantic import JsonValue

from contracts.agent import PinnedAgent, Stage
from contracts.base import JsonObject, Record, RunId, TenantId, UserName
from contracts.decision import AuthorizationRequest
from contracts.tool import Tool
from policy.cedar import entity_name
from policy.provenance import Trace
from policy.schema import cedar_arguments

__all__ = ["CallFacts", "authorization_request", "missing_steps"]


class CallFacts(Record):
    """What the store says at the moment of the decision."""

    tenant: TenantId
    run_id: RunId
    on_behalf_of: UserName | None
    stage: Stage
    enabled: bool
    tier_ceiling: int
    halted: bool
    admitted: dict[str, int]
    """Admitted calls per tool in this run."""
    completed: dict[str, int]
    """Completed calls per tool in this run."""
    money_minor: dict[str, int]
    """Minor units moved or reserved in this run, per currency."""
    tool_calls: int
    tainted: bool
    repeated: bool
    """The same deed was done before, by any run of the tenant."""
    opened_s: int
    """When the run was opened, Unix seconds."""
    now_s: int
    """Clock of the store, Unix seconds."""


def missing_steps(agent: PinnedAgent, tool: str, completed: Mapping[str, int]) -> tuple[str, ...]:
    """Tools that must have completed before this one may be called, and have not."""
    return tuple(step for step in agent.required_steps.get(tool, ()) if not completed.get(step))


def authorization_request(
    facts: CallFacts, agent: PinnedAgent, tool: Tool, arguments: JsonObject, traces: Mapping[str, Trace]
) -> AuthorizationRequest:
    """Principal, action, resource, typed context and entity slice of a call.

    Raises:
        ValueError: the tool cannot tell its resource or amount from these arguments.
    """
    typed = tool.args_model.model_validate(arguments)
    money = tool.money(typed)
    currency = money.currency if money else ""
    resource_key = tool.resource_id(typed)
    principal_id = f"{facts.tenant}/{agent.name}"
    resource_id = f"{facts.tenant}/{resource_key}"
    tenant_entity: JsonObject = {"uid": {"type": "Tenant", "id": facts.tenant}, "attrs": {}, "parents": []}
    parents: list[JsonValue] = [{"type": "Tenant", "id": facts.tenant}]
    context: JsonObject = {
        "args": cedar_arguments(arguments),
        "provenance": {name: trace.label.value for name, trace in traces.items()},
        "tenant": facts.tenant,
        "stage": facts.stage.value,
        "enabled": facts.enabled,
        "halted": facts.halted,
        "tier": int(tool.tier),
        "tier_ceiling": facts.tier_ceiling,
        "completed": [*sorted(facts.completed)],
        "missing_steps": [*missing_steps(agent, tool.name, facts.completed)],
        "calls": facts.admitted.get(tool.name, 0),
        "tool_calls_left": max(agent.limits.tool_calls - facts.tool_calls, 0),
        "amount_minor": money.amount_minor if money else 0,
        "currency": currency,
        "money_minor": facts.money_minor.get(currency, 0),
        "repeated": facts.repeated,
        "tainted": facts.tainted,
        "customer_visible": tool.customer_visible,
        "reversible": bool(tool.compensation),
        "run_age_s": max(facts.now_s - facts.opened_s, 0),
        "now_s": facts.now_s,
    }
    if facts.on_behalf_of is not None:
        context["on_behalf_of"] = facts.on_behalf_of
    return AuthorizationRequest(
        principal=entity_name("Agent", principal_id),
        action=entity_name("Action", tool.name),
        resource=entity_name(tool.resource_type, resource_id),
        context=context,
        entities=(
            tenant_entity,
            {
                "uid": {"type": "Agent", "id": principal_id},
                "attrs": {"name": agent.name, "owner": agent.owner, "tenant": facts.tenant},
                "parents": parents,
            },
            {
                "uid": {"type": tool.resource_type, "id": resource_id},
                "attrs": {"tenant": facts.tenant, "key": resource_key},
                "parents": parents,
            },
        ),
    )
