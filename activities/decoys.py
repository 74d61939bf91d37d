"""Plant a test request: made from a decided one of the same group, with one thing wrong, within what settings allow."""

from collections.abc import Sequence
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.approval import ApprovalView
from contracts.base import Record
from policy.decoys import seed_fault
from policy.sampling import lot
from settings.reviews import TenantReviews
from store.approvals import StoredRequest
from store.decoys import (
    Decoy,
    NewDecoy,
    is_quiet,
    may_plant,
    plant_decoy,
    recent_requests,
    were_asked_lately,
)
from store.reviews import review_seed, seed_age

__all__ = ["NotPlanted", "Planted", "plant", "plant_when_due"]

_WEEK_S = 7 * 86_400
Cursor = AsyncCursor[DictRow]


class Planted(Record):
    """It waits among the others."""

    kind: Literal["planted"] = "planted"
    decoy: Decoy


class NotPlanted(Record):
    """Nothing was planted."""

    kind: Literal["not_planted"] = "not_planted"
    why: str


async def plant(
    cursor: Cursor, tenant: str, reviews: TenantReviews, *, by: str, groups: Sequence[str] = (), tool: str | None = None
) -> Planted | NotPlanted:
    """Plant one for any of these groups (none named: all that settings name), if anything speaks for it."""
    most = {group: count for group, count in reviews.tests.items() if not groups or group in groups}
    if not most:
        return NotPlanted(why="no such group gets test requests: name it under `tests` in reviews.yaml")
    if not await is_quiet(cursor, tenant):
        return NotPlanted(why="something is stopped, or an emergency is open: people are left alone meanwhile")
    allowed = await may_plant(cursor, tenant, most)
    if not allowed:
        return NotPlanted(why="these groups have had their test requests of this week, or one waits for them")
    seed = await review_seed(cursor, tenant)
    sources = await recent_requests(cursor, tenant, list(allowed), tool=tool)
    for source, view in _shuffled(seed, sources):
        others = [other for _, other in _shuffled(seed, sources) if other.run_id != view.run_id]
        fault = seed_fault(view, others, lot(seed, "fault", source.request_id, source.read_at.isoformat()))
        if fault is not None:
            new = NewDecoy(view=fault.view, fault=fault.name, tell=fault.tell, by=by)
            return Planted(decoy=await plant_decoy(cursor, source, new))
    return NotPlanted(
        why="no decided request of the last 30 days can be made into one: there are none, or no fault fits"
    )


async def plant_when_due(cursor: Cursor, tenant: str, reviews: TenantReviews) -> tuple[Decoy, ...]:
    """Plant what is due by the schedule: for each group at times that nobody foresees, and only among real requests."""
    if not reviews.tests or not await is_quiet(cursor, tenant):
        return ()
    seed = await review_seed(cursor, tenant)
    age_s = await seed_age(cursor, tenant)
    planted: list[Decoy] = []
    for group, last in (await may_plant(cursor, tenant, reviews.tests)).items():
        since_s = age_s if last is None else last.ago_s
        gap_s = (0.5 + lot(seed, "gap", group, last.at.isoformat() if last else "")) * _WEEK_S / reviews.tests[group]
        if since_s < gap_s or not await were_asked_lately(cursor, tenant, group):
            continue
        done = await plant(cursor, tenant, reviews, by="schedule", groups=[group])
        if isinstance(done, Planted):
            planted.append(done.decoy)
    return tuple(planted)


def _shuffled(seed: bytes, sources: Sequence[StoredRequest]) -> list[tuple[StoredRequest, ApprovalView]]:
    """In an order that only the store foresees, so that not the newest request comes back each time."""
    views = [(source, ApprovalView.model_validate_json(source.view)) for source in sources]
    return sorted(views, key=lambda pair: lot(seed, "source", pair[0].request_id, pair[0].read_at.isoformat()))
