"""`countersign replay`: whether today's code does what was recorded, and whether the record agrees with itself."""

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from approvals.characters import plain
from cli.output import CliError, Exit, JsonOption, console, print_json
from cli.run_source import file_of, find_run, history_of, tenants_of
from cli.run_view import show
from incidents.export import read_history
from incidents.history import BrokenHistoryError, HistoryGoneError
from incidents.replay import Altered, Corrupted, Diverged, ReplayVerdict, Same
from incidents.replay import replay as replay_history
from settings.load import load_settings

__all__ = ["mount"]

_CODES = {"same": Exit.OK, "diverged": Exit.BAD, "altered": Exit.BAD, "corrupted": Exit.ERROR}


def mount(app: typer.Typer) -> None:
    """Add the verb to the application."""
    app.command()(replay)


def replay(
    target: Annotated[str, typer.Argument(metavar="RUN|FILE", help="A run's id or its beginning, or an export.")],
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only runs of this tenant. Default: every one.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run a recorded history through today's workflow code. Has no effect; a FILE needs no server.

    Compares Temporal's events, the inputs that the code gives to activities, and the recorded digests of prompt,
    definition, arguments and inputs. Exit code 0: the same; 1: the code diverges, or the record was altered;
    2: there is no whole history to replay.
    """
    verdict = asyncio.run(_verdict(target, tenant))
    if as_json:
        print_json(verdict)
    else:
        show(console, _words(verdict))
    return _CODES[verdict.kind]


async def _verdict(target: str, tenant: str | None) -> ReplayVerdict:
    path = file_of(target)
    if path is not None:
        try:
            return await replay_history(read_history(path))
        except OSError as error:
            raise CliError(f"{path} cannot be read: {error.strerror}. Check the path, or give a run's id.") from error
        except BrokenHistoryError as error:
            return Corrupted(reason=str(error))
    settings = load_settings()
    run_id = await find_run(settings, target, tenants_of(settings, tenant))
    try:
        return await replay_history(await history_of(settings, run_id))
    except HistoryGoneError as error:
        raise CliError(f"{error}: its retention has passed, or it never started. Replay an export of it.") from error


def _words(verdict: ReplayVerdict) -> Text:
    match verdict:
        case Same():
            more = "" if verdict.closed else " so far (the run is still open)"
            parts = f" in {verdict.links} parts" if verdict.links > 1 else ""
            return Text.assemble(("✓ the same", "bold green")) + Text(
                f"{more}: {verdict.events} events{parts}, {verdict.inputs} activity inputs made again, "
                "recorded digests agree"
            )
        case Diverged():
            part = f" of part {verdict.link}" if verdict.link > 1 else ""
            where = f"event {verdict.event}{part}" if verdict.event is not None else "its first event"
            text = Text.assemble(("✗ today's code diverges", "bold red")) + Text(f" at {where}")
            text += Text.assemble(("\n  recorded: ", "dim")) + Text(plain(verdict.expected))
            text += Text.assemble(("\n  the code: ", "dim")) + Text(plain(verdict.actual))
            return text + Text("\n  Temporal: ", "dim") + Text(plain(verdict.detail), "dim")
        case Altered():
            text = Text.assemble(("✗ the record was altered", "bold red")) + Text(": its values contradict each other")
            for words in verdict.contradictions:
                text += Text(f"\n  {plain(words)}")
            for finding in verdict.findings:
                text += Text.assemble((f"\n  event {finding.event}: ", "dim")) + Text(plain(finding.in_words()))
            return text
        case Corrupted():
            return Text.assemble(("✗ no whole history", "bold red")) + Text(f": {plain(verdict.reason)}")
