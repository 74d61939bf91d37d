"""Which rungs of the ladder and which checks a policy names, read from its parsed form."""

from collections.abc import Iterator
from typing import cast

from contracts.base import JsonObject
from policy.cedar_text import CedarPolicy
from policy.ladder import Ladder

__all__ = ["named_checks", "named_rungs", "unknown_rungs"]

_GRANTED: JsonObject = {".": {"left": {"Var": "context"}, "attr": "granted"}}
_CHECKED: JsonObject = {".": {"left": {"Var": "context"}, "attr": "checked"}}
_TESTS = frozenset({"contains", "containsAny", "containsAll"})


def named_rungs(policy: CedarPolicy) -> tuple[str, ...]:
    """Every text that `context.granted` is asked for, in order."""
    return tuple(dict.fromkeys(_named(policy.body.get("conditions", []), _GRANTED)))


def named_checks(policy: CedarPolicy) -> tuple[str, ...]:
    """Every text that `context.checked` is asked for, in order."""
    return tuple(dict.fromkeys(_named(policy.body.get("conditions", []), _CHECKED)))


def unknown_rungs(policy: CedarPolicy, ladder: Ladder) -> tuple[str, ...]:
    """Rungs that a policy names and nobody can be asked for: what waits for one of them waits for ever."""
    return tuple(name for name in named_rungs(policy) if ladder.rung(name) is None)


def _named(value: object, asked: JsonObject) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("JsonObject", value).items():
            if key in _TESTS and isinstance(inner, dict) and inner.get("left") == asked:
                yield from _texts(inner.get("right"))
            yield from _named(inner, asked)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _named(item, asked)


def _texts(value: object) -> Iterator[str]:
    """The literals of an expression: one text, or a set of them."""
    if not isinstance(value, dict):
        return
    expression = cast("JsonObject", value)
    literal, members = expression.get("Value"), expression.get("Set")
    if isinstance(literal, str):
        yield literal
    for member in members if isinstance(members, list) else []:
        yield from _texts(member)
