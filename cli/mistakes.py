"""What is wrong with something that a person typed, in one line that says what is allowed."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from cli.output import CliError
from contracts.base import Digest, GroupName, RunId, TenantId, ToolName, UserName

__all__ = ["mistake_in"]

_MAX_QUOTED = 60


def _pattern(kind: Any) -> str:  # noqa: ANN401 - an annotated type, which has no type of its own
    return str(get_args(kind)[1].pattern)


_FORMS: Mapping[str, str] = {
    _pattern(UserName): "take letters a to z, digits and . _ @ + -, a letter or digit first, at most 127",
    _pattern(GroupName): "take lower-case letters a to z, digits and -, a letter first, at most 63",
    _pattern(TenantId): "take lower-case letters a to z, digits and -, a letter first, at most 40",
    _pattern(ToolName): "it is written agent.tool, in lower case",
    _pattern(RunId): "it is run- and 26 letters and digits, as `countersign runs list` shows it",
    _pattern(Digest): "it is sha256: and 64 digits of 0 to 9 and a to f, as it is shown",
}
"""What a pattern lets through."""
_RULES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_pattern_mismatch": lambda rule: _FORMS.get(str(rule["pattern"]), "it holds characters that cannot be here"),
    "string_too_short": lambda rule: f"write at least {rule['min_length']} characters",
    "string_too_long": lambda rule: f"write at most {rule['max_length']} characters",
    "too_short": lambda rule: f"give at least {rule['min_length']}",
    "too_long": lambda rule: f"give at most {rule['max_length']}",
    "literal_error": lambda rule: f"it is one of {rule['expected']}",
    "greater_than_equal": lambda rule: f"it is at least {rule['ge']}",
    "less_than_equal": lambda rule: f"it is at most {rule['le']}",
    "value_error": lambda rule: str(rule["error"]),
}
"""Pydantic's kinds of mistakes, and what to say from what it knows of the rule."""


def mistake_in(error: ValidationError, hint: str = "") -> CliError:
    """The first mistake, as an error for the person at the terminal; `hint` ends the line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part).replace("_", " ") for part in first["loc"] if not isinstance(part, int))
    typed = first["input"]
    quoted = f" {typed[:_MAX_QUOTED]!r}" if isinstance(typed, str) and typed else ""
    rule = _RULES.get(first["type"])
    words = rule(first.get("ctx", {})) if rule else first["msg"]
    return CliError(f"{where}{quoted}: {words}. {hint}".strip())
