"""What a run used of its own limits."""

from contracts.agent import RunLimits
from contracts.base import Record
from policy.limits import ceilings
from store.database import Database
from store.limits import RunUsage, run_usage
from store.runs import load_definition

__all__ = ["RunLimit", "changes_in_words", "limits_of_run", "run_limits"]


class RunLimit(Record):
    """One limit of a run."""

    limit: str
    used: int
    """In base units: tokens, micro-dollars, calls."""
    held: int
    """Reserved for a call that is under way."""
    left: int
    cap: int
    """As it stands now."""
    changed: int
    """How much of that was added (or, below 0, taken away) since the run was pinned."""


async def limits_of_run(store: Database, tenant: str, run_id: str) -> tuple[list[RunLimit], list[str]] | None:
    """The limits, and in words why they changed; None when there is no such run."""
    usage = await run_usage(store, tenant, run_id)
    agent = None if usage is None else await load_definition(store, tenant, usage.definition)
    if usage is None or agent is None:
        return None
    return run_limits(usage, agent.limits), changes_in_words(usage)


def run_limits(usage: RunUsage, pinned: RunLimits) -> list[RunLimit]:
    """Each limit with what is used of it."""
    at_first = ceilings(pinned)
    return [
        _limit("tokens", usage, at_first.tokens, usage.tokens_used, usage.tokens_reserved),
        _limit("usd", usage, at_first.micros, usage.micros_used, usage.micros_reserved),
        _limit("steps", usage, at_first.steps, usage.steps),
        _limit("tool_calls", usage, at_first.tool_calls, usage.tool_calls),
        _limit("retries", usage, at_first.retries, usage.retries),
    ]


def _limit(name: str, usage: RunUsage, pinned: int, used: int, held: int = 0) -> RunLimit:
    changed = usage.limit_changes.get(name, 0)
    cap = max(pinned + changed, 0)
    return RunLimit(limit=name, used=used, held=held, left=max(cap - used - held, 0), cap=cap, changed=changed)


def changes_in_words(usage: RunUsage) -> list[str]:
    """Why the limits are not as they were pinned."""
    found: list[str] = []
    doubts = usage.limit_changes.get("doubts", 0)
    if doubts:
        found.append(f"shrunk {doubts} times: each doubtful result or malformed answer took half of what was left")
    if usage.limit_changes.get("drafts_only"):
        found.append("drafts only: a limit was nearly used up, so writes above tier 1 are refused")
    if any(value > 0 for name, value in usage.limit_changes.items() if name not in {"doubts", "drafts_only"}):
        found.append("raised: by people, or by the part that was kept for drafts")
    return found
