"""What is wrong with something that a person wrote, in words that say what is allowed. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic_core import ErrorDetails

from contracts.base import Digest, GroupName, RunId, TenantId, ToolName, UserName

__all__ = ["words_of"]


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
_WHOLE = "write a whole number"
_RULES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_pattern_mismatch": lambda rule: _FORMS.get(str(rule["pattern"]), "it holds characters that cannot be here"),
    "string_too_short": lambda rule: f"write at least {rule['min_length']} characters",
    "string_too_long": lambda rule: f"write at most {rule['max_length']} characters",
    "too_short": lambda rule: f"give at least {rule['min_length']}",
    "too_long": lambda rule: f"give at most {rule['max_length']}",
    "literal_error": lambda rule: f"it is one of {rule['expected']}",
    "union_tag_invalid": lambda rule: f"it is one of {rule['expected_tags']}",
    "greater_than_equal": lambda rule: f"it is at least {rule['ge']}",
    "less_than_equal": lambda rule: f"it is at most {rule['le']}",
    "int_parsing": lambda _rule: _WHOLE,
    "int_parsing_size": lambda _rule: "it has too many digits",
    "int_from_float": lambda _rule: _WHOLE,
    "int_type": lambda _rule: _WHOLE,
    "missing": lambda _rule: "it is missing",
    "extra_forbidden": lambda _rule: "there is no such field",
    "value_error": lambda rule: str(rule["error"]),
}
"""Pydantic's kinds of mistakes, and what to say from what it knows of the rule."""


def words_of(mistake: ErrorDetails) -> str:
    """One mistake of a validation error; of a kind without words of ours, pydantic's."""
    rule = _RULES.get(mistake["type"])
    return rule(mistake.get("ctx", {})) if rule else mistake["msg"]
