"""What a call leaves of its budgets: the run's own, and the day's with what its run holds of it."""

from datetime import UTC, datetime

import pytest

from approvals.budget import BudgetLine, budget_lines
from contracts.agent import OnExceeded, RunLimits
from settings.limits import DayCaps, TenantLimits, ToolCaps
from store.budgets import BudgetsNow
from store.limits import CounterNow

pytestmark = pytest.mark.req("A2")
TOOL = "payments.issue_refund"
RUN = RunLimits(
    tokens=24_000, micros=500_000, steps=20, tool_calls=10, malformed=3, active_s=900, age_s=3_600,
    on_exceeded=OnExceeded.ESCALATE,
)  # fmt: skip
LIMITS = TenantLimits(agent_day=DayCaps(tool_calls=100), tools={TOOL: ToolCaps(money_minor={"EUR": 500_000})})


def lines(money_minor: int | None = 48_000) -> dict[tuple[str, str], BudgetLine]:
    used = {"tokens": 0, "micros": 0, "model_calls": 0, "retries": 0, "wall_s": 0}
    now = BudgetsNow(
        agent="support_refund", limits=RUN, limit_changes={"tool_calls": 5}, tool_calls=4, micros=41_000, tokens=900,
        held_tool_calls=2, held_micros=0, ends_at=datetime(2026, 11, 22, tzinfo=UTC),
        counters=(
            CounterNow(scope="agent", subject="support_refund", tool_calls=90, money={}, raised={}, **used),
            CounterNow(scope="tool", subject=TOOL, tool_calls=9, money={"EUR": 440_000}, raised={"EUR": 1_000}, **used),
        ),
    )  # fmt: skip
    found = budget_lines(now, LIMITS, tool=TOOL, money_minor=money_minor, currency="EUR" if money_minor else None)
    return {(line.whose, line.what): line for line in found}


def test_a_call_takes_one_of_its_runs_calls_and_its_amount_of_the_day() -> None:
    found = lines()
    calls = found["This run", "Tool calls"]
    assert (calls.left, calls.after, calls.cap) == ("11", "10", "15")  # raised by five
    held = found["support_refund, today", "Tool calls"]
    assert (held.left, held.after) == ("12", "11")  # what the run holds is its own to use
    money = found[f"{TOOL}, today", "EUR moved"]
    assert (money.left, money.after, money.cap) == ("EUR 610.00", "EUR 130.00", "EUR 5,010.00")
    assert found["This run", "Model cost"].after == "USD 0.45"
    assert not any(line.short for line in found.values())


def test_what_does_not_suffice_is_named_and_what_moves_nothing_has_no_money() -> None:
    assert lines(61_001)[f"{TOOL}, today", "EUR moved"].short
    assert not lines(61_000)[f"{TOOL}, today", "EUR moved"].short
    assert not any("moved" in what for _, what in lines(None))
