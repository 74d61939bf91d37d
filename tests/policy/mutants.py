"""Every small mistake that an editor could make in a policy file: each must be noticed by a test."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from policy.cedar_text import CedarPolicy, cedar_policies

__all__ = ["Mutant", "mutants"]

_NOTE = re.compile(r'//[^\n]*|@[a-z]+\("(?:\\.|[^"\\])*"\)')
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|&&|\|\||[=!<>]=|[<>]|\b\d+\b|\b(?:when|unless|permit|forbid|in|has)\b|!')
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
}


class Mutant(NamedTuple):
    """A policy file with one mistake."""

    what: str
    text: str


def mutants(text: str) -> Iterator[Mutant]:
    """One policy gone; one word, number, name or sign of a policy changed; one condition inside out."""
    starts = [part.line for part in cedar_policies(text)]
    lines = text.splitlines(keepends=True)
    for start, end, policy in zip(starts, [*starts[1:], len(lines) + 1], cedar_policies(text), strict=True):
        assert isinstance(policy, CedarPolicy)
        before, own, after = "".join(lines[: start - 1]), "".join(lines[start - 1 : end - 1]), "".join(lines[end - 1 :])
        yield Mutant(f"{policy.id} is gone", before + after)
        for what, changed in _changed(own):
            yield Mutant(f"{policy.id}: {what}", before + changed + after)


def _changed(policy: str) -> Iterator[tuple[str, str]]:
    # Comments and annotations say nothing to the engine.
    quiet = [match.span() for match in _NOTE.finditer(policy)]
    for match in _TOKEN.finditer(policy):
        if any(start <= match.start() < end for start, end in quiet):
            continue
        for other in _instead(match[0]):
            line = policy.count("\n", 0, match.start()) + 1
            yield f"{match[0]} → {other} (line {line})", policy[: match.start()] + other + policy[match.end() :]
    for named, other in (("principal is Agent", "principal is User"), ("principal is User", "principal is Agent")):
        if named in policy:
            yield f"{named} → {other}", policy.replace(named, other, 1)
    if 'action in Action::"write"' in policy:
        yield "for every action", policy.replace('action in Action::"write"', "action")


def _instead(token: str) -> list[str]:
    if token.isdecimal():
        return [str(int(token) + 1), *([str(int(token) - 1)] if int(token) else [])]
    if token.startswith('"'):
        return [f'{token[:-1]}-other"', *({'"read"': ['"write"'], '"write"': ['"read"']}.get(token, []))]
    return [_OTHERWISE[token]] if token in _OTHERWISE else []
