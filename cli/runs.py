"""`countersign runs`: list runs, show one as a timeline, watch one live, export one."""

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field
from rich.text import Text

from approvals.characters import plain
from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from cli.run_gone import print_remains
from cli.run_orders import mount_orders
from cli.run_ratings import mount_ratings
from cli.run_reads import list_reads, note_read
from cli.run_source import file_of, find_run, history_from_file, history_of, open_store, tenants_of
from cli.run_view import OUTCOME_STYLES, print_story
from cli.run_watch import watch_run
from cli.timeline import dollars
from cli.undo_links import print_undo_links
from contracts.base import Record
from incidents.export import export_text
from incidents.history import BrokenHistoryError, HistoryGoneError
from incidents.payloads import UnreadablePayloadError
from incidents.tell import tell
from settings import Settings
from settings.load import load_settings
from store.runs import list_runs

__all__ = ["RunLine", "mount"]

_MAX_LISTED = 1_000

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")]
SourceArgument = Annotated[
    str, typer.Argument(metavar="RUN|FILE", help="A run's id or its beginning, or an exported history.")
]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant. Default: every tenant.")]


class RunLine(Record):
    """A run in a listing."""

    tenant: str
    run_id: str
    agent: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str
    """`open` until it has one."""
    reason: str
    steps: int
    tool_calls: int
    effects: int
    tokens: int = Field(ge=0)
    micros: int
    """Model cost in micro-dollars."""
    goal: str


def mount(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Runs: list them, show one as a timeline, watch it, export it.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("watch")(watch)
    group.command("export")(export)
    group.command("reads")(reads)
    mount_orders(group)
    mount_ratings(group)
    app.add_typer(group, name="runs")


def list_(
    agent: Annotated[str | None, typer.Option(help="Only runs of this agent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MAX_LISTED, help="How many, newest first.")] = 20,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """List runs, newest first."""
    settings = load_settings()
    lines = asyncio.run(_lines(settings, tenants_of(settings, tenant), agent, limit))
    if as_json:
        print_json(lines)
        return Exit.OK
    if not lines:
        say("no runs. `countersign send FILE` delivers an event that starts one.")
        return Exit.OK
    several = len({line.tenant for line in lines}) > 1
    print_table(
        (
            *(["TENANT"] if several else []),
            "RUN",
            "AGENT",
            "OPENED (UTC)",
            "OUTCOME",
            "STEPS",
            "EFFECTS",
            "TOKENS",
            "COST",
        ),
        [
            (
                *([line.tenant] if several else []),
                *(line.run_id, line.agent, f"{line.opened_at:%m-%d %H:%M:%S}", _outcome(line)),
                *(str(line.steps), str(line.effects), f"{line.tokens:,}", dollars(line.micros)),
            )
            for line in lines
        ],
    )
    return Exit.OK


def show(
    target: SourceArgument,
    full: Annotated[bool, typer.Option("--full", help="Cut no text.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a run as a timeline: proposals, decisions with their policies, approvals, effects, outcome.

    An open run is shown as far as it is. A FILE needs no server.
    """
    path = file_of(target)
    settings = load_settings()
    tenants: list[str] = []
    run_id = ""
    if path is not None:
        history = history_from_file(path)
    else:
        tenants = tenants_of(settings, tenant)
        run_id = asyncio.run(find_run(settings, target, tenants))
        asyncio.run(note_read(settings, tenants, run_id, "history"))
        try:
            history = asyncio.run(history_of(settings, run_id))
        except HistoryGoneError as error:
            return asyncio.run(print_remains(settings, tenants, run_id, str(error), as_json=as_json))
    try:
        story = tell(history)
    except (BrokenHistoryError, UnreadablePayloadError) as error:
        raise CliError(f"{target} cannot be shown: {error}.", Exit.BAD) from error
    if as_json:
        print_json(story)
    else:
        print_story(console, story, full=full)
        if path is None:
            asyncio.run(print_undo_links(settings, tenants, run_id))
    return Exit.OK


def watch(run: RunArgument, tenant: TenantOption = None) -> int:
    """Follow a run until it ends. Ctrl-C stops watching; the run goes on."""
    settings = load_settings()

    async def follow() -> int:
        tenants = tenants_of(settings, tenant)
        run_id = await find_run(settings, run, tenants)
        await note_read(settings, tenants, run_id, "live")
        return await watch_run(settings, run_id)

    try:
        return asyncio.run(follow())
    except KeyboardInterrupt:
        say("stopped watching; the run goes on.")
        return Exit.OK


def export(
    run: RunArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: stdout.")] = None,
    tenant: TenantOption = None,
) -> int:
    """Write a run's whole history as one JSON document that `runs show` and `replay` read without a server."""
    settings = load_settings()

    async def text() -> tuple[str, str]:
        tenants = tenants_of(settings, tenant)
        run_id = await find_run(settings, run, tenants)
        await note_read(settings, tenants, run_id, "export")
        return run_id, export_text(await history_of(settings, run_id))

    try:
        run_id, document = asyncio.run(text())
    except HistoryGoneError as error:
        raise CliError(f"{error}: its retention has passed, or it never started.", Exit.BAD) from error
    except UnreadablePayloadError as error:
        raise CliError(f"{run} cannot be exported: {error}.") from error
    if output is None:
        sys.stdout.write(document)
        return Exit.OK
    try:
        output.write_text(document, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{output} cannot be written: {error.strerror}. Give another --output.") from error
    say(f"{run_id}: {len(document):,} characters in {output}. Look: countersign runs show {output}")
    return Exit.OK


def reads(run: RunArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> int:
    """List who looked at a run, newest first."""
    settings = load_settings()

    async def lines() -> int:
        tenants = tenants_of(settings, tenant)
        return await list_reads(settings, tenants, await find_run(settings, run, tenants), as_json=as_json)

    return asyncio.run(lines())


async def _lines(settings: Settings, tenants: list[str], agent: str | None, limit: int) -> list[RunLine]:
    async with open_store(settings) as store:
        rows = [row for tenant in tenants for row in await list_runs(store, tenant, agent=agent, limit=limit)]
    lines = [
        RunLine.model_validate(
            {
                **{name: row[name] for name in ("tenant", "run_id", "agent", "opened_at", "closed_at", "steps")},
                **{name: row[name] for name in ("tool_calls", "effects", "goal")},
                "outcome": row["outcome"] or "open",
                "reason": row["reason"] or "",
                "tokens": row["tokens_used"],
                "micros": row["micros_used"],
            }
        )
        for row in rows
    ]
    return sorted(lines, key=lambda line: line.opened_at, reverse=True)[:limit]


def _outcome(line: RunLine) -> Text:
    reason = "" if line.reason in ("", "done", "requested") else f": {line.reason.replace('_', ' ')}"
    return Text.assemble((line.outcome.replace("_", " "), OUTCOME_STYLES.get(line.outcome, ""))) + Text(
        plain(reason), "dim"
    )
