"""The risk tier of a call: the highest that its data, effect, money, visibility or lack of an undo demands. Pure.

What a tool declares is the least; these rules raise it and never lower it.
"""

from typing import Any, Literal, NamedTuple

from pydantic import Field

from contracts.base import Record
from contracts.tool import Effect, Money, Tier, Tool

__all__ = ["CallTier", "Demand", "MoneyTiers", "TierRules", "demanded_tier", "tier_of_call"]

DataClass = Literal["public", "internal", "personal", "sensitive"]
Demand = Literal["declared", "data", "write", "money", "visible", "lasting"]


class MoneyTiers(Record):
    """From which amount on a call in one currency is more than reversible. Minor units, included."""

    high_impact_minor: int = Field(ge=1)
    """From here on a person approves."""
    irreversible_minor: int = Field(ge=1)
    """From here on two persons approve."""


class TierRules(Record):
    """`settings/tiers.yaml`: what raises the tier of a call."""

    reads: dict[DataClass, Tier] = Field(default_factory=lambda: {"sensitive": Tier.HIGH_IMPACT})
    """Tier of a read by its tool's data class; a class that is not listed demands nothing."""
    writes: dict[DataClass, Tier] = Field(default_factory=lambda: {"sensitive": Tier.HIGH_IMPACT})
    """The same of a write."""
    visible: Tier = Tier.REVERSIBLE
    """Of a write that somebody outside sees."""
    lasting: Tier = Tier.HIGH_IMPACT
    """Of a write that moves money, or declares tier 2 or more, and that no tool undoes."""
    money: dict[str, MoneyTiers] = Field(default_factory=dict, max_length=200)
    """By currency, ISO 4217."""
    other_money: Tier = Tier.REVERSIBLE
    """Of any amount in a currency that is not listed."""


class CallTier(NamedTuple):
    """A tier, and what demands it."""

    tier: Tier
    because: tuple[Demand, ...]
    """Every demand that reaches it; `declared` where the tool's own tier does."""


def tier_of_call(tool: Tool, arguments: Any, rules: TierRules) -> CallTier:  # noqa: ANN401 - any arguments model
    """The tier of a call with these validated arguments.

    Raises:
        ValueError: the tool cannot tell the amount from these arguments.
    """
    return _highest({"declared": tool.tier, **_demands(tool, rules), "money": _of_money(tool.money(arguments), rules)})


def demanded_tier(tool: Tool, rules: TierRules) -> CallTier:
    """The least tier that a tool's other declarations demand, whatever the arguments. Never `declared`."""
    moves = Tier.REVERSIBLE if tool.moves_money and tool.effect is Effect.WRITE else Tier.READ_ONLY
    return _highest({**_demands(tool, rules), "money": moves})


def _highest(demands: dict[Demand, Tier]) -> CallTier:
    tier = max(demands.values())
    return CallTier(tier, tuple(name for name, demanded in demands.items() if demanded is tier))


def _demands(tool: Tool, rules: TierRules) -> dict[Demand, Tier]:
    if tool.effect is Effect.READ:
        return {"data": rules.reads.get(tool.data_class, Tier.READ_ONLY)}
    lasts = not tool.compensation and (tool.moves_money or tool.tier >= Tier.REVERSIBLE)
    return {
        "data": rules.writes.get(tool.data_class, Tier.READ_ONLY),
        "write": Tier.LOW_IMPACT,
        "visible": rules.visible if tool.customer_visible else Tier.READ_ONLY,
        "lasting": rules.lasting if lasts else Tier.READ_ONLY,
    }


def _of_money(money: Money | None, rules: TierRules) -> Tier:
    if money is None or money.amount_minor == 0:
        return Tier.READ_ONLY
    listed = rules.money.get(money.currency)
    if listed is None:
        return max(rules.other_money, Tier.REVERSIBLE)
    if money.amount_minor >= listed.irreversible_minor:
        return Tier.IRREVERSIBLE
    return Tier.HIGH_IMPACT if money.amount_minor >= listed.high_impact_minor else Tier.REVERSIBLE
