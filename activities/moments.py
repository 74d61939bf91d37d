"""When what happens to a request: computed once, while it is opened, and recorded; nothing moves it later."""

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from activities.engine import Engine
from contracts.agent import ApprovalTimes
from contracts.approval import Moments
from contracts.decision import Requirement
from policy.bundle import BundleError
from policy.ladder import Ladder
from policy.moments import moments_of
from store.approvals import store_now

__all__ = ["current_ladder", "request_moments"]

_NOBODY = Ladder(rungs=())


async def request_moments(
    engine: Engine, cursor: AsyncCursor[DictRow], tenant: str, requirement: Requirement, times: ApprovalTimes
) -> Moments:
    """The moments of a request that is opened in this transaction."""
    return moments_of(
        times, requirement, current_ladder(engine), engine.calendars.hours(tenant), await store_now(cursor)
    )


def current_ladder(engine: Engine) -> Ladder:
    """The ladder as it is now; while policies cannot be read one on which nobody is asked and nothing escalates."""
    try:
        return engine.bundles.current().ladder
    except (BundleError, OSError):
        return _NOBODY
