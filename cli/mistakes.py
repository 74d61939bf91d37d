"""What is wrong with something that a person typed, in one line that says what is allowed."""

from pydantic import ValidationError

from cli.output import CliError
from contracts.mistakes import words_of

__all__ = ["mistake_in"]

_MAX_QUOTED = 60


def mistake_in(error: ValidationError, hint: str = "") -> CliError:
    """The first mistake, as an error for the person at the terminal; `hint` ends the line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part).replace("_", " ") for part in first["loc"] if not isinstance(part, int))
    typed = first["input"]
    quoted = f" {typed[:_MAX_QUOTED]!r}" if isinstance(typed, str) and typed else ""
    return CliError(f"{where}{quoted}: {words_of(first)}. {hint}".strip())
