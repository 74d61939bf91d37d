"""The authorization request of a call, built from recorded facts only."""

from collections.abc import Mapping

from pydantic import JsonValue

from contracts.agent import UNTRUSTED_CONTENT, PinnedAgent, Stage
from contracts.base import JsonObject, Record, RunId, TenantId, UserName
from contracts.decision import AuthorizationRequest
from contracts.outgoing import Outgoing
from contracts.tool import Tool
from policy.cedar import entity_name
from policy.provenance import Mandate, Trace, unproven
from policy.schema import cedar_arguments
from policy.taint import tainted_arguments
from policy.tier import TierRules, tier_of_call

__all__ = ["CallFacts", "UserFacts", "authorization_request", "forbidden_after", "missing_steps"]

_USUAL_TIERS = TierRules()


class UserFacts(Record):
    """The user on whose behalf a run acts, as the tenant's accounts know them now."""

    enabled: bool = False
    """False for a user that is disabled or unknown."""
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


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
    mandate: Mandate = Mandate()
    """How far the event asks for this deed."""
    repeated: bool
    """The same deed was done before, by any run of the tenant."""
    opened_s: int
    """When the run was opened, Unix seconds."""
    now_s: int
    """Clock of the store, Unix seconds."""
    outgoing: Outgoing = Outgoing()
    """What the output rules say of the arguments."""
    break_glass: tuple[str, ...] = ()
    """Controls that an open emergency lifts for this tool."""
    user: UserFacts = UserFacts()
    """Of `on_behalf_of`."""
    calls_today: int = 0
    """Admitted calls of this tool in the tenant's day, by any agent."""
    money_today_minor: int = 0
    """Minor units that they moved or reserved, in the call's currency."""


def missing_steps(agent: PinnedAgent, tool: str, completed: Mapping[str, int]) -> tuple[str, ...]:
    """Tools that must have completed before this one may be called, and have not."""
    return tuple(step for step in agent.required_steps.get(tool, ()) if not completed.get(step))


def forbidden_after(agent: PinnedAgent, tool: str, completed: Mapping[str, int], *, tainted: bool) -> tuple[str, ...]:
    """What has happened in the run after which this tool may not be called any more."""
    return tuple(
        step
        for step in agent.forbidden_after.get(tool, ())
        if (tainted if step == UNTRUSTED_CONTENT else completed.get(step))
    )


def authorization_request(
    facts: CallFacts,
    agent: PinnedAgent,
    tool: Tool,
    arguments: JsonObject,
    traces: Mapping[str, Trace],
    tiers: TierRules = _USUAL_TIERS,
) -> AuthorizationRequest:
    """Principal, action, resource, typed context and entity slice of a call.

    Raises:
        ValueError: the tool cannot tell its resource or amount from these arguments.
    """
    typed = tool.args_model.model_validate(arguments)
    money = tool.money(typed)
    currency = money.currency if money else ""
    call_tier = tier_of_call(tool, typed, tiers)
    ids = _Ids(facts, agent, tool.resource_id(typed))
    context: JsonObject = {
        "args": cedar_arguments(arguments),
        "provenance": {name: trace.label.value for name, trace in traces.items()},
        "tenant": facts.tenant,
        "agent": agent.name,
        "run": _reference("Run", ids.run),
        "stage": facts.stage.value,
        "halted": facts.halted,
        "tier": int(call_tier.tier),
        "tier_because": [*call_tier.because],
        "completed": [*sorted(facts.completed)],
        "missing_steps": [*missing_steps(agent, tool.name, facts.completed)],
        "forbidden_after": [*forbidden_after(agent, tool.name, facts.completed, tainted=facts.tainted)],
        "calls": facts.admitted.get(tool.name, 0),
        "calls_today": facts.calls_today,
        "money_today_minor": facts.money_today_minor,
        "tool_calls_left": max(agent.limits.tool_calls - facts.tool_calls, 0),
        "amount_minor": money.amount_minor if money else 0,
        "currency": currency,
        "money_minor": facts.money_minor.get(currency, 0),
        "repeated": facts.repeated,
        "tainted": facts.tainted,
        "unproven": [*unproven(tool, traces)],
        "intended": [*sorted(name for name, trace in traces.items() if trace.intended)],
        "requested": facts.mandate.requested,
        "requested_all": facts.mandate.requested_all,
        "spent": [*facts.mandate.spent],
        "tainted_arguments": [*tainted_arguments(tool, traces, tainted=facts.tainted)],
        "customer_visible": tool.customer_visible,
        "reversible": bool(tool.compensation),
        "data_class": tool.data_class,
        "run_age_s": max(facts.now_s - facts.opened_s, 0),
        "now_s": facts.now_s,
        "outgoing": [*facts.outgoing.classes],
        "outgoing_action": facts.outgoing.action,
        "break_glass": [*sorted(facts.break_glass)],
    }
    if ids.user:
        context["on_behalf_of"] = _reference("User", ids.user)
    return AuthorizationRequest(
        principal=entity_name("Agent", ids.agent),
        action=entity_name("Action", tool.name),
        resource=entity_name(tool.resource_type, ids.resource),
        context=context,
        entities=_entities(facts, agent, tool, ids),
        user=entity_name("User", ids.user) if ids.user else "",
    )


class _Ids:
    """Ids of the entities of a call. Each begins with the tenant, so that no two tenants' ever meet."""

    def __init__(self, facts: CallFacts, agent: PinnedAgent, key: str) -> None:
        self.agent = f"{facts.tenant}/{agent.name}"
        self.run = f"{facts.tenant}/{facts.run_id}"
        self.user = "" if facts.on_behalf_of is None else f"{facts.tenant}/{facts.on_behalf_of}"
        self.resource_key = key
        self.resource = f"{facts.tenant}/{key}"


def _entities(facts: CallFacts, agent: PinnedAgent, tool: Tool, ids: _Ids) -> tuple[JsonObject, ...]:
    """The entity slice: what a policy about this call can reach, and nothing else."""
    tenant = facts.tenant
    found: list[JsonObject] = [
        {"uid": {"type": "Tenant", "id": tenant}, "attrs": {}, "parents": []},
        _entity("Agent", ids.agent, tenant, {
            "name": agent.name, "owner": agent.owner, "enabled": facts.enabled, "tier_ceiling": facts.tier_ceiling,
        }),
        _entity("Run", ids.run, tenant, {
            "agent": _reference("Agent", ids.agent), "opened_s": facts.opened_s, "age_limit_s": agent.limits.age_s,
        }),
        _entity(tool.resource_type, ids.resource, tenant, {"key": ids.resource_key}),
    ]  # fmt: skip
    if facts.on_behalf_of is not None:
        user = facts.user
        attributes: JsonObject = {
            "name": facts.on_behalf_of,
            "enabled": user.enabled,
            "groups": [*user.groups],
            "roles": [*user.roles],
        }
        found.append(_entity("User", ids.user, tenant, attributes))
    return tuple(found)


def _entity(kind: str, identity: str, tenant: str, attributes: JsonObject) -> JsonObject:
    parents: list[JsonValue] = [{"type": "Tenant", "id": tenant}]
    return {"uid": {"type": kind, "id": identity}, "attrs": {"tenant": tenant, **attributes}, "parents": parents}


def _reference(kind: str, identity: str) -> JsonObject:
    return {"__entity": {"type": kind, "id": identity}}
