"""Cedar text with line numbers: the engine tells what is wrong with a policy, this tells where it stands."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import cedarpy

from contracts.base import JsonObject

__all__ = ["CedarPolicy", "CedarSyntax", "cedar_policies"]

_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"?|;|\S', re.DOTALL)
_ARITHMETIC = frozenset({"+", "-", "*", "neg"})


@dataclass(frozen=True)
class CedarSyntax:
    """A policy that does not parse."""

    line: int
    """Where the policy begins, first line is 1."""
    message: str
    """The engine's words."""


@dataclass(frozen=True)
class CedarPolicy:
    """One policy, parsed."""

    line: int
    """Where it begins, with its annotations; first line is 1."""
    effect: str
    """`permit` or `forbid`."""
    id: str
    """Its `@id`, empty without one."""
    reason: str
    """Its `@reason`, empty without one."""
    actions: tuple[str, ...]
    """Actions and action groups that it names in its head; empty when it is about every action."""
    body: JsonObject
    """The policy in Cedar's JSON form."""

    def agents(self) -> tuple[str, ...]:
        """Names of agents that it holds for: every `principal.name == "x"` that must hold for it to apply."""
        found: list[str] = []
        for condition in cast("list[JsonObject]", self.body.get("conditions", [])):
            if condition.get("kind") == "when":
                for part in _conjuncts(cast("JsonObject", condition["body"])):
                    found += _agent_named(part)
        return tuple(found)

    def has_arithmetic(self) -> bool:
        """Whether it computes: an overflow is an error, and Cedar skips a forbid that errors."""
        return any(key in _ARITHMETIC for key in _operators(self.body.get("conditions", [])))


def cedar_policies(text: str) -> list[CedarPolicy | CedarSyntax]:
    """Every policy of a text, in order; each is parsed by itself, so one mistake hides no other."""
    found: list[CedarPolicy | CedarSyntax] = []
    for line, part in _split(text):
        try:
            parsed = cast("JsonObject", json.loads(cedarpy.policies_to_json_str(part)))
        except ValueError as error:
            found.append(CedarSyntax(line, " ".join(str(error).split())))
            continue
        if parsed["templates"]:
            found.append(CedarSyntax(line, "templates (?principal, ?resource) are not used here"))
        found += [_policy(line, body) for body in cast("dict[str, JsonObject]", parsed["staticPolicies"]).values()]
    return found


def _policy(line: int, body: JsonObject) -> CedarPolicy:
    notes = cast("dict[str, str | None]", body.get("annotations") or {})
    action = cast("JsonObject", body["action"])
    entities = cast("list[JsonObject]", action.get("entities") or ([action["entity"]] if "entity" in action else []))
    return CedarPolicy(
        line=line,
        effect=str(body["effect"]),
        id=notes.get("id") or "",
        reason=notes.get("reason") or "",
        actions=tuple(str(entity["id"]) for entity in entities),
        body=body,
    )


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Each policy's text with the line on which it begins; comments and strings may hold semicolons."""
    start: int | None = None
    for token in _TOKEN.finditer(text):
        if token[0].startswith("//"):
            continue
        if start is None:
            start = token.start()
        if token[0] == ";":
            yield text.count("\n", 0, start) + 1, text[start : token.end()]
            start = None
    if start is not None:
        yield text.count("\n", 0, start) + 1, text[start:]


def _conjuncts(expression: JsonObject) -> Iterator[JsonObject]:
    both = expression.get("&&")
    if isinstance(both, dict):
        yield from _conjuncts(cast("JsonObject", both["left"]))
        yield from _conjuncts(cast("JsonObject", both["right"]))
    else:
        yield expression


def _agent_named(expression: JsonObject) -> list[str]:
    equals = expression.get("==")
    if not isinstance(equals, dict):
        return []
    name: JsonObject = {".": {"left": {"Var": "principal"}, "attr": "name"}}
    sides = (equals["left"], equals["right"])
    other = [side for side in sides if side != name]
    value = other[0].get("Value") if len(other) == 1 and isinstance(other[0], dict) else None
    return [value] if isinstance(value, str) else []


def _operators(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("JsonObject", value).items():
            yield key
            # A literal is data: its text is no operator.
            if key != "Value":
                yield from _operators(inner)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _operators(item)
