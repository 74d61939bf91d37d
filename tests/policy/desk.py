"""A small office for tests of policy: one tool of each tier and effect, an agent that may use them all, a request."""

from collections.abc import Mapping
from types import MappingProxyType

from contracts.base import JsonObject, Record
from contracts.decision import AuthorizationRequest
from contracts.tool import Effect, Tier, Tool, ToolContext, tool
from policy.bundle import Bundle, build_bundle
from policy.cedar import entity_name
from policy.ladder import Ladder
from policy.schema import cedar_schema

__all__ = ["AGENT", "LADDER", "PERMIT_ALL", "USERS_PERMIT", "Deed", "bundle_of", "declared", "request_for"]

AGENT = "desk"
LADDER = Ladder.model_validate(
    {
        "rungs": [
            {"id": "one-lead", "needs": [{"group": "leads", "count": 1}]},
            {"id": "one-finance", "needs": [{"group": "finance", "count": 1}]},
            {"id": "two-finance", "needs": [{"group": "finance", "count": 2}]},
        ]
    }
)
PERMIT_ALL = """
@id("desk-everything") @reason("The desk may do everything.")
permit (principal is Agent, action, resource) when { principal.name == "desk" };
"""


class Deed(Record):
    """Arguments of the office's tools."""

    key: str
    count: int = 0


class Done(Record):
    """Nothing to tell."""


def declared(
    name: str = "desk.read", args: type[Record] = Deed, *, tier: Tier = Tier.READ_ONLY, resource: str = "Thing"
) -> Tool:
    """A tool with these arguments."""

    async def function(args: Record, ctx: ToolContext) -> Done:
        """Do nothing."""
        return Done()

    function.__annotations__["args"] = args
    effect = Effect.READ if tier is Tier.READ_ONLY else Effect.WRITE
    declare = tool(name=name, version=1, tier=tier, effect=effect, owner="me", resource=(resource, lambda _args: "1"))
    return declare(function)


READ = declared()
WRITE = declared("desk.write", tier=Tier.LOW_IMPACT)


def bundle_of(ladder: Ladder = LADDER, **files: str) -> Bundle:
    """A bundle of these texts over the office's tools."""
    return build_bundle(files, cedar_schema([READ, WRITE]), ladder)


USERS_PERMIT = """
@id("desk-users") @reason("Whoever is of the desk may have everything done.")
permit (principal is User, action, resource) when { principal.groups.contains("desk") };
"""


def request_for(
    action: str = "desk.read",
    *,
    principal: str = AGENT,
    home: str = "acme",
    place: str = "acme",
    context: Mapping[str, object] = MappingProxyType({}),
    attributes: Mapping[str, object] = MappingProxyType({}),
    user: Mapping[str, object] | None = None,
    run_tenant: str = "acme",
) -> AuthorizationRequest:
    """What the gate asks about a call on a quiet day; `context` and `attributes` (of the agent) change it.

    `user` are attributes of the one on whose behalf the agent acts.
    """
    usual: JsonObject = {
        "args": {"key": "1", "count": 0},
        "provenance": {},
        "tenant": "acme",
        "agent": principal,
        "run": {"__entity": {"type": "Run", "id": "acme/run-1"}},
        "stage": "limited_autonomy",
        "halted": False,
        "tier": 0 if action.endswith("read") else 1,
        "tier_because": ["declared"],
        "completed": [],
        "missing_steps": [],
        "forbidden_after": [],
        "calls": 0,
        "calls_today": 0,
        "money_today_minor": 0,
        "tool_calls_left": 10,
        "amount_minor": 0,
        "currency": "",
        "money_minor": 0,
        "repeated": False,
        "tainted": False,
        "tainted_arguments": [],
        "unproven": [],
        "intended": [],
        "requested": False,
        "requested_all": False,
        "spent": [],
        "customer_visible": False,
        "reversible": False,
        "data_class": "internal",
        "run_age_s": 1,
        "now_s": 1_800_000_000,
        "outgoing": [],
        "outgoing_action": "none",
        "break_glass": [],
    }
    agent = {"name": principal, "owner": "me", "tenant": home, "enabled": True, "tier_ceiling": 4} | dict(attributes)
    run = {"tenant": run_tenant, "agent": _named("Agent", f"{home}/{principal}"), "opened_s": 1, "age_limit_s": 3_600}
    entities: list[tuple[str, str, Mapping[str, object]]] = [
        ("Agent", f"{home}/{principal}", agent),
        ("Thing", f"{place}/1", {"tenant": place, "key": "1"}),
        ("Run", "acme/run-1", run),
    ]
    if user is not None:
        known: JsonObject = {"name": "uma", "tenant": "acme", "enabled": True, "groups": [], "roles": []}
        entities.append(("User", "acme/uma", {**known, **user}))
        usual["on_behalf_of"] = _named("User", "acme/uma")
    return AuthorizationRequest.model_validate(
        {
            "principal": entity_name("Agent", f"{home}/{principal}"),
            "action": entity_name("Action", action),
            "resource": entity_name("Thing", f"{place}/1"),
            "context": usual | dict(context),
            "entities": [
                {"uid": {"type": kind, "id": name}, "attrs": attrs, "parents": []} for kind, name, attrs in entities
            ],
            "user": "" if user is None else entity_name("User", "acme/uma"),
        }
    )


def _named(kind: str, identity: str) -> JsonObject:
    return {"__entity": {"type": kind, "id": identity}}
