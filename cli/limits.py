"""`countersign limits`: what the day has left for a tenant, its agents and tools, and a run of its own limits."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from pydantic import Field
from rich.text import Text

from approvals.run_limits import RunLimit, limits_of_run
from approvals.words import amount, at, duration
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.run_source import find_run, open_store, tenants_of
from contracts.base import Record
from settings import Settings
from settings.limits import MEASURES, DayCaps, TenantLimits, load_limits
from settings.load import load_settings
from settings.tenants import load_tenants
from store.limits import Breaker, CounterNow, DayUsage, day_usage, list_breakers

__all__ = ["mount"]

_SCARCE_SHARE = 10
_MICROS = "micros"
_NAMES = {
    "tokens": "tokens", "micros": "usd", "model_calls": "model calls", "tool_calls": "tool calls",
    "retries": "retries", "wall_s": "work, seconds",
}  # fmt: skip
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")]


class Budget(Record):
    """One cap of the day."""

    scope: Literal["tenant", "agent", "tool"]
    subject: str
    """Agent or tool; `*` for the tenant."""
    measure: str
    """Such as `tokens`, `usd`, `calls`, or `money EUR`."""
    used: int
    """In base units: tokens, micro-dollars, calls, seconds, minor units."""
    held: int
    """Allotted to open runs and not used: counts as used until they close."""
    left: int | None
    cap: int | None
    """None: none."""
    raised: int
    """How much of the cap people added today."""


class TenantDay(Record):
    """A tenant's limits and what is left of them."""

    tenant: str
    period: str
    timezone: str
    ends_at: datetime
    """When everything begins anew."""
    budgets: tuple[Budget, ...]
    rates: dict[str, int] = Field(default_factory=dict[str, int])
    """Calls in 60 seconds, per tool that `limits.yaml` names."""
    breakers: tuple[Breaker, ...] = ()
    """Tools with calls that gave no clear answer."""


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Limits: what is used, held, left, and when it begins anew.")
    group.command("show")(show)
    group.command("run")(run)
    app.add_typer(group, name="limits")


def show(
    agent: Annotated[str | None, typer.Argument(help="One agent; without it, all of them and the tenant.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what is left of the day's budgets, and which tools are cut off."""
    settings = load_settings()
    days = asyncio.run(_days(settings, tenants_of(settings, tenant), agent))
    if agent is not None and not any(budget.scope == "agent" for day in days for budget in day.budgets):
        raise CliError(f"no tenant has an agent {agent}. `countersign agent list` shows them.")
    if as_json:
        print_json(days)
        return Exit.OK
    for number, day in enumerate(days):
        if number:
            say("")
        _print(day)
    return Exit.OK


def run(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, or its beginning.")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show what a run used of its own limits, and how they were raised or shrunk."""
    settings = load_settings()
    found, changes = asyncio.run(_run(settings, run_id, tenant))
    if as_json:
        print_json(found)
        return Exit.OK
    print_table(("LIMIT", "USED", "HELD", "LEFT", "CAP", "CHANGED"), [_run_line(limit) for limit in found])
    for words in changes:
        say(words)
    return Exit.OK


async def _days(settings: Settings, tenants: Sequence[str], agent: str | None) -> list[TenantDay]:
    limits = load_limits(settings.limits_file)
    known = load_tenants(settings.tenants_file).tenants
    days: list[TenantDay] = []
    async with open_store(settings) as store:
        for tenant in tenants:
            of_tenant = limits.tenant(tenant)
            usage = await day_usage(store, tenant, of_tenant.timezone)
            names = dict.fromkeys([*known[tenant].agents, *of_tenant.agents, *_agents_in(usage)])
            days.append(
                TenantDay(
                    tenant=tenant,
                    period=usage.period,
                    timezone=of_tenant.timezone,
                    ends_at=usage.ends_at,
                    budgets=tuple(_budgets(of_tenant, usage, [name for name in names if agent in (None, name)], agent)),
                    rates={
                        name: caps.rate_per_minute for name, caps in of_tenant.tools.items() if caps.rate_per_minute
                    },
                    breakers=tuple(await list_breakers(store, tenant)),
                )
            )
    return days


async def _run(settings: Settings, run_id: str, tenant: str | None) -> tuple[list[RunLimit], list[str]]:
    tenants = tenants_of(settings, tenant)
    whole = await find_run(settings, run_id, tenants)
    async with open_store(settings) as store:
        for name in tenants:
            found = await limits_of_run(store, name, whole)
            if found is not None:
                return found
    raise CliError(f"there is no run {whole}. `countersign runs list` shows them.", Exit.BAD)


def _agents_in(usage: DayUsage) -> list[str]:
    return [counter.subject for counter in usage.counters if counter.scope == "agent"]


def _budgets(limits: TenantLimits, usage: DayUsage, agents: Sequence[str], only: str | None) -> list[Budget]:
    counters = {(counter.scope, counter.subject): counter for counter in usage.counters}
    found = [budget for name in agents for budget in _of_scope(limits.agent(name), usage, counters, "agent", name)]
    if only is not None:
        return found
    found += _of_scope(limits.day, usage, counters, "tenant", "*")
    tools = dict.fromkeys([*limits.tools, *(name for scope, name in counters if scope == "tool")])
    for name in tools:
        counter, caps = counters.get(("tool", name)), limits.tool(name)
        if caps.rate_per_day or counter:
            used = counter.tool_calls if counter else 0
            found.append(_budget("tool", name, "calls", used=used, cap=caps.rate_per_day or None))
        found += _money("tool", name, counter, caps.money_minor)
    return found


def _of_scope(
    caps: DayCaps, usage: DayUsage, counters: dict[tuple[str, str], CounterNow], scope: Literal["agent", "tenant"],
    subject: str,
) -> list[Budget]:  # fmt: skip
    counter = counters.get((scope, subject))
    holders = [held for name, held in usage.held.items() if scope == "tenant" or name == subject]
    found: list[Budget] = []
    for measure, cap in zip(MEASURES, caps.vector(), strict=True):
        counted = getattr(counter, measure) if counter else 0
        held = sum(getattr(holder, measure) for holder in holders)
        raised = counter.raised.get("usd" if measure == _MICROS else measure, 0) if counter else 0
        found.append(
            _budget(scope, subject, _NAMES[measure], used=counted - held, held=held, cap=cap + raised, raised=raised)
        )
    return [*found, *_money(scope, subject, counter, caps.money_minor)]


def _money(
    scope: Literal["agent", "tenant", "tool"], subject: str, counter: CounterNow | None, caps: dict[str, int]
) -> list[Budget]:
    moved = counter.money if counter else {}
    return [
        _budget(scope, subject, f"money {currency}", used=moved.get(currency, 0),
                cap=caps.get(currency, 0) if caps else None)
        for currency in sorted({*caps, *moved})
    ]  # fmt: skip


def _budget(
    scope: Literal["agent", "tenant", "tool"], subject: str, measure: str, *, used: int, cap: int | None,
    held: int = 0, raised: int = 0,
) -> Budget:  # fmt: skip
    left = None if cap is None else max(cap - used - held, 0)
    return Budget(
        scope=scope, subject=subject, measure=measure, used=used, held=held, left=left, cap=cap, raised=raised
    )


def _print(day: TenantDay) -> None:
    in_time = duration(day.ends_at - datetime.now(UTC))
    say(f"tenant {day.tenant}, {day.period} ({day.timezone}); begins anew in {in_time}, {at(day.ends_at)}")
    rows = [_line(budget) for budget in day.budgets]
    print_table(("BUDGET", "OF", "USED", "HELD BY OPEN RUNS", "LEFT", "CAP"), rows)
    for tool, rate in day.rates.items():
        say(f"{tool}: at most {rate} calls in any 60 seconds")
    for breaker in day.breakers:
        match breaker.state:
            case "open":
                until = f" until {at(breaker.until)}" if breaker.until else ""
                say(f"{breaker.tool} is cut off{until}: too many calls gave no clear answer")
            case "half_open":
                say(f"{breaker.tool} is cut off but for one call that probes it")
            case "closed":
                say(f"{breaker.tool}: {breaker.failed} recent calls gave no clear answer")


def _line(budget: Budget) -> Sequence[str | Text]:
    whose = f"tenant {budget.subject}" if budget.scope == "tenant" else f"{budget.scope} {budget.subject}"
    cap = "none" if budget.cap is None else _shown(budget.measure, budget.cap)
    if budget.raised:
        cap += f" (raised by {_shown(budget.measure, budget.raised)})"
    return (
        whose.removesuffix(" *"), budget.measure.removeprefix("money "), _shown(budget.measure, budget.used),
        _shown(budget.measure, budget.held), _left(budget), cap,
    )  # fmt: skip


def _left(budget: Budget) -> Text:
    if budget.left is None or budget.cap is None:
        return Text("")
    words = _shown(budget.measure, budget.left)
    if budget.left == 0:
        return Text(f"{words} (used up)", style="red")
    return Text(words, style="yellow" if budget.left * _SCARCE_SHARE < budget.cap else "")


def _run_line(limit: RunLimit) -> Sequence[str | Text]:
    measure = _NAMES.get(limit.limit, limit.limit).replace("_", " ")
    values = [_shown(limit.limit, value) for value in (limit.used, limit.held, limit.left, limit.cap)]
    changed = f"{'+' if limit.changed > 0 else '-'}{_shown(limit.limit, abs(limit.changed))}" if limit.changed else ""
    return (measure, *values, changed)


def _shown(measure: str, value: int) -> str:
    if measure == "usd":
        return f"{value / 1_000_000:,.4f}".rstrip("0").removesuffix(".")
    if measure.startswith("money "):
        return amount(value, measure.removeprefix("money "))
    return f"{value:,}"
