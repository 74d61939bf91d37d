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

__all__ = ["AGENT", "LADDER", "PERMIT_ALL", "Deed", "bundle_of", "declared", "request_for"]

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


def request_for(
    action: str = "desk.read",
    *,
    principal: str = AGENT,
    home: str = "acme",
    place: str = "acme",
    context: Mapping[str, object] = MappingProxyType({}),
) -> AuthorizationRequest:
    """What the gate asks about a call on a quiet day; `context` changes it."""
    usual: JsonObject = {
        "args": {"key": "1", "count": 0},
        "provenance": {},
        "tenant": "acme",
        "stage": "limited_autonomy",
        "enabled": True,
        "halted": False,
        "tier": 0 if action.endswith("read") else 1,
        "tier_ceiling": 4,
        "completed": [],
        "missing_steps": [],
        "calls": 0,
        "tool_calls_left": 10,
        "amount_minor": 0,
        "currency": "",
        "money_minor": 0,
        "repeated": False,
        "tainted": False,
        "customer_visible": False,
        "reversible": False,
        "run_age_s": 1,
        "now_s": 1_800_000_000,
    }
    agent = {"name": principal, "owner": "me", "tenant": home}
    return AuthorizationRequest.model_validate(
        {
            "principal": entity_name("Agent", f"{home}/{principal}"),
            "action": entity_name("Action", action),
            "resource": entity_name("Thing", f"{place}/1"),
            "context": usual | dict(context),
            "entities": [
                {"uid": {"type": "Agent", "id": f"{home}/{principal}"}, "attrs": agent, "parents": []},
                {
                    "uid": {"type": "Thing", "id": f"{place}/1"},
                    "attrs": {"tenant": place, "key": "1"},
                    "parents": [],
                },
            ],
        }
    )
