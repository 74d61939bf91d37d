"""`countersign eval`: run the agents' cases as real runs and say which pass."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from cli.output import CliError, Exit, JsonOption, print_json, print_table
from evals.junit import junit_xml
from settings.load import load_settings

__all__ = ["mount"]

_EXIT = {"passed": Exit.OK, "failed": Exit.BAD, "could_not_run": Exit.ERROR}
_MAX_AT_ONCE = 50

AgentsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[AGENT]…", help="Agents to run. Default: all with a cases.yaml.")
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
    from cli.eval_cases import print_report, run_cases, suites_of  # noqa: PLC0415 - it loads pydantic-evals: seconds

    settings = load_settings()
    suites = suites_of(settings, agents, tuple(case or ()))
    provider = settings.model_provider if live else "scripted"
    configured = settings.model_copy(update={"model_provider": provider})
    # People who may not vote are part of the cases; a refusal of theirs is no news.
    logging.getLogger("approvals").setLevel(logging.ERROR)
    report = asyncio.run(run_cases(configured, suites, at_once, histories, quiet=as_json))
    if junit is not None:
        _write(junit, junit_xml(report))
    if as_json:
        print_json(report)
    else:
        print_report(report)
    return _EXIT[report.verdict]


def list_cases(agents: AgentsArgument = None, as_json: JsonOption = False) -> int:
    """List cases and what each expects."""
    from cli.eval_cases import suites_of  # noqa: PLC0415 - as in `run`

    suites = suites_of(load_settings(), agents)
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
    from evals.schema import cases_schema  # noqa: PLC0415 - as in `run`

    print_json(dict(cases_schema()))
    return Exit.OK


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror}. Name another file.") from error
