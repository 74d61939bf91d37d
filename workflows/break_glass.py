"""The durable timer of an emergency: it ends when its time is over, and is not forgotten until somebody reviewed it.

Policy does not wait for it: the gate asks the store's clock. This makes the end visible, and asks for the review.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from contracts.emergency import BREAK_GLASS, Watched, WatchEmergency

__all__ = ["BreakGlass"]

_REMIND_EVERY = timedelta(days=1)
_MAX_REMINDERS = 30
_RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))


@workflow.defn(name=BREAK_GLASS)
class BreakGlass:
    """One emergency, from its opening to its review."""

    @workflow.run
    async def run(self, request: WatchEmergency) -> Watched:
        """Wait for the end, make it, then remind until it is reviewed."""
        left_s = request.expires_at - workflow.now().timestamp()
        await workflow.sleep(timedelta(seconds=max(left_s, 0) + 1))
        found = await self._look("end_emergency", request, "its time is over")
        for _ in range(_MAX_REMINDERS):
            if found.state in ("reviewed", "gone"):
                break
            await workflow.sleep(_REMIND_EVERY)
            found = await self._look("remind_review", request, "is it reviewed?")
        return found

    async def _look(self, activity: str, request: WatchEmergency, summary: str) -> Watched:
        return await workflow.execute_activity(
            activity,
            request,
            result_type=Watched,
            start_to_close_timeout=timedelta(seconds=30),
            retry_policy=_RETRY,
            summary=summary,
        )
