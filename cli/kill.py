"""`countersign kill`: stop everything, an agent, a tool or a run; list what is stopped; release; drill.

It works on the database itself, so that it stops things also while the form or Temporal is down.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from approvals.characters import plain
from approvals.switching import Refused, Released, SwitchShown, ThrowSwitch, release, show, throw
from cli.kill_drill import drill_command
from cli.kill_targets import misses
from cli.operators import AsOption, ReasonOption, reason_of, sign_in, store_of, tenant_of, unreachable
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.base import Record
from settings.load import load_settings
from settings.tenants import load_tenants
from store.database import StoreDown
from store.pauses import StoredPause, open_pauses
from store.switches import Receipt, SwitchScope, Thrown, under_way

__all__ = ["mount"]

ResultT = TypeVar("ResultT")
SwitchArgument = Annotated[int, typer.Argument(metavar="ID", min=1, help="Number of the switch, as in `kill list`.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Organisation. Default: the only one there is.")]


class KillList(Record):
    """What is stopped, and what is under way."""

    on: tuple[SwitchShown, ...]
    released: tuple[SwitchShown, ...]
    paused: tuple[StoredPause, ...]
    under_way: tuple[Receipt, ...]


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(
        no_args_is_help=True, help="Kill switch: stop everything, an agent, a tool or a run; list, release, drill."
    )
    group.command("global", help="Stop every organisation of this installation.")(_untargeted("global"))
    group.command("tenant", help="Stop everything in one organisation, that of --as.")(_untargeted("tenant"))
    group.command("agent", help="Stop one agent.")(_targeted("agent"))
    group.command("tool", help="Stop one tool, whoever calls it.")(_targeted("tool"))
    group.command("run", help="Stop one run at the gate.")(_targeted("run"))
    group.command("list")(list_)
    group.command("release")(release_)
    group.command("drill")(drill_command)
    app.add_typer(group, name="kill")


def _untargeted(scope: SwitchScope) -> Callable[..., int]:
    def command(who: AsOption, reason: ReasonOption, as_json: JsonOption = False) -> int:
        return _throw(scope, "", who, reason, as_json=as_json)

    return command


def _targeted(scope: SwitchScope) -> Callable[..., int]:
    def command(
        target: Annotated[str, typer.Argument(help=f"Name of the {scope}, exactly.")],
        who: AsOption,
        reason: ReasonOption,
        as_json: JsonOption = False,
    ) -> int:
        return _throw(scope, target, who, reason, as_json=as_json)

    return command


def _throw(scope: SwitchScope, target: str, who: str, reason: str, *, as_json: bool) -> int:
    settings = load_settings()
    asked = ThrowSwitch(scope=scope, target=target, reason=reason_of(reason))
    operator = sign_in(settings, who, "kill", stops=True)

    async def act() -> tuple[Thrown | Refused, tuple[SwitchShown, ...], str]:
        async with store_of(settings) as store:
            thrown = await throw(
                store, load_tenants(settings.tenants_file), tenant=operator.tenant, by=operator.username, asked=asked
            )
            # Looked up afterwards: nothing may come between an operator and the switch.
            shown = await show(store, operator.tenant)
            return thrown, shown, await misses(settings, store, operator.tenant, scope, target)

    thrown, shown, instead = _run(act)
    if isinstance(thrown, Refused):
        raise CliError(thrown.why)
    words = f"{scope} {target}".strip()
    if as_json:
        print_json(thrown)
    else:
        _tell(words, thrown, shown, who)
    if instead:
        raise CliError(
            f"the switch is on, but nobody here knows {words}: look for a typing error; {instead}.", Exit.BAD
        )
    return Exit.OK


def _tell(words: str, thrown: Thrown, shown: tuple[SwitchShown, ...], who: str) -> None:
    if thrown.fresh:
        say(f"{words} is stopped: switch {thrown.switch_id}. Nothing is admitted any more; credentials are revoked.")
    else:
        say(f"{words} was stopped already by switch {thrown.switch_id}. Nothing was changed.")
    for item in shown:
        if item.switch.switch_id == thrown.switch_id:
            _print_receipts(item)
    say(f'When it is safe: countersign kill release {thrown.switch_id} --as {who} --reason "…"')


def list_(
    tenant: TenantOption = None,
    released: Annotated[bool, typer.Option("--released", help="Also switches that were released.")] = False,
    as_json: JsonOption = False,
) -> int:
    """List switches that are on with what was under way when each fell, paused runs, and what is under way now."""
    settings = load_settings()
    wanted = tenant_of(settings, tenant)

    async def look() -> KillList:
        async with store_of(settings) as store:
            on = await show(store, wanted)
            past = await show(store, wanted, released=True) if released else ()
            async with store.tenant(wanted) as cursor:
                return KillList(
                    on=on, released=past, paused=await open_pauses(cursor, wanted),
                    under_way=await under_way(cursor, wanted),
                )  # fmt: skip

    found = _run(look)
    if as_json:
        print_json(found)
        return Exit.OK
    if not found.on:
        say("no switch is on.")
    for item in (*found.on, *found.released):
        _print_switch(item)
    if found.paused:
        rows = [
            (one.run_id, one.agent, f"{one.paused_at:%m-%d %H:%M:%S}", one.person or "the gate",
             plain(one.reason or one.detail))
            for one in found.paused
        ]  # fmt: skip
        print_table(("PAUSED RUN", "AGENT", "SINCE (UTC)", "BY", "WHY"), rows)
    if found.under_way:
        print_table(("UNDER WAY NOW", "STEP", "WHAT", "STATE", "SINCE (UTC)"), [_cells(one) for one in found.under_way])
    return Exit.OK


def release_(switch: SwitchArgument, who: AsOption, reason: ReasonOption, as_json: JsonOption = False) -> int:
    """Release a switch. Runs that it halted go on by themselves, within seconds while the form runs."""
    settings = load_settings()
    why = reason_of(reason)
    operator = sign_in(settings, who, "kill")

    async def act() -> Released | Refused:
        async with store_of(settings) as store:
            return await release(
                store, load_tenants(settings.tenants_file), tenant=operator.tenant, by=operator.username,
                switch_id=switch, reason=why,
            )  # fmt: skip

    released = _run(act)
    if isinstance(released, Refused):
        raise CliError(released.why, Exit.BAD)
    if as_json:
        print_json(released)
    else:
        say(f"switch {switch} is released. `countersign kill list` shows runs that still wait.")
    return Exit.OK


def _print_switch(item: SwitchShown) -> None:
    switch = item.switch
    target = "" if switch.target == "*" else f" {switch.target}"
    over = f"; released by {switch.released_by}: {switch.released_reason}" if switch.released_at else ""
    say(
        f"switch {switch.switch_id}: {switch.kind}{target}, by {switch.set_by} at "
        f"{switch.set_at:%Y-%m-%d %H:%M:%S} UTC: {plain(switch.reason)}{plain(over)}"
    )
    _print_receipts(item)


def _print_receipts(item: SwitchShown) -> None:
    if not item.receipts:
        say("  nothing was under way when it fell.")
        return
    say(f"  {len(item.receipts)} under way when it fell, {item.unsettled} not settled yet:")
    print_table(
        ("  RUN", "STEP", "WHAT", "THEN", "SINCE (UTC)", "NOW", "KEY AT THE SERVICE"),
        [(*_cells(one), Text(one.now, "green" if one.settled else "yellow"), one.effect_key) for one in item.receipts],
    )


def _cells(one: Receipt) -> tuple[str, str, str, str, str]:
    return (one.run_id, str(one.step), one.tool or "model call", one.state, f"{one.since:%m-%d %H:%M:%S}")


def _run(work: Callable[[], Coroutine[None, None, ResultT]]) -> ResultT:
    try:
        return asyncio.run(work())
    except StoreDown as error:
        raise unreachable(error) from error
