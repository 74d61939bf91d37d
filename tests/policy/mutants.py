"""Every small mistake that an editor could make in a policy file: each must be noticed by a test."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from policy.cedar_text import CedarPolicy, cedar_policies

__all__ = ["Mutant", "mutants"]

_NOTE = re.compile(r'//[^\n]*|@[a-z]+\("(?:\\.|[^"\\])*"\)')
_TOKEN = re.compile(
    r'"(?:\\.|[^"\\])*"|&&|\|\||[=!<>]=|[<>]|\b\d+\b|\b(?:when|unless|permit|forbid|containsAny|containsAll)\b|!'
)
_CLAUSE = re.compile(r"\b(when|unless)\s*\{([^{}]*)\}")
_PART = re.compile(r"\s*(?:&&|\|\|)\s*")
_OTHERWISE = {
    "&&": "||",
    "||": "&&",
    "==": "!=",
    "!=": "==",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "when": "unless",
    "unless": "when",
    "permit": "forbid",
    "forbid": "permit",
    "containsAny": "containsAll",
    "containsAll": "containsAny",
    "!": "",
}


class Mutant(NamedTuple):
    """A policy file with one mistake."""

    what: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """A policy, or a line, condition or part of one gone; a word, number, name or sign changed; one inside out."""
    starts = [part.line for part in cedar_policies(text)]
    lines = text.splitlines(keepends=True)
    for start, end, policy in zip(starts, [*starts[1:], len(lines) + 1], cedar_policies(text), strict=True):
        assert isinstance(policy, CedarPolicy)
        before, own, after = "".join(lines[: start - 1]), "".join(lines[start - 1 : end - 1]), "".join(lines[end - 1 :])
        yield Mutant(f"{policy.id} is gone", before + after)
        for what, changed in _changed(own):
            yield Mutant(f"{policy.id}: {what}", before + changed + after)


def _changed(policy: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(policy):
        if _is_quiet(policy, match.start()):
            continue
        for other in _instead(match[0]):
            line = policy.count("\n", 0, match.start()) + 1
            yield f"{match[0]} → {other} (line {line})", policy[: match.start()] + other + policy[match.end() :]
    yield from _without(policy)
    for named, other in (("principal is Agent", "principal is User"), ("principal is User", "principal is Agent")):
        if named in policy:
            yield f"{named} → {other}", policy.replace(named, other, 1)
    if 'action in Action::"write"' in policy:
        yield "for every action", policy.replace('action in Action::"write"', "action")


def _without(policy: str) -> Iterator[tuple[str, str]]:
    """The policy without one of its lines, conditions, or parts of a condition."""
    lines = policy.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip() and not _is_quiet(policy, policy.index(line) + len(line) - len(line.lstrip())):
            yield f"line {number + 1} is gone", "".join(lines[:number] + lines[number + 1 :])
    for clause in _CLAUSE.finditer(policy):
        if _is_quiet(policy, clause.start()):
            continue
        before, condition, after = policy[: clause.start(2)], clause[2], policy[clause.end(2) :]
        yield f"{clause[1]} is gone", policy[: clause.start()] + policy[clause.end() :]
        signs = [sign.span() for sign in _PART.finditer(condition)]
        for start, end in signs:
            # What stands between this sign and the one before, and what between it and the next.
            first = max((other for _, other in signs if other <= start), default=0)
            last = min((other for other, _ in signs if other >= end), default=len(condition))
            yield f"{condition[first:start].strip()} is gone", before + condition[:first] + condition[end:] + after
            yield f"{condition[end:last].strip()} is gone", before + condition[:start] + condition[last:] + after


def _is_quiet(policy: str, place: int) -> bool:
    """Comments and annotations say nothing to the engine."""
    return any(note.start() <= place < note.end() for note in _NOTE.finditer(policy))


def _instead(token: str) -> list[str]:
    if token.isdecimal():
        return [str(int(token) + 1), *([str(int(token) - 1)] if int(token) else [])]
    if token.startswith('"'):
        return [f'{token[:-1]}-other"', *({'"read"': ['"write"'], '"write"': ['"read"']}.get(token, []))]
    return [_OTHERWISE[token]] if token in _OTHERWISE else []
