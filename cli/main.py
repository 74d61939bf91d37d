"""The `countersign` command: one file for each group of verbs, listed in `GROUPS`."""

import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Annotated

import typer
from typer.core import TyperGroup

from cli.output import CliError, Exit, fail
from settings import SettingsError
from settings.sources import ROOT
from workers.embedded.errors import StackError

__all__ = ["GROUPS", "build", "main", "run"]

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "cli.demo": ("demo",),
        "cli.stack": ("up", "down", "status", "doctor", "config"),
        "cli.team": ("secrets", "migrate", "namespace"),
        "cli.agent": ("agent",),
        "cli.keys": ("keys",),
        "cli.evals": ("eval",),
        "cli.events": ("send", "events"),
        "cli.approvals": ("approvals",),
        "cli.standing": ("standing",),
        "cli.tokens": ("tokens",),
        "cli.runs": ("runs",),
        "cli.break_glass": ("break-glass",),
        "cli.kill": ("kill",),
        "cli.policy": ("policy",),
        "cli.effects": ("effects",),
        "cli.reviews": ("reviews",),
        "cli.reviewers": ("reviewers",),
        "cli.decoys": ("decoys",),
        "cli.undo": ("undo",),
        "cli.limits": ("limits",),
        "cli.replay": ("replay",),
    }
)
"""Module of each group, with its verbs; its `mount(app)` adds them. A new group is a new file and a line here."""

_DEBUG = "--debug"
_OURS = frozenset(folder.name for folder in ROOT.iterdir())


def build(verb: str | None = None) -> typer.Typer:
    """The application: with the group of a verb alone, or with every group (None, or an unknown verb)."""
    app = typer.Typer(
        name="countersign",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # Errors, and so this option, are handled in `run`; declared for the help and the parser.
    debug_option = typer.Option(_DEBUG, help="Show the traceback of an unexpected error.")

    @app.callback(invoke_without_command=True)
    def root(context: typer.Context, debug: Annotated[bool, debug_option] = False) -> None:
        """Run LLM agent jobs as durable workflows: the model proposes, code decides, people countersign.

        Exit codes: 0 all is well; 1 the thing asked about is bad; 2 wrong usage or configuration, or unreachable.
        """
        del debug
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    # A verb does not pay for what the others import.
    wanted = [module for module, verbs in GROUPS.items() if verb in verbs] or list(GROUPS)
    for module in wanted:
        import_module(module).mount(app)
    return app


def main() -> None:
    """Run the command of this process and leave with its exit code."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        # Not sys.exit: Temporal's native library can abort at interpreter exit and so change the exit code.
        os._exit(code)


def run(arguments: list[str]) -> int:
    """Run a command. Returns its exit code; every error is one line on stderr."""
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        command = typer.main.get_command(build(verb))
        _say_whole_sentences(command)
        result: object = command.main(args=arguments, prog_name="countersign", standalone_mode=False)
    except SystemExit:
        # The reader of a pipe, for example `head`, has seen enough.
        return Exit.OK
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a person reads one line, not a traceback
        return _explain(error, debug=_DEBUG in arguments)
    return result if isinstance(result, int) else Exit.OK


def _say_whole_sentences(command: object) -> None:
    """Let listings of commands show the first sentence of each, folded: typer would cut it off at the line's end."""
    for one in command.commands.values() if isinstance(command, TyperGroup) else ():
        sentence, _, _ = " ".join((one.help or "").split("\n\n")[0].split()).partition(". ")
        one.short_help = f"{sentence.rstrip('.')}."
        _say_whole_sentences(one)


def _explain(error: BaseException, *, debug: bool) -> int:
    code: int = Exit.ERROR
    match error:
        case CliError():
            code, message = error.code, str(error)
        case SettingsError() | StackError():
            message = str(error)
        case typer.TyperException():
            context: object = getattr(error, "ctx", None)
            where: object = getattr(context, "command_path", "countersign")
            message = f"{error.format_message().rstrip('.')}."
            unknown = str(getattr(error, "option_name", "--"))
            if not unknown.startswith("--"):  # an id or a text, and not a mistyped name of an option
                message += " What begins with - and is no option goes to the end, after --."
            message += f" `{where} --help` shows the usage."
        case ModuleNotFoundError(name=str(missing)) if missing.partition(".")[0] not in _OURS:
            message = f"the package {missing} is not installed: this clone is newer than its venv. Run `make install`."
        case KeyboardInterrupt() | typer.Abort():
            message = "interrupted. Nothing was undone; run the command again."
        case _:
            message = _unexpected(error)
    if debug:
        traceback.print_exception(error)
    fail(message)
    return code


def _unexpected(error: BaseException) -> str:
    with tempfile.NamedTemporaryFile("w", prefix="countersign-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    return (
        f"unexpected {type(error).__name__}: {str(error)[:200]}. The traceback is in {log.name}; "
        f"`countersign {_DEBUG} …` shows it. Please report it."
    )
