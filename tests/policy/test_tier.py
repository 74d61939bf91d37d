"""The tier of a call is the highest that anything demands; what untrusted content may have chosen is told apart."""

import itertools
from typing import Literal

import pytest

from contracts.base import Record
from contracts.tool import Effect, Money, Tier, Tool, ToolContext, tool
from policy.provenance import Origin, Trace
from policy.taint import open_arguments, tainted_arguments
from policy.tier import MoneyTiers, TierRules, demanded_tier, tier_of_call

DataClass = Literal["public", "internal", "personal", "sensitive"]
RULES = TierRules(
    reads={"personal": Tier.LOW_IMPACT, "sensitive": Tier.HIGH_IMPACT},
    money={"EUR": MoneyTiers(high_impact_minor=1_000, irreversible_minor=5_000)},
    other_money=Tier.HIGH_IMPACT,
)


class Inner(Record):
    kind: Literal["a", "b"] = "a"
    name: str = ""


class Pay(Record):
    account: str = "A-1"
    amount_minor: int = 0
    currency: str = "EUR"
    urgent: bool = False
    reason: Literal["late", "wrong"] = "late"
    tags: tuple[str, ...] = ()
    levels: tuple[Literal[1, 2], ...] = ()
    inner: Inner | None = None
    note: str = ""


class Done(Record):
    """Nothing to tell."""


def made(
    tier: Tier, *, data: DataClass = "internal", visible: bool = False, undone: bool = True, moves: bool = False
) -> Tool:
    async def function(args: Pay, ctx: ToolContext) -> Done:
        """Do nothing."""
        return Done()

    if moves:
        return tool(
            name="bank.pay", version=1, tier=tier, effect=Effect.WRITE, owner="me",
            resource=("Account", lambda args: args.account), data_class=data, customer_visible=visible,
            compensation="bank.undo" if undone else "", free_text=("note",),
            money=lambda args: Money(amount_minor=args.amount_minor, currency=args.currency),
        )(function)  # fmt: skip
    return tool(
        name="bank.pay", version=1, tier=tier, effect=Effect.READ if tier is Tier.READ_ONLY else Effect.WRITE,
        owner="me", resource=("Account", lambda args: args.account), data_class=data, customer_visible=visible,
        compensation="bank.undo" if undone else "", free_text=("note",),
    )(function)  # fmt: skip


WRITES = [tier for tier in Tier if tier is not Tier.READ_ONLY]


@pytest.mark.req("P11", "P3")
@pytest.mark.parametrize("tier", WRITES)
@pytest.mark.parametrize("data", ["public", "internal", "personal", "sensitive"])
def test_a_writes_tier_is_the_highest_that_anything_demands(tier: Tier, data: DataClass) -> None:
    amounts = {0: 0, 999: 2, 1_000: 3, 5_000: 4}
    for visible, undone, moves, amount in itertools.product((False, True), (False, True), (False, True), amounts):
        if amount and not moves:
            continue
        expected = [int(tier), 1, amounts[amount]]
        expected += [3] if data == "sensitive" else []
        expected += [2] if visible else []
        expected += [3] if not undone and (moves or tier >= 2) else []
        pay = made(tier, data=data, visible=visible, undone=undone, moves=moves)
        found = tier_of_call(pay, Pay(amount_minor=amount), RULES)
        assert int(found.tier) == max(expected)
        assert ("declared" in found.because) == (int(tier) == max(expected))


@pytest.mark.req("P11")
@pytest.mark.parametrize(("data", "tier"), [("public", 0), ("internal", 0), ("personal", 1), ("sensitive", 3)])
def test_reading_sensitive_data_can_itself_need_approval(data: DataClass, tier: int) -> None:
    assert tier_of_call(made(Tier.READ_ONLY, data=data, visible=True, undone=False), Pay(), RULES).tier == tier


@pytest.mark.req("P11")
def test_an_amount_in_a_currency_that_nobody_listed_counts_as_much() -> None:
    pay = made(Tier.LOW_IMPACT, moves=True)
    assert tier_of_call(pay, Pay(amount_minor=1, currency="XXX"), RULES).tier is Tier.HIGH_IMPACT
    assert tier_of_call(pay, Pay(amount_minor=1, currency="XXX"), TierRules()).tier is Tier.REVERSIBLE


@pytest.mark.req("P11")
def test_what_declarations_demand_needs_no_arguments_and_is_never_above_the_calls_tier() -> None:
    for tier, visible, undone, moves in itertools.product(WRITES, (False, True), (False, True), (False, True)):
        made_tool = made(tier, visible=visible, undone=undone, moves=moves)
        demanded = demanded_tier(made_tool, RULES)
        assert demanded.tier <= tier_of_call(made_tool, Pay(amount_minor=1), RULES).tier
        assert "declared" not in demanded.because
    assert demanded_tier(made(Tier.LOW_IMPACT, moves=True), RULES).because == ("money",)


@pytest.mark.req("P8")
def test_arguments_that_can_hold_any_text_are_open_and_fixed_sets_numbers_and_flags_are_not() -> None:
    assert open_arguments(Pay) == {"account", "currency", "tags", "inner", "note"}


@pytest.mark.req("P8")
@pytest.mark.parametrize("label", Origin)
def test_of_a_tainted_write_the_open_arguments_without_a_trusted_source_count(label: Origin) -> None:
    traces = {name: Trace(label=label) for name in Pay.model_fields}
    bad = label in {Origin.UNTRUSTED, Origin.MODEL, Origin.PERSON}
    write, read = made(Tier.REVERSIBLE), made(Tier.READ_ONLY)
    assert tainted_arguments(write, traces, tainted=True) == (("account", "currency", "inner", "tags") if bad else ())
    assert tainted_arguments(write, traces, tainted=False) == ()
    assert tainted_arguments(read, traces, tainted=True) == ()
