"""`countersign break-glass`: declare an emergency, open it by two persons, end it, and review what was done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from temporalio.service import RPCError

from approvals.emergencies import approve_with_timer, start_timer
from approvals.words import at
from cli.operators import AsOption, Operator, ReasonOption, TenantOption, sign_in, store_of, tenant_of, unreachable
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.emergency import Emergency, WatchEmergency
from settings import Settings
from settings.break_glass import load_break_glass
from settings.load import load_settings
from settings.temporal import connect
from store.database import StoreDown
from store.emergencies import (
    Cursor,
    NotAllowed,
    end_emergency,
    list_emergencies,
    request_emergency,
    review_emergency,
)

__all__ = ["mount"]

IdArgument = Annotated[str, typer.Argument(metavar="EMERGENCY", help="As `break-glass list` shows it.")]


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Emergencies: lift a control for minutes, in the open.")
    for name, verb in (
        ("scopes", scopes), ("request", request), ("approve", approve), ("list", list_), ("end", end), ("close", close),
    ):  # fmt: skip
        group.command(name)(verb)
    app.add_typer(group, name="break-glass")


def scopes(as_json: JsonOption = False) -> int:
    """What may be declared, and what it lifts: settings/break_glass.yaml."""
    found = load_break_glass(load_settings().break_glass_file).scopes
    if as_json:
        print_json({name: scope.model_dump() for name, scope in found.items()})
        return Exit.OK
    rows = [
        (name, scope.agent, ", ".join(scope.tools), ", ".join(scope.lifts), f"{scope.max_minutes} min", scope.approvers)
        for name, scope in found.items()
    ]
    print_table(("SCOPE", "AGENT", "TOOLS", "LIFTS", "AT MOST", "TWO OF"), rows)
    return Exit.OK


def request(
    scope: Annotated[str, typer.Argument(help="A declared scope.")],
    who: AsOption,
    reason: ReasonOption = "",
    minutes: Annotated[int, typer.Option("--minutes", help="How long; 0: as long as the scope allows.")] = 0,
) -> int:
    """Ask for an emergency. Nothing is lifted before two persons approve, within 15 minutes. Needs the role kill."""
    settings = load_settings()
    declared = load_break_glass(settings.break_glass_file).scopes.get(scope)
    if declared is None:
        raise CliError(f"no scope {scope} is declared in {settings.break_glass_file}. `break-glass scopes` lists them.")
    by = sign_in(settings, who, "kill", "administer")

    async def ask(cursor: Cursor) -> Emergency:
        return await request_emergency(
            cursor, by.tenant, scope, declared.model_dump(),
            minutes=minutes or declared.max_minutes, reason=reason, person=by.person,
        )  # fmt: skip

    found = _done(settings, by.tenant, ask)
    say(f"{found.emergency_id} is requested. Two persons of {found.approvers} open it within 15 minutes:")
    say(f"  countersign break-glass approve {found.emergency_id} --as …")
    return Exit.OK


def approve(emergency: IdArgument, who: AsOption) -> int:
    """Approve it. The second person's approval opens it at once. Needs the role approve and the scope's group."""
    settings = load_settings()
    by = sign_in(settings, who, "approve")
    found = _run(_approved(settings, by, emergency))
    if found.state == "open" and found.expires_at is not None:
        what = f"{', '.join(found.lifts)} lifted for {found.agent}, {', '.join(found.tools)}"
        say(f"OPEN until {at(found.expires_at)}: {what}.")
        say("End it as soon as it is not needed, and have somebody else review it afterwards.")
    else:
        say("recorded: one more person must approve.")
    return Exit.OK


def list_(
    every: Annotated[bool, typer.Option("--all", help="Reviewed and lapsed ones too.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List emergencies. Exit code 1 while one is open or waits for its review."""
    settings = load_settings()
    owner = tenant_of(settings, tenant)

    async def look(cursor: Cursor) -> list[Emergency]:
        return await list_emergencies(cursor, owner, every=every)

    found = _done(settings, owner, look)
    if as_json:
        print_json(found)
    elif not found:
        say("no emergency is open or waits for its review.")
    else:
        columns = ("EMERGENCY", "SCOPE", "STATE", "UNTIL", "ASKED BY", "OPENED BY", "REASON")
        print_table(columns, [_row(one) for one in found])
    return Exit.BAD if any(one.state in ("open", "ended") for one in found) else Exit.OK


def end(emergency: IdArgument, who: AsOption) -> int:
    """End it before its time. Needs the role kill or approve."""
    settings = load_settings()
    by = sign_in(settings, who, "kill", "approve", "administer", stops=True)

    async def stop(cursor: Cursor) -> Emergency:
        found = await end_emergency(cursor, by.tenant, emergency, person=by.person)
        if found is None:
            raise NotAllowed("there is no such emergency")
        return found

    found = _done(settings, by.tenant, stop)
    say(f"{found.emergency_id} is {found.state}.")
    return Exit.OK


def close(
    emergency: IdArgument,
    who: AsOption,
    note: Annotated[str, typer.Option("--note", help="What was done meanwhile, and whether it was right.")] = "",
) -> int:
    """Close the review: by somebody who neither asked for it nor opened it. Needs the role approve or administer."""
    settings = load_settings()
    by = sign_in(settings, who, "administer", "approve")

    async def review(cursor: Cursor) -> Emergency:
        return await review_emergency(cursor, by.tenant, emergency, person=by.person, note=note)

    found = _done(settings, by.tenant, review)
    say(f"{found.emergency_id} is reviewed by {found.reviewed_by}.")
    return Exit.OK


async def _approved(settings: Settings, by: Operator, emergency: str) -> Emergency:
    async def start(request: WatchEmergency) -> None:
        await start_timer(await connect(settings), settings.temporal_task_queue, request)

    async with store_of(settings) as database:
        return await approve_with_timer(
            database, by.tenant, emergency, username=by.username, person=by.person, start=start
        )


def _done(settings: Settings, tenant: str, work: Callable[[Cursor], Awaitable[Any]]) -> Any:  # noqa: ANN401 - whatever the work returns
    async def within() -> object:
        async with store_of(settings) as database, database.tenant(tenant) as cursor:
            return await work(cursor)

    return _run(within())


def _run(work: Any) -> Any:  # noqa: ANN401 - whatever the work returns
    try:
        return asyncio.run(work)
    except NotAllowed as refusal:
        raise CliError(f"{refusal}.", Exit.BAD) from None
    except StoreDown as error:
        raise unreachable(error) from error
    except (RPCError, OSError, RuntimeError) as error:  # the SDK's word for "cannot connect" is RuntimeError
        raise CliError(
            f"Temporal does not answer, so nothing was opened: {error}. Look at `countersign status`."
        ) from None


def _row(one: Emergency) -> tuple[str, ...]:
    until = at(one.expires_at) if one.expires_at else ""
    return (
        one.emergency_id, one.scope, one.state.upper() if one.state == "open" else one.state, until, one.requested_by,
        ", ".join(one.approved_by), json.dumps(one.reason, ensure_ascii=False)[1:-1][:60],
    )  # fmt: skip
