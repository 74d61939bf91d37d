"""What an emergency lifts for a call, and the activities of its timer."""

from collections.abc import Awaitable, Callable, Sequence

from temporalio import activity

from activities.engine import Engine
from contracts.emergency import Watched, WatchEmergency
from settings.break_glass import load_break_glass
from settings.errors import SettingsError
from store.emergencies import end_emergency, lifts_now, remind_review

__all__ = ["EmergencyActivities", "lifted"]


async def lifted(engine: Engine, tenant: str, agent: str, tool: str) -> tuple[str, ...]:
    """The controls that open emergencies lift for a tool now; of scopes that are declared still, and no more than that.

    Asked only where a call is not simply allowed: usual calls do not pay for it.
    """
    async with engine.db.tenant(tenant) as cursor:
        found = await lifts_now(cursor, tenant, agent, tool)
    if not found:
        return ()
    try:
        scopes = load_break_glass(engine.settings.break_glass_file).scopes
    except SettingsError as error:
        activity.logger.error("an open emergency lifts nothing: %s", error)
        return ()
    held: set[str] = set()
    for name, lifts in found.items():
        scope = scopes.get(name)
        if scope is not None and scope.agent == agent and tool in scope.tools:
            held |= set(lifts) & set(scope.lifts)
    return tuple(sorted(held))


class EmergencyActivities:
    """Activities of the workflow `BreakGlass`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> Sequence[Callable[..., Awaitable[Watched]]]:
        """What a worker registers."""
        return [self.end_emergency, self.remind_review]

    @activity.defn(name="end_emergency")
    async def end_emergency(self, request: WatchEmergency) -> Watched:
        """End it, if its time is over by the store's clock."""
        async with self._engine.db.tenant(request.tenant) as cursor:
            found = await end_emergency(cursor, request.tenant, request.emergency_id, person=None)
        if found is not None and found.state == "open":
            # This machine's clock is ahead of the store's: asked again in a moment.
            raise RuntimeError("the store says that it is not over yet")
        return Watched(state=found.state if found else "gone")

    @activity.defn(name="remind_review")
    async def remind_review(self, request: WatchEmergency) -> Watched:
        """Raise an alarm as long as it is not reviewed."""
        async with self._engine.db.tenant(request.tenant) as cursor:
            found = await remind_review(cursor, request.tenant, request.emergency_id)
        return Watched(state=found.state if found else "gone")
