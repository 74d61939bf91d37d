"""`countersign approvals list` and `decisions`: the inbox, what is over, and what people decided."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.text import Text

from approvals.characters import plain
from approvals.list_filters import DecisionFilter, RequestFilter
from approvals.presenting import decision_line, inbox_line, state_words
from cli.approvals_client import ApprovalsClient
from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from contracts.vote import Verdict
from settings.load import load_settings
from store.approval_lists import MAX_FOUND, Outcome, Sort

__all__ = ["STATE_COLOURS", "AsOption", "mount_lists"]

AsOption = Annotated[str | None, typer.Option("--as", help="USER or TENANT/USER. Default: who signed in last.")]
AfterOption = Annotated[str, typer.Option(help="Cursor of the next page, as the page before printed it.")]
BeforeOption = Annotated[str, typer.Option(help="Cursor of the page before, as the page after printed it.")]
LimitOption = Annotated[int, typer.Option(min=1, max=100)]
STATE_COLOURS = {"open": "yellow", "granted": "green", "denied": "red", "expired": "red", "voided": "dim"}


def mount_lists(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("list")(list_approvals)
    group.command("decisions")(list_decisions)


def list_approvals(  # noqa: PLR0913, PLR0917 - Typer makes an option of each parameter
    who: AsOption = None,
    scope: Annotated[
        Literal["mine", "groups", "all"], typer.Option(help="That I may decide, of my groups, or all.")
    ] = "mine",
    history: Annotated[bool, typer.Option("--history", help="Requests that are over, the last ended first.")] = False,
    sort: Annotated[Sort, typer.Option(help="Open ones: next due, oldest or riskiest first.")] = "sla",
    search: Annotated[str, typer.Option(help="Words or beginnings of words: id, tool, agent, target, requester.")] = "",
    outcome: Annotated[Outcome | None, typer.Option(help="Of past ones: how they ended.")] = None,
    after: AfterOption = "",
    before: BeforeOption = "",
    limit: LimitOption = 25,
    as_json: JsonOption = False,
) -> int:
    """List requests: open ones by when an answer is due, past ones by when they ended."""
    _one_direction(after, before)
    asked = RequestFilter.model_validate(
        {
            "state": "history" if history or outcome else "open",
            "scope": scope,
            "sort": sort,
            "search": search[:200],
            "outcome": outcome or "",
            "after": after,
            "before": before,
            "limit": limit,
        }
    )
    with ApprovalsClient(load_settings(), who) as client:
        page = client.list(asked)
    if as_json:
        print_json(page)
        return Exit.OK
    now = datetime.now(UTC)
    rows = [inbox_line(line, now=now) for line in page.lines]
    if not rows:
        nothing = "nothing waits for a decision" if asked.state == "open" else "nothing has been decided"
        say("nothing matches" if search or outcome else nothing)
        return Exit.OK
    print_table(
        ("REQUEST", "WHAT", "TARGET", "AMOUNT", "TIER", "STATE", "DUE", "LEFT", "NEEDS"),
        [
            (
                row.line.request_id,
                plain(row.line.tool),
                plain(row.line.resource_id),
                plain(row.amount),
                str(row.tier.number),
                Text(plain(state_words(row.state, row.line.ending)), STATE_COLOURS[row.state]),
                Text(row.due, "red" if row.is_overdue else "") if row.state == "open" else "",
                row.deadline.left if row.state == "open" else "",
                f"{row.requirement}, {row.people_left} to go" if row.state == "open" else "",
            )
            for row in rows
        ],
    )
    if page.is_cut:
        say(f"more than {MAX_FOUND:,} match; these are from the newest {MAX_FOUND:,}: add a word")
    _say_neighbours(page.next, page.previous)
    return Exit.OK


def list_decisions(
    who: AsOption = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, not mine alone.")] = False,
    person: Annotated[str, typer.Option(help="With --all: of this person alone.")] = "",
    verdict: Annotated[Verdict | None, typer.Option(help="Those that say this.")] = None,
    after: AfterOption = "",
    before: BeforeOption = "",
    limit: LimitOption = 25,
    as_json: JsonOption = False,
) -> int:
    """List what people decided, newest first."""
    _one_direction(after, before)
    asked = DecisionFilter(
        scope="all" if everybody or person else "mine", person=person, verdict=verdict or "", after=after,
        before=before, limit=limit,
    )  # fmt: skip
    with ApprovalsClient(load_settings(), who) as client:
        page = client.decisions(asked)
    if as_json:
        print_json(page)
        return Exit.OK
    if not page.lines:
        say("no such decision")
        return Exit.OK
    now = datetime.now(UTC)
    print_table(
        ("WHEN", "WHO", "DID", "WHAT", "TARGET", "AMOUNT", "RUN SAID", "REQUEST NOW", "REQUEST", "REASON"),
        [
            (
                row.at,
                plain(row.line.display_name),
                row.did,
                plain(row.line.tool),
                plain(row.line.resource_id),
                plain(row.amount),
                row.line.answer,
                Text(plain(state_words(row.line.state, row.line.ending)), STATE_COLOURS[row.line.state]),
                row.line.request_id,
                plain(row.line.reason),
            )
            for row in (decision_line(line, now=now) for line in page.lines)
        ],
    )
    _say_neighbours(page.next, page.previous)
    return Exit.OK


def _one_direction(after: str, before: str) -> None:
    if after and before:
        raise CliError("give --after or --before, not both.")


def _say_neighbours(following: str, previous: str) -> None:
    if following:
        say(f"more: --after {following}")
    if previous:
        say(f"back: --before {previous}")
