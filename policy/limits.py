"""What the numbers of a run's limits mean: ceilings, raises, the share that is kept for drafts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.agent import OnExceeded, RunLimits

__all__ = ["Ceilings", "Raise", "ceilings", "draft_changes", "in_words", "raise_of"]

_DRAFT_SHARE = 5
"""With `draft_only`, one part in so many of each limit is kept for drafts."""
_RAISE_SHARE = 2
"""A raise adds one part in so many of the limit as declared."""
_UNLIMITED = 2**31 - 1
"""Of a limit that did not exist when the run was pinned."""
_WORDS: Mapping[str, str] = {
    "tokens": "tokens",
    "usd": "model cost",
    "steps": "steps",
    "model_calls": "model calls",
    "tool_calls": "tool calls",
    "retries": "retries",
    "active_s": "active time",
    "age_s": "age",
    "wall_s": "time in model and tool calls",
    "context_tokens": "size of the context",
}
_DAY = {"agent_day": "the agent's", "tenant_day": "the tenant's", "tool_day": "the tool's"}


@dataclass(frozen=True)
class Ceilings:
    """Limits of a run until something changes them, in base units."""

    tokens: int
    micros: int
    steps: int
    tool_calls: int
    retries: int
    active_s: int
    context_tokens: int


@dataclass(frozen=True)
class Raise:
    """What people are asked to grant."""

    limit: str
    """As it was met, such as `tokens` or `agent_day.usd`."""
    by: int
    """In base units: tokens, micro-dollars, calls, seconds."""
    day_scope: str = ""
    """`agent` or `tenant` where a day's cap is raised for this run's sake; empty: the run's own limit."""
    measure: str = ""
    """Of a day's cap: which."""


def _kept_for_drafts(limits: RunLimits, value: int) -> int:
    return value // _DRAFT_SHARE if limits.on_exceeded is OnExceeded.DRAFT_ONLY else 0


def _declared(limits: RunLimits) -> dict[str, int]:
    """The limits that can be raised, by name."""
    return {
        "tokens": limits.tokens,
        "usd": limits.micros,
        "steps": limits.steps,
        "tool_calls": limits.tool_calls,
        "retries": _UNLIMITED if limits.retries is None else limits.retries,
        "active_s": limits.active_s,
    }


def ceilings(limits: RunLimits) -> Ceilings:
    """The limits that hold at first: without the part that is kept for drafts, where the agent declares one."""
    at_first = {name: value - _kept_for_drafts(limits, value) for name, value in _declared(limits).items()}
    return Ceilings(
        tokens=at_first["tokens"],
        micros=at_first["usd"],
        steps=at_first["steps"],
        tool_calls=at_first["tool_calls"],
        retries=at_first["retries"],
        active_s=at_first["active_s"],
        context_tokens=_UNLIMITED if limits.context_tokens is None else limits.context_tokens,
    )


def draft_changes(limits: RunLimits) -> dict[str, int]:
    """What changes when a run goes on with drafts alone: it gets the rest of its limits, and no more of them."""
    return {name: _kept_for_drafts(limits, value) for name, value in _declared(limits).items()} | {"drafts_only": 1}


def raise_of(limits: RunLimits, limit: str) -> Raise | None:
    """What to ask people for when a limit is met; None where a raise makes no sense (age, money, a run tree)."""
    declared = _declared(limits)
    if limit in declared:
        return Raise(limit, by=max(declared[limit] // _RAISE_SHARE, 1))
    scope, _, measure = limit.partition("_day.")
    if scope not in {"agent", "tenant"} or measure.startswith("money"):
        return None
    if measure in {"model_calls", "wall_s"}:
        return Raise(
            limit, by=declared["steps" if measure == "model_calls" else "active_s"], day_scope=scope, measure=measure
        )
    return Raise(limit, by=declared[measure], day_scope=scope, measure=measure) if measure in declared else None


def in_words(limit: str) -> str:
    """A limit for people and models, such as `the agent's tokens of the day`."""
    scope, dot, measure = limit.partition(".")
    if not dot:
        return f"the run's {_WORDS.get(limit, limit)}"
    if measure.startswith("money."):
        return f"{_DAY.get(scope, scope)} money of the day in {measure.removeprefix('money.')}"
    whose = "the run tree's" if scope == "tree" else _DAY.get(scope, scope)
    return f"{whose} {_WORDS.get(measure, measure)}" + (" of the day" if scope in _DAY else "")
