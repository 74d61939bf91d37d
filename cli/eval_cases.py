"""What `countersign eval` does with cases: find them, run them on servers of their own, show what came of them."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from cli.output import CliError, console, print_table, say
from evals.cases import CASES_FILE, CasesError, Suite, load_suite
from evals.results import CaseResult, EvalReport, State
from settings import Settings

__all__ = ["print_report", "run_cases", "suites_of"]

_WORDS: dict[State, Text] = {
    "passed": Text("passed", style="green"),
    "failed": Text("FAILED", style="bold red"),
    "could_not_run": Text("not run", style="yellow"),
}


def suites_of(settings: Settings, agents: list[str] | None, names: tuple[str, ...] = ()) -> list[Suite]:
    """Cases of the agents (None: of all that have some), of one agent only those named.

    Raises:
        CliError: there is none, or it cannot be read.
    """
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


async def run_cases(
    settings: Settings, suites: list[Suite], at_once: int, histories: Path | None, *, quiet: bool
) -> EvalReport:
    """Run them, `at_once` side by side."""
    from cli.eval_stack import ephemeral_stack  # noqa: PLC0415 - a second that a wrong command need not spend
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


def print_report(report: EvalReport) -> None:
    """A line for each case, what is wrong, and the sum."""
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
