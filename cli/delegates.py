"""`countersign approvals delegate`: say who decides while an approver is away; straight to the store."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError
from rich.text import Text

from approvals.characters import plain
from approvals.words import at
from cli.mistakes import mistake_in
from cli.operators import AsOption, TenantOption, sign_in, tenant_of
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from cli.store_work import in_store
from contracts.delegation import Delegation, NewDelegation
from settings import Settings
from settings.load import load_settings
from store.delegations import Cursor, NotDelegated, add_delegation, end_delegation, list_delegations

__all__ = ["mount_delegates"]

ResultT = TypeVar("ResultT")
_COLOURS = {"in_force": "green", "planned": "yellow", "over": "dim", "ended": "dim"}
_MOMENT = "2026-12-24 (the whole day, UTC), or 2026-12-24T12:00+01:00."


def mount_delegates(group: typer.Typer) -> None:
    """Add the subgroup."""
    delegates = typer.Typer(no_args_is_help=True, help="Who decides while an approver is away.")
    delegates.command("add")(add)
    delegates.command("list")(list_all)
    delegates.command("end")(end)
    group.add_typer(delegates, name="delegate")


def add(
    delegate: Annotated[str, typer.Argument(help="User name of who decides meanwhile.")],
    who: AsOption,
    until: Annotated[str, typer.Option("--until", help=f"Last day, or moment: {_MOMENT}")],
    from_: Annotated[str, typer.Option("--from", help="First day, or moment. Default: now.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody sees it.")] = "",
    of: Annotated[str, typer.Option("--of", help="Who is away, if not you. Needs the role administer.")] = "",
) -> int:
    """Name who decides for you, or as an administrator for somebody else; at most 60 days."""
    settings = load_settings()
    by = sign_in(settings, who, "administer") if of else sign_in(settings, who, "approve")
    try:
        new = NewDelegation(
            approver=(of or by.username).lower(),
            delegate=delegate.lower(),
            from_at=_moment(from_, last=False) if from_ else None,
            until_at=_moment(until, last=True),
            reason=reason,
        )
    except ValidationError as error:
        raise mistake_in(error) from None

    async def make(cursor: Cursor) -> Delegation:
        return await add_delegation(cursor, by.tenant, new, by=by.person, administers=bool(of))

    found = _done(settings, by.tenant, make)
    when = f"{at(found.from_at)} to {at(found.until_at)}"
    say(f"{found.delegation_id}: {found.delegate} decides for {found.approver}, {when}")
    return Exit.OK


def list_all(
    past: Annotated[bool, typer.Option("--past", help="Those that are over, too.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List who decides for whom, now or soon."""
    settings = load_settings()
    where = tenant_of(settings, tenant)

    async def look(cursor: Cursor) -> tuple[Delegation, ...]:
        return await list_delegations(cursor, where, past=past)

    found = _done(settings, where, look)
    if as_json:
        print_json(found)
    elif not found:
        say("everybody decides for themselves")
    else:
        print_table(
            ("DELEGATION", "AWAY", "DECIDES", "STATE", "FROM", "UNTIL", "WHY"),
            [
                (
                    one.delegation_id, one.approver, one.delegate,
                    Text(one.state.replace("_", " "), _COLOURS[one.state]), at(one.from_at), at(one.until_at),
                    plain(one.reason)[:60],
                )
                for one in found
            ],
        )  # fmt: skip
    return Exit.OK


def end(delegation: Annotated[str, typer.Argument(help="As `delegate list` shows it.")], who: AsOption) -> int:
    """End one now; votes under it that have not been used are void. The approver, the delegate, or an administrator."""
    settings = load_settings()
    by = sign_in(settings, who, "administer", "approve", "view", stops=True)

    async def stop(cursor: Cursor) -> Delegation:
        return await end_delegation(
            cursor, by.tenant, delegation, account=by.username, person=by.person, administers=by.role == "administer"
        )

    found = _done(settings, by.tenant, stop)
    say(f"{found.delegation_id} is over: {found.approver} decides for themselves")
    return Exit.OK


def _moment(text: str, *, last: bool) -> datetime:
    """A day or a moment as typed; of a last day its end. Without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        is_day = len(text) == len("2026-12-24")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return datetime.combine(moment.date(), time(), UTC) + timedelta(days=1) if is_day and last else moment
    except (ValueError, OverflowError):
        raise CliError(f"{text!r} is no day or moment: write {_MOMENT}") from None


def _done(settings: Settings, tenant: str, work: Callable[[Cursor], Awaitable[ResultT]]) -> ResultT:
    try:
        return in_store(settings, tenant, work)
    except NotDelegated as refusal:
        raise CliError(f"{refusal}.", Exit.BAD) from None
