"""Cedar text with line numbers: the engine tells what is wrong with a policy, this tells where it stands."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cedarpy

from contracts.base import JsonObject

__all__ = ["CedarPolicy", "CedarSyntax", "cedar_policies"]

_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"?|;|\S', re.DOTALL)
_CONTEXT: JsonObject = {"Var": "context"}
_PRINCIPAL_NAME: JsonObject = {".": {"left": {"Var": "principal"}, "attr": "name"}}
_ACTING_AGENT: JsonObject = {".": {"left": {"Var": "context"}, "attr": "agent"}}
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
    text: str
    """As it stands in the file, with its annotations."""

    def agents(self) -> tuple[str, ...]:
        """Names of agents whose calls alone it is about: each `principal.name == "x"` that must hold for it to apply.

        Of a policy about users each `context.agent == "x"`: there `principal.name` is a user's.
        """
        own = () if self.principal_type == "User" else self._required(_PRINCIPAL_NAME)
        return (*own, *self._required(_ACTING_AGENT))

    def _required(self, value: JsonObject) -> tuple[str, ...]:
        """Texts that an expression must equal for the policy to apply."""
        found: list[str] = []
        for condition in cast("list[JsonObject]", self.body.get("conditions", [])):
            if condition.get("kind") == "when":
                for part in _conjuncts(cast("JsonObject", condition["body"])):
                    found += _equals(part, value)
        return tuple(found)

    @property
    def principal_type(self) -> str:
        """`Agent` or `User` where its head says `principal is …`; empty where it holds for both."""
        head = cast("JsonObject", self.body["principal"])
        return str(head["entity_type"]) if head.get("op") == "is" else ""

    def concerns(self, principal_type: str, agent: str, action: str) -> bool:
        """Whether it can match a call of this tool by this agent, asked of a principal of this type.

        Action groups are taken to match, and so is the name of any user.
        """
        if self.principal_type not in ("", principal_type):
            return False
        named = self._required(_ACTING_AGENT)
        if principal_type == "Agent":
            named += self._required(_PRINCIPAL_NAME)
        if named and agent not in named:
            return False
        return not self.actions or any(named == action or "." not in named for named in self.actions)

    def reads(self) -> frozenset[str] | None:
        """Fields of the context that it reads; None where it uses the context as a whole."""
        try:
            return frozenset(_fields_read(self.body.get("conditions", [])))
        except _WholeContext:
            return None

    def has_arithmetic(self) -> bool:
        """Whether it computes: an overflow is an error, and Cedar skips a forbid that errors."""
        return any(key in _ARITHMETIC for key in _operators(self.body.get("conditions", [])))


@lru_cache(maxsize=256)
def cedar_policies(text: str) -> tuple[CedarPolicy | CedarSyntax, ...]:
    """Every policy of a text, in order; each is parsed by itself, so one mistake hides no other."""
    found: list[CedarPolicy | CedarSyntax] = []
    for line, part in _split(text):
        bodies, mistake = _parsed(part)
        if mistake:
            found.append(CedarSyntax(line, mistake))
        found += [_policy(line, body, part) for body in bodies]
    return tuple(found)


@lru_cache(maxsize=8_192)
def _parsed(part: str) -> tuple[tuple[JsonObject, ...], str]:
    """The policies of a part in JSON form (one, or none), and what is wrong with it. Most stay when a file changes."""
    try:
        parsed = cast("JsonObject", json.loads(cedarpy.policies_to_json_str(part)))
    except ValueError as error:
        return (), " ".join(str(error).split())
    bodies = tuple(cast("dict[str, JsonObject]", parsed["staticPolicies"]).values())
    return bodies, "templates (?principal, ?resource) are not used here" if parsed["templates"] else ""


def _policy(line: int, body: JsonObject, text: str) -> CedarPolicy:
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
        text=text,
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


def _equals(expression: JsonObject, wanted: JsonObject) -> list[str]:
    """The text that an expression says the wanted one equals, if it says so."""
    equals = expression.get("==")
    if not isinstance(equals, dict):
        return []
    other = [side for side in (equals["left"], equals["right"]) if side != wanted]
    value = other[0].get("Value") if len(other) == 1 and isinstance(other[0], dict) else None
    return [value] if isinstance(value, str) else []


class _WholeContext(Exception):  # noqa: N818 - a way out of a recursion, never seen outside
    """An expression uses the context otherwise than by a field."""


def _fields_read(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _fields_read(item)
    if not isinstance(value, dict):
        return
    expression = cast("JsonObject", value)
    if expression == _CONTEXT:
        raise _WholeContext
    for key, inner in expression.items():
        field = inner.get("attr") if key in (".", "has") and isinstance(inner, dict) else None
        if isinstance(field, str) and isinstance(inner, dict) and inner.get("left") == _CONTEXT:
            yield field
        elif key != "Value":
            yield from _fields_read(inner)


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
