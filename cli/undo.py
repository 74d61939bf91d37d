"""`countersign undo`: what taking a run back comes to, and on order a run that does it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text
from temporalio.service import RPCError

from activities.bundles import load_ladder
from activities.registry import LoadedAgent, Registry
from activities.undo_plan import make_plan
from approvals.words import TIERS, amount
from cli.operators import Operator, reason_of, sign_in
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from cli.run_source import find_run, open_store, tenants_of
from cli.run_watch import watch_run
from contracts.canonical import run_id_for
from contracts.undo import UndoItem, UndoPlan, undo_identity_of
from settings import Settings, SettingsError
from settings.load import load_settings
from settings.temporal import connect
from store.database import Database
from store.runs import load_run
from store.undo import NewOrder, UndoOrder, find_order, order_undo, orders_of, started
from workers.undo_runs import start_undo

__all__ = ["mount"]

_VERDICTS = {
    "undo": ("take back", "green"),
    "nothing": ("nothing to do", "dim"),
    "cannot": ("stays", "red"),
    "in_doubt": ("in doubt", "yellow"),
    "undone": ("taken back before", "dim"),
}


def mount(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command("undo")(undo)


def undo(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id of a run that is over, or its beginning.")],
    step: Annotated[int | None, typer.Option("--step", min=1, help="Only the writes of this step.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Order it. Without this the plan is only shown.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    who: Annotated[str, typer.Option("--as", help="Who orders it: USER, or TENANT/USER, with the role undo.")] = "",
    wait: Annotated[bool, typer.Option("--watch", help="Follow the undo run until it ends.")] = False,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Show what taking a run back comes to: what, in which order, what stays and why. With --execute, do it.

    It is done by a run of its own, under policy, as a principal of its own: people are asked where policy asks them.
    """
    settings = load_settings()
    operator = _operator(settings, who, reason) if execute else None
    tenants = [operator.tenant] if operator else tenants_of(settings, tenant)
    plan, before = asyncio.run(_plan(settings, tenants, run, step))
    if not execute:
        if as_json:
            print_json(plan)
        else:
            _show(plan, before)
        return Exit.BAD if plan.in_doubt else Exit.OK
    if operator is None:
        raise CliError("say who orders it, with --as.")
    if not as_json:
        _show(plan, before)
    _refuse_unready(plan)
    order = asyncio.run(_order(settings, plan, operator, reason_of(reason), len(before)))
    if as_json:
        print_json(order)
    else:
        say(f"ordered: {order.run_id} takes it back. Look: countersign runs show {order.run_id}")
    return asyncio.run(watch_run(settings, order.run_id)) if wait else Exit.OK


def _operator(settings: Settings, who: str, reason: str) -> Operator:
    if not who:
        raise CliError("say who orders it: --as USER (or TENANT/USER).")
    reason_of(reason)
    return sign_in(settings, who, "undo")


async def _plan(
    settings: Settings, tenants: Sequence[str], run: str, step: int | None
) -> tuple[UndoPlan, tuple[UndoOrder, ...]]:
    run_id = await find_run(settings, run, list(tenants))
    async with open_store(settings) as store:
        for tenant in tenants:
            row = await load_run(store, tenant, run_id)
            if row is None:
                continue
            if row["closed_at"] is None:
                raise CliError(f"{run_id} is not over. End it first, then undo it.", Exit.BAD)
            agent = _agent(settings, str(row["agent"]))
            async with store.tenant(tenant) as cursor:
                before = await orders_of(cursor, tenant, run_id)
            plan = await make_plan(store, agent, tenant, run_id, step)
            if not plan.items:
                where = f"step {step} of {run_id}" if step else run_id
                raise CliError(f"{where} wrote nothing: there is nothing to undo.", Exit.BAD)
            return plan, before
    raise CliError(f"there is no run {run_id}. `countersign runs list` shows them.", Exit.BAD)


def _agent(settings: Settings, name: str) -> LoadedAgent:
    found = Registry.scan(settings.agents_dir, load_ladder(settings.ladder_file)).live(name)
    if found is None:
        raise CliError(f"agent {name} is gone or has errors: `countersign agent check {name}` says which.", Exit.BAD)
    return found


def _refuse_unready(plan: UndoPlan) -> None:
    if plan.in_doubt:
        first = plan.in_doubt[0]
        raise CliError(f"not ordered: {first.tool} ({first.key}) is in doubt. {first.why}.", Exit.BAD)
    if not plan.to_undo:
        raise CliError("not ordered: nothing of it can be taken back.", Exit.BAD)


async def _order(settings: Settings, plan: UndoPlan, operator: Operator, reason: str, number: int) -> UndoOrder:
    async with open_store(settings) as store:
        order = await _write(store, plan, operator, reason, number)
        try:
            client = await connect(settings)
            await start_undo(client, settings.temporal_task_queue, order, store_wait_s=settings.store_wait_s)
        except (RPCError, OSError, SettingsError) as error:
            say(f"Temporal did not take it yet ({type(error).__name__}); a worker starts it within two minutes.")
        else:
            await started(store, plan.tenant, order.run_id)
    return order


async def _write(store: Database, plan: UndoPlan, operator: Operator, reason: str, number: int) -> UndoOrder:
    run_id = run_id_for(plan.tenant, "undo", plan.of_run, str(number))
    new = NewOrder(
        run_id=run_id, agent=undo_identity_of(plan.agent), plan=plan, username=operator.username,
        person=operator.person, role=operator.role, reason=reason,
    )  # fmt: skip
    kind = await order_undo(store, new)
    if kind == "stored":
        raise CliError("somebody ordered it at the same moment: look at the plan again.", Exit.BAD)
    order = await find_order(store, plan.tenant, run_id)
    if kind != "ordered" or order is None:
        raise CliError(f"{plan.of_run} is not over. End it first, then undo it.", Exit.BAD)
    return order


def _show(plan: UndoPlan, before: Sequence[UndoOrder]) -> None:
    where = f"step {plan.of_step} of {plan.of_run}" if plan.of_step else plan.of_run
    say(f"undo of {where} ({plan.agent}), the newest write first:")
    print_table(
        ("", "WRITE", "AT", "AMOUNT", "", "BY", "WITH"),
        [_row(number, item) for number, item in _numbered(plan)],
    )
    for item in plan.items:
        if item.why:
            console.print(Text(f"  {item.tool} ({item.key}): {item.why}", style="dim"), soft_wrap=True)
    for currency, minor in sorted(_money(plan).items()):
        say(f"moves back {amount(minor, currency)}; no model is called, so it costs no tokens")
    highest = max((item.tier for item in plan.to_undo), default=0)
    if highest:
        say(f"highest tier {highest}, {TIERS[highest][0].lower()}: policy decides who must agree")
    for order in before:
        say(f"ordered before: {order.run_id} by {order.person}: {order.reason}")


def _numbered(plan: UndoPlan) -> list[tuple[str, UndoItem]]:
    numbers = {id(item): str(number) for number, item in enumerate(plan.to_undo, 1)}
    return [(numbers.get(id(item), ""), item) for item in plan.items]


def _row(number: str, item: UndoItem) -> Sequence[str | Text]:
    words, style = _VERDICTS[item.verdict]
    given = ", ".join(f"{name}={value}" for name, value in item.compensation_arguments.items())
    return (
        number,
        item.tool,
        f"{item.step}/{item.call}",
        amount(item.amount_minor or 0, item.currency) if item.currency else "",
        Text(words, style=style),
        item.compensation or "",
        given,
    )


def _money(plan: UndoPlan) -> dict[str, int]:
    total: dict[str, int] = {}
    for item in plan.to_undo:
        if item.currency and item.amount_minor:
            total[item.currency] = total.get(item.currency, 0) + item.amount_minor
    return total
