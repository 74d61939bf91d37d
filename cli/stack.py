"""`countersign up`, `down`, `status`, `doctor`, `config`: the stack and the installation."""

import asyncio
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.output import CliError, Exit, JsonOption, print_json, print_table, say
from settings import Settings
from settings.describe import describe
from settings.load import load_settings
from settings.sources import ROOT
from workers.embedded import stack_file
from workers.embedded.leftovers import end_leftovers
from workers.embedded.lock import AlreadyRunningError, held, holder, is_held, make_state_folder
from workers.embedded.logs import last_line, log_file, open_log
from workers.embedded.process import ask_to_stop

if TYPE_CHECKING:
    from workers.embedded.state import ComponentState, StackState

__all__ = ["mount"]

_START_LIMIT_S = 180  # the first start makes a database, perhaps on a slow disk
_STOP_LIMIT_S = 120
_LOOK_EVERY_S = 0.1
_COLOURS = {"up": "green", "ok": "green", "external": "cyan", "starting": "yellow", "warning": "yellow"}


def mount(app: typer.Typer) -> None:
    """Add the verbs to the application."""
    for verb in (up, down, status, doctor, config):
        app.command()(verb)


def up(
    ui: Annotated[bool, typer.Option("--ui", help="Serve Temporal's own pages too.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background; return when ready.")] = False,
) -> int:
    """Start the embedded stack: Temporal, Postgres, worker, intake, form, example backoffice.

    Runs until Ctrl-C. Its state stays in one folder: after the next `up`, runs go on where they were.
    """
    started_at_s = time.monotonic()
    settings = load_settings()
    if is_held(settings.state_dir):
        return _say_what_runs(settings)
    if detach:
        return _up_in_background(settings, ui=ui)
    from workers.embedded.stack import Stack, run  # noqa: PLC0415 - two seconds that other commands need not spend

    def ready(state: "StackState") -> None:
        _print_components(state)
        say(f"ready in {time.monotonic() - started_at_s:.1f} s; state and logs in {state.state_dir}. Stop: Ctrl-C.")

    try:
        run(Stack(say=say, ui=ui), ready)
    except AlreadyRunningError:
        # Somebody else was quicker.
        return _say_what_runs(settings)
    say("stopped")
    return Exit.OK


def down() -> int:
    """Stop the stack that runs, and wait until nothing of it is left."""
    settings = load_settings()
    if not is_held(settings.state_dir):
        ended = 0
        if settings.state_dir.is_dir():
            with held(settings.state_dir):
                ended = end_leftovers(settings.state_dir, say)
        if not ended:
            say(f"nothing runs in {settings.state_dir}")
        return Exit.OK
    # Of the lock and not of `stack.json`: that comes a little later, and somebody may have removed it.
    process = holder(settings.state_dir)
    if process is None or not ask_to_stop(process, signal.SIGTERM):
        if not is_held(settings.state_dir):
            return down()
        raise CliError(
            f"another command uses {settings.state_dir} for a moment. Try again; if it stays so, `fuser "
            f"{settings.state_dir / 'stack.lock'}` names the process to end."
        )
    say(f"stopping the stack (pid {process.pid})")
    until_s = time.monotonic() + _STOP_LIMIT_S
    while is_held(settings.state_dir):
        if time.monotonic() > until_s:
            raise CliError(f"pid {process.pid} did not stop in {_STOP_LIMIT_S} s. End it with `kill -9 {process.pid}`.")
        time.sleep(_LOOK_EVERY_S)
    say("stopped")
    return Exit.OK


def status(as_json: JsonOption = False) -> int:
    """Show each component: up or down, process, address, restarts. Exit code 1 unless everything is up."""
    settings = load_settings()
    state = _observe(settings)
    if as_json:
        print_json(state)
    elif state.state == "stopped" and not state.components:
        say(f"nothing runs in {state.state_dir}. Start the stack with `countersign up`.")
    elif not state.components:
        say(f"the stack (pid {state.supervisor_pid}) has begun to start. If it stays so: `countersign down`.")
    else:
        _print_components(state)
        if state.state == "stopped":
            say("the supervisor is gone. `countersign up` cleans up and starts again; `countersign down` cleans up.")
    return Exit.OK if state.is_whole else Exit.BAD


def doctor(as_json: JsonOption = False) -> int:
    """Check programs, settings, folders, ports, database, Temporal, clock and model. Exit code 1 on any error."""
    from workers.embedded.checks import check_installation  # noqa: PLC0415 - as in `up`

    results = asyncio.run(check_installation(load_settings()))
    if as_json:
        print_json(results)
    else:
        rows = [
            (
                _coloured(result.outcome),
                result.name,
                f"{result.found}. {result.advice}" if result.advice else result.found,
            )
            for result in results
        ]
        print_table(("", "check", "found"), rows)
    return Exit.BAD if any(result.outcome == "error" for result in results) else Exit.OK


def config(as_json: JsonOption = False) -> int:
    """Describe every setting: what it means, the variable that sets it, its value and where that came from."""
    rows = describe(load_settings())
    if as_json:
        print_json(rows)
        return Exit.OK
    for row in rows:
        origin = f"from {row.source}; default: {row.default or 'none'}" if row.source != "default" else "default"
        say(f"{' or '.join(row.variables)}  ({row.type})\n    {row.meaning}\n    = {row.value or 'none'}  [{origin}]\n")
    return Exit.OK


def _say_what_runs(settings: Settings) -> int:
    until_s = time.monotonic() + _START_LIMIT_S
    state = _observe(settings)
    while state.state == "starting" and time.monotonic() < until_s:
        time.sleep(_LOOK_EVERY_S)
        state = _observe(load_settings())
    say(f"already running (pid {state.supervisor_pid}); stop it with `countersign down`")
    _print_components(state)
    return Exit.OK


def _up_in_background(settings: Settings, *, ui: bool) -> int:
    file = log_file(settings.state_dir / "logs", "up")
    make_state_folder(settings.state_dir)
    with open_log(file) as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "countersign.py", "up", *(["--ui"] if ui else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    until_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < until_s:
        if process.poll() is not None:
            raise CliError(last_line(file).removeprefix("error: ") or f"the stack ended without a word. See {file}")
        found = stack_file.read(settings.stack_file)
        if found is not None and found.supervisor_pid == process.pid and found.state == "ready":
            _print_components(_observe(load_settings()))
            say(f"ready in the background (pid {process.pid}); state and logs in {settings.state_dir}")
            say("stop it with `countersign down`")
            return Exit.OK
        time.sleep(_LOOK_EVERY_S)
    raise CliError(f"not ready in {_START_LIMIT_S} s. See {file}; stop it with `countersign down`.")


def _observe(settings: Settings) -> "StackState":
    from workers.embedded.state import observe  # noqa: PLC0415 - as in `up`

    return asyncio.run(observe(settings))


def _print_components(state: "StackState") -> None:
    columns = ("component", "state", "pid", "address", "restarts", "version")
    print_table(columns, [_row(component) for component in state.components])


def _row(component: "ComponentState") -> tuple[str | Text, ...]:
    pages = f" (pages: {component.labels['pages']})" if "pages" in component.labels else ""
    pid = "" if component.pid is None else str(component.pid)
    restarts = "" if component.state == "external" else str(component.restarts)
    address = component.address + pages
    return (component.name, _coloured(component.state), pid, address, restarts, component.version)


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, "bold red"))
