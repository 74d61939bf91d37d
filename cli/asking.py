"""Questions at the terminal. Without one they are errors that say what to give instead, never half an answer."""

import sys
from pathlib import Path

import typer

from cli.output import CliError
from settings import Settings

__all__ = ["agrees", "password_of"]

_TERMINAL = Path("/dev/tty")


def password_of(settings: Settings, prompt: str, *, twice: bool = False) -> str:
    """A password: of the settings, or typed without being shown.

    Raises:
        CliError: there is neither.
    """
    if settings.password:
        return settings.password.get_secret_value()
    # getpass asks the terminal itself, also when standard input is a file.
    if not _has_terminal():
        raise CliError("there is no terminal to ask for the password. Set COUNTERSIGN_PASSWORD.")
    typed: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True)
    return typed


def agrees(question: str, otherwise: str) -> bool:
    """Whether the person at the terminal says yes; `otherwise` is what to do where there is none.

    Raises:
        CliError: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise CliError(f"there is no terminal to ask at, so nothing was done. {otherwise}")
    return typer.confirm(question, err=True)


def _has_terminal() -> bool:
    try:
        with _TERMINAL.open():
            return True
    except OSError:
        return sys.stdin.isatty()
