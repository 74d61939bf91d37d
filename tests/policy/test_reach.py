"""Policies that hold and do nothing are found, and only those."""

import pytest

from activities.bundles import BASE_POLICY
from contracts.tool import Tier, Tool
from policy.bundle import policies_of
from policy.reach import unpermitted, unreachable
from policy.tier import TierRules
from tests.policy.desk import LADDER, READ, declared

pytestmark = pytest.mark.req("P1", "P7")
PAY = declared("desk.pay", tier=Tier.REVERSIBLE)
DROP = declared("desk.drop", tier=Tier.IRREVERSIBLE)
TOOLS: dict[str, Tool] = {tool.name: tool for tool in (READ, PAY, DROP)}
BASE = BASE_POLICY.read_text("utf-8")


def permit(action: str, condition: str, resource: str = "resource", extra: str = "") -> str:
    return (
        f'@id("desk-x") @reason("r") permit (principal is Agent, action == Action::"{action}", {resource}) '
        f'when {{ principal.name == "desk" && {condition} }}{extra};'
    )


def found(text: str) -> list[tuple[str, str]]:
    policies = [*policies_of(BASE), *policies_of(text)]
    return [
        (item.tool, item.shadow.id if item.shadow else "")
        for item in unreachable("desk", policies, TOOLS, LADDER, TierRules())
    ]


@pytest.mark.parametrize(
    ("text", "shadow"),
    [
        (permit("desk.pay", "context.tier == 1"), ""),
        (permit("desk.pay", "context.tier < 3"), ""),
        (permit("desk.pay", "context.customer_visible"), ""),
        (permit("desk.pay", 'context.stage == "sometimes"'), ""),
        (permit("desk.pay", "true", "resource is Order"), ""),
        (permit("desk.pay", "context.amount_minor > 0"), ""),
        (permit("desk.pay", "context.tier == 3 && context.tier == 4"), ""),
        (permit("desk.pay", "true", extra=' unless { context.stage != "nothing" }'), ""),
        (permit("desk.pay", 'context.granted.contains("nobody")'), ""),
        (permit("desk.pay", "(if context.reversible then true else false)"), ""),
        (permit("desk.pay", 'context.stage == "off"'), "base-stage-off"),
        (permit("desk.pay", 'context.stage == "drafts"'), "base-stage-drafts"),
        (permit("desk.drop", "context.approvers == 1"), "base-irreversible"),
        (permit("desk.drop", "context.approvers < 1 && context.args.count > 3"), "base-high-impact"),
        (
            permit("desk.pay", "true") + '@id("desk-y") @reason("r") forbid (principal, action, resource);',
            "desk-y",
        ),
    ],
)
def test_a_permit_that_nothing_reaches_is_found_with_what_is_in_its_way(text: str, shadow: str) -> None:
    tool = "desk.drop" if "desk.drop" in text else "desk.pay"
    assert found(text) == [(tool, shadow)]


@pytest.mark.parametrize(
    "text",
    [
        permit("desk.pay", "true"),
        permit("desk.pay", "context.tier == 3"),
        permit("desk.pay", "context.args.count > 3"),
        permit("desk.pay", 'context.granted.containsAny(["one-lead", "nobody"])'),
        permit("desk.pay", 'context.stage == "gated_writes"'),
        permit("desk.drop", "context.approvers >= 2"),
        permit("desk.pay", "context has on_behalf_of"),
        permit("desk.pay", "true", "resource is Thing") + '@id("desk-y") @reason("r") forbid (principal, action, '
        "resource) when { context.calls > 3 };",
    ],
)
def test_a_permit_that_something_may_reach_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_tools_that_no_permit_reaches_are_found() -> None:
    policies = [*policies_of(BASE), *policies_of(permit("desk.pay", "true"))]
    none = [tool.name for tool in unpermitted("desk", policies, TOOLS.values(), LADDER, TierRules())]
    assert none == ["desk.drop"]
    raised = TierRules(reads={"internal": Tier.HIGH_IMPACT})
    assert [tool.name for tool in unpermitted("desk", policies, [READ], LADDER, raised)] == ["desk.read"]
