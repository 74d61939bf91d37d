"""What a call is counted against, and what is said to one that must wait or may not reach whom it names."""

import dataclasses
import math
import time

from activities.engine import Engine
from activities.gate.settle import VisitEnd
from activities.gate.visit import Visit
from contracts.call import CallStatus
from contracts.tool import Effect, Tier, Tool
from policy.destinations import refused_destination
from policy.limits import ceilings
from store.journal import AdmissionRequest

__all__ = [
    "drafts_only_refusal",
    "refusal_of_destination",
    "turned_away",
    "unused_s",
    "wall_s",
    "with_limits",
]

LONGEST_WAIT_S = 120.0
"""How long a run waits for its turn by itself; for longer the model is told, and may do something else."""
MOST_VISITS = 8
"""How often a call waits for its turn before the model is told."""


def wall_s(tool: Tool) -> int:
    """The longest that a call of the tool can take, in seconds."""
    return math.ceil(tool.timeout_s * tool.attempts)


def unused_s(reserved_s: int, began_s: float) -> int:
    """What of a reserved time was not used, in seconds. `began_s` is of the monotonic clock."""
    return max(reserved_s - math.ceil(time.monotonic() - began_s), 0)


def with_limits(
    engine: Engine, visit: Visit, tool: Tool, request: AdmissionRequest, *, sees_the_day: bool
) -> AdmissionRequest:
    """The request with everything that the call is counted against."""
    run = ceilings(visit.agent.limits)
    text, rated = engine.limits.for_tool(
        visit.request.tenant, visit.request.definition, visit.agent, tool, seen_by_day=sees_the_day
    )
    return dataclasses.replace(
        request,
        limit_tool_calls=run.tool_calls,
        limit_retries=run.retries,
        wall_s=wall_s(tool),
        limits=text,
        rated=rated,
        decided_on=visit.loaded.today if sees_the_day else None,
    )


def refusal_of_destination(engine: Engine, visit: Visit, tool: Tool) -> str:
    """Why the call may not reach whom its arguments name; empty when it may. Raises ValueError: it cannot be told."""
    named = tool.destinations(tool.args_model.model_validate(visit.arguments))
    allowed = (*tool.allowed_destinations, *engine.limits.tenant(visit.request.tenant).tool(tool.name).destinations)
    return refused_destination(named, allowed)


def drafts_only_refusal(visit: Visit, tool: Tool, tier: int) -> str:
    """Why a run that keeps to drafts may not make this call; empty when it may."""
    drafting = (visit.loaded.run.limit_changes or {}).get("drafts_only", 0) > 0
    if not drafting or tool.effect is not Effect.WRITE or tier <= Tier.LOW_IMPACT:
        return ""
    return "Only drafts are written from now on: one of the run's limits is nearly used up."


def turned_away(visit: Visit, wait_s: float, why: str) -> VisitEnd:
    """The end of a visit whose call must come back later. It costs no quota."""
    # Not told, the run waits and visits again by itself.
    told = wait_s > LONGEST_WAIT_S or visit.request.visit >= MOST_VISITS
    words = f"Not now: {why}. Nothing was counted; it can be proposed again after {math.ceil(wait_s)} s."
    return VisitEnd(CallStatus.RETRY_AFTER, words, told=told, retry_after_s=min(wait_s, 86_400.0))
