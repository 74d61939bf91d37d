"""Tools that stopped answering clearly are cut off for a while, each for its tenant alone."""

import time
from dataclasses import dataclass

from temporalio import activity

from activities.engine import Engine
from contracts.call import CallResult, CallStatus
from store.database import StoreDown
from store.limits import list_breakers, note_outcome, pass_breaker

__all__ = ["Breakers", "is_unclear"]

_LOOK_EVERY_S = 1.0
_UNCLEAR = frozenset({"not_sent", "ambiguous"})


@dataclass
class _Known:
    looked_s: float
    states: dict[str, str]
    """State per tool that has a breaker."""


class Breakers:
    """What this process knows of breakers: at most a second old, so that a tool that works costs no statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[str, _Known] = {}

    async def wait_s(self, tenant: str, tool: str) -> float | None:
        """How long a call must wait because its tool is cut off, in seconds; None: it may go, perhaps as the probe."""
        known = await self._of(tenant)
        if known.states.get(tool, "closed") == "closed":
            return None
        found = await pass_breaker(self._engine.db, tenant, tool)
        if found is None:
            known.states[tool] = "half_open"
            return None
        return found.wait_s

    async def note(self, tenant: str, result: CallResult) -> None:
        """Count how an admitted call ended. What cannot be counted now is not: the call itself is settled."""
        unclear = is_unclear(result)
        known = await self._of(tenant)
        if unclear is None or (not unclear and result.tool not in known.states):
            return
        limits = self._engine.limits.tenant(tenant).breaker
        try:
            state, changed = await note_outcome(
                self._engine.db, tenant, result.tool, failed=unclear, failures=limits.failures,
                of_last=limits.of_last, window_s=limits.window_s, open_s=limits.open_s,
            )  # fmt: skip
        except StoreDown as error:
            activity.logger.warning("the outcome of %s was not counted: %s", result.tool, error)
            return
        if changed:
            activity.logger.warning("tool %s of tenant %s is %s", result.tool, tenant, state.replace("_", " "))
        known.states[result.tool] = state
        known.looked_s = 0.0

    async def _of(self, tenant: str) -> _Known:
        known = self._known.get(tenant)
        now_s = time.monotonic()
        if known is None or now_s - known.looked_s >= _LOOK_EVERY_S:
            found = await list_breakers(self._engine.db, tenant)
            known = self._known[tenant] = _Known(now_s, {each.tool: each.state for each in found})
        return known


def is_unclear(result: CallResult) -> bool | None:
    """Whether a call ended without a clear answer of its service; None where it was not performed at all."""
    match result.control.status:
        case CallStatus.UNKNOWN:
            return True
        case CallStatus.FAILED:
            return result.control.fault in _UNCLEAR
        case CallStatus.RAN:
            return None if result.control.cached else False
        case _:
            return None
