"""`countersign eval`: run the agents' cases as real runs and say which pass."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.output import CliError, Exit, JsonOption, console, print_json, print_table, say
from evals.cases import CASES_FILE, CasesError, Suite, load_suite
from evals.junit import junit_xml
from evals.results import CaseResult, EvalReport, State
from evals.schema import cases_schema
from settings import Settings
from settings.load import load_settings

__all__ = ["mount"]

_EXIT = {"passed": Exit.OK, "failed": Exit.BAD, "could_not_run": Exit.ERROR}
_WORDS: dict[State, Text] = {
    "passed": Text("passed", style="green"),
    "failed": Text("FAILED", style="bold red"),
    "could_not_run": Text("not run", style="yellow"),
}
_MAX_AT_ONCE = 50

AgentsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[AGENT]…", help=f"Agents to run. Default: all with a {CASES_FILE}.")
]


def mount(app: typer.Typer) -> None:
    """Add the verbs to the application."""
    group = typer.Typer(help="Evals: the cases of the agents, as real runs.", no_args_is_help=True)
    group.command("run")(run)
    group.command("list")(list_cases)
    group.command("schema")(schema)
    app.add_typer(group, name="eval")


def run(
    agents: AgentsArgument = None,
    case: Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be repeated.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the models of the settings. Default: the scripted provider.")
    ] = False,
    at_once: Annotated[int, typer.Option(min=1, max=_MAX_AT_ONCE, help="Cases side by side.")] = 6,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    histories: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep each run's history, for `countersign replay FILE`.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Run cases on servers of their own and score each from its run's history and the books of the world.

    Exit code 0: all pass. 1: a case fails. 2: nothing failed, but something could not run.
    """
    settings = load_settings()
    suites = _suites(settings, agents, tuple(case or ()))
    provider = settings.model_provider if live else "scripted"
    configured = settings.model_copy(update={"model_provider": provider})
    # People who may not vote are part of the cases; a refusal of theirs is no news.
    logging.getLogger("approvals").setLevel(logging.ERROR)
    report = asyncio.run(_run(configured, suites, at_once, histories, quiet=as_json))
    if junit is not None:
        _write(junit, junit_xml(report))
    if as_json:
        print_json(report)
    else:
        _print(report)
    return _EXIT[report.verdict]


def list_cases(agents: AgentsArgument = None, as_json: JsonOption = False) -> int:
    """List cases and what each expects."""
    suites = _suites(load_settings(), agents, ())
    rows = [(suite.agent, case) for suite in suites for case in suite.cases]
    if as_json:
        print_json(
            [
                {
                    "agent": agent,
                    "case": case.name,
                    **(case.metadata.model_dump(mode="json") if case.metadata else {}),
                    "evaluators": [evaluator.get_default_evaluation_name() for evaluator in case.evaluators],
                }
                for agent, case in rows
            ]
        )
        return Exit.OK
    table = [
        (
            agent,
            case.name or "",
            case.metadata.family if case.metadata else "",
            case.metadata.why if case.metadata else "",
        )
        for agent, case in rows
    ]
    print_table(("AGENT", "CASE", "FAMILY", "WHY"), table)
    return Exit.OK


def schema() -> int:
    """Print the JSON Schema of cases.yaml, for editors."""
    print_json(dict(cases_schema()))
    return Exit.OK


def _suites(settings: Settings, agents: list[str] | None, names: tuple[str, ...]) -> list[Suite]:
    root = settings.agents_dir
    found = agents or sorted(file.parent.name for file in root.glob(f"*/{CASES_FILE}"))
    if not found:
        raise CliError(f"no agent in {root} has a {CASES_FILE}. Write one, with at least one case.")
    if names and len(found) != 1:
        raise CliError("--case needs the one agent whose case it is. Name it.")
    try:
        suites = [load_suite(root, agent) for agent in dict.fromkeys(found)]
        return [suite.only(names) for suite in suites] if names else suites
    except CasesError as error:
        raise CliError(str(error)) from None


async def _run(
    settings: Settings, suites: list[Suite], at_once: int, histories: Path | None, *, quiet: bool
) -> EvalReport:
    from cli.eval_stack import ephemeral_stack  # noqa: PLC0415 - two seconds that a wrong command need not spend
    from evals.runner import run_suites  # noqa: PLC0415 - as above

    cases = sum(len(suite.cases) for suite in suites)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("starting Postgres, Temporal and the back office", total=cases)

        def told(result: CaseResult) -> None:
            progress.advance(task)
            if not quiet:
                console.print(Text.assemble(_WORDS[result.state], f"  {result.agent}  {result.case}"), soft_wrap=True)

        async with ephemeral_stack(settings, lambda line: None if quiet else say(line)) as stack:
            progress.update(task, description="running cases")
            return await run_suites(suites, stack, at_once=at_once, told=told, histories=histories)


def _print(report: EvalReport) -> None:
    say("")
    rows = [
        (
            _WORDS[result.state],
            result.agent,
            result.case,
            f"{result.duration_s:.1f} s",
            str(result.model_calls),
            f"{result.micros / 1_000_000:.4f}",
            f"{sum(check.passed for check in result.checks)}/{len(result.checks)}",
        )
        for result in report.results
    ]
    print_table(("", "AGENT", "CASE", "TIME", "MODEL CALLS", "USD", "CHECKS"), rows)
    for result in report.results:
        if result.problems:
            say(f"\n{result.agent} {result.case} ({result.state.replace('_', ' ')})")
            for problem in result.problems:
                say(f"  {problem}")
    counted = {state: report.count(state) for state in ("passed", "failed", "could_not_run")}
    parts = [f"{number} {state.replace('_', ' ')}" for state, number in counted.items() if number]
    say(f"\n{', '.join(parts)} in {report.duration_s:.1f} s; models: {', '.join(report.models) or 'none'}")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror}. Name another file.") from error
