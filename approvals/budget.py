"""What would be left of the budgets after a call, in words. Pure: it moves, so it is shown beside what is signed."""

from collections.abc import Iterator

from approvals.words import amount
from contracts.base import Record
from policy.limits import ceilings
from settings.limits import TenantLimits
from store.budgets import BudgetsNow
from store.limits import CounterNow

__all__ = ["BudgetLine", "budget_lines"]


class BudgetLine(Record):
    """One budget."""

    whose: str
    """Such as `This run`."""
    what: str
    """Such as `Tool calls`."""
    left: str
    """What is left now, in words."""
    after: str
    """What would be left after the call."""
    cap: str
    short: bool = False
    """Whether the call would pass it: then it is refused, approved or not."""
    of_this: bool = False
    """Whether it is about this call: the run's own, and money."""


def budget_lines(
    now: BudgetsNow, limits: TenantLimits, *, tool: str, money_minor: int | None, currency: str | None
) -> tuple[BudgetLine, ...]:
    """The run's own budgets, then those of the day: a call is counted at once; what models cost is not the call's."""
    return (*_of_run(now), *_of_day(now, limits), *_of_money(now, limits, tool, money_minor, currency))


def _of_run(now: BudgetsNow) -> Iterator[BudgetLine]:
    at_first = ceilings(now.limits)
    calls = max(at_first.tool_calls + now.limit_changes.get("tool_calls", 0), 0)
    micros = max(at_first.micros + now.limit_changes.get("usd", 0), 0)
    yield _calls("This run", calls - now.tool_calls, calls).model_copy(update={"of_this": True})
    yield _cost("This run", micros - now.micros, micros).model_copy(update={"of_this": True})


def _of_day(now: BudgetsNow, limits: TenantLimits) -> Iterator[BudgetLine]:
    for whose, scope, caps in (
        (f"{now.agent}, today", "agent", limits.agent(now.agent)),
        ("All agents, today", "tenant", limits.day),
    ):
        counter = _counter(now, scope)
        used_calls, used_micros = (counter.tool_calls, counter.micros) if counter else (0, 0)
        raised = counter.raised if counter else {}
        _, cost_cap, _, calls_cap, *_ = caps.vector()
        calls_cap, cost_cap = calls_cap + raised.get("tool_calls", 0), cost_cap + raised.get("usd", 0)
        # What the run drew and has not used counts as used there, but it is this very run that may use it.
        yield _calls(whose, calls_cap - used_calls + now.held_tool_calls, calls_cap)
        yield _cost(whose, cost_cap - used_micros + now.held_micros, cost_cap)


def _of_money(
    now: BudgetsNow, limits: TenantLimits, tool: str, money_minor: int | None, currency: str | None
) -> Iterator[BudgetLine]:
    if money_minor is None or currency is None:
        return
    for whose, scope, caps in (
        (f"{tool}, today", "tool", limits.tool(tool).money_minor),
        (f"{now.agent}, today", "agent", limits.agent(now.agent).money_minor),
        ("All agents, today", "tenant", limits.day.money_minor),
    ):
        if not caps:
            continue
        counter = _counter(now, scope)
        moved, raised = (counter.money.get(currency, 0), counter.raised.get(currency, 0)) if counter else (0, 0)
        cap = caps.get(currency, 0) + raised
        left = cap - moved
        yield BudgetLine(
            whose=whose,
            what=f"{currency} moved",
            left=amount(max(left, 0), currency),
            after=amount(max(left - money_minor, 0), currency),
            cap=amount(cap, currency),
            short=left < money_minor,
            of_this=True,
        )


def _counter(now: BudgetsNow, scope: str) -> CounterNow | None:
    return next((counter for counter in now.counters if counter.scope == scope), None)


def _calls(whose: str, left: int, cap: int) -> BudgetLine:
    return BudgetLine(
        whose=whose,
        what="Tool calls",
        left=f"{max(left, 0):,}",
        after=f"{max(left - 1, 0):,}",
        cap=f"{cap:,}",
        short=left < 1,
    )


def _cost(whose: str, left: int, cap: int) -> BudgetLine:
    shown = _usd(max(left, 0))
    return BudgetLine(whose=whose, what="Model cost", left=shown, after=shown, cap=_usd(cap))


def _usd(micros: int) -> str:
    return f"USD {micros // 10_000 / 100:,.2f}"
