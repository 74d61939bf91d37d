"""After the fact: effects are drawn for review, people's decisions are watched, test requests are looked after.

Called by the sweeper, so nothing of it is on the way of a run. Any number of workers may do it side by side.
"""

from dataclasses import dataclass

from activities.decoys import plant_when_due
from activities.engine import Engine
from activities.notify import tell_unattended
from contracts.base import JsonObject
from policy.sampling import draw
from settings.reviews import TenantReviews, load_reviews
from store.alarms import raise_alarm
from store.decoys import end_stale_decoys, is_quiet
from store.reviewers import Concern, alarm_subject, claim_watch, concerns_of, figures
from store.reviews import LAG_S, SettledEffect, draw_settled, reviews_overdue

__all__ = ["LookedBack", "look_back"]

_BATCH = 500
_ROUNDS = 20
"""Batches of one sweep: what is left is drawn from in the next."""
_WATCH_EVERY_S = 3_600.0


@dataclass
class LookedBack:
    """What one round did."""

    drawn: int = 0
    alarms: int = 0
    planted: int = 0
    ended: int = 0
    """Test requests whose time was over, or that were withdrawn."""


async def look_back(
    engine: Engine, tenant: str, *, lag_s: float = LAG_S, watch_every_s: float = _WATCH_EVERY_S
) -> LookedBack:
    """One round for one tenant. Raises SettingsError: reviews.yaml has a mistake."""
    reviews = load_reviews(engine.settings.reviews_file).tenant(tenant)
    done = LookedBack(drawn=await _draw(engine, tenant, reviews, lag_s))
    async with engine.db.tenant(tenant) as cursor:
        overdue = await reviews_overdue(cursor, tenant)
        done.ended = await end_stale_decoys(cursor, tenant, withdraw=not await is_quiet(cursor, tenant))
        is_time = await claim_watch(cursor, tenant, watch_every_s)
    if overdue:
        await raise_alarm(engine.db, tenant, "reviews_overdue", "effects", {"count": overdue})
    if is_time:
        done.alarms = await _watch(engine, tenant, reviews)
        async with engine.db.tenant(tenant) as cursor:
            done.planted = len(await plant_when_due(cursor, tenant, reviews))
    await tell_unattended(engine.notifier, engine.db, tenant)
    return done


async def _draw(engine: Engine, tenant: str, reviews: TenantReviews, lag_s: float) -> int:
    def drawn(effect: SettledEffect, seed: bytes) -> tuple[str, float] | None:
        if effect.tier not in reviews.tiers:
            return None
        found = draw(
            seed, effect.run_id, effect.step, effect.call,
            share=reviews.rate_of(effect.agent, effect.tool), before=effect.before, first=reviews.first,
        )  # fmt: skip
        return (found.because, found.share) if found else None

    total = 0
    for _ in range(_ROUNDS):
        seen, found = await draw_settled(engine.db, tenant, drawn, due_days=reviews.due_days, limit=_BATCH, lag_s=lag_s)
        total += found
        if seen < _BATCH:
            break
    return total


async def _watch(engine: Engine, tenant: str, reviews: TenantReviews) -> int:
    """Alarms about people's decisions: without names, and once in the time that is looked at."""
    watch = reviews.watch
    async with engine.db.tenant(tenant) as cursor:
        found = await figures(cursor, tenant, days=watch.days, quick_s=watch.quick_s)
    raised: list[tuple[Concern, str]] = [(concern, one.key) for one in found for concern in concerns_of(one, watch)]
    for concern, person in raised:
        detail: JsonObject = {"concern": concern, "see": "countersign reviewers"}
        await raise_alarm(
            engine.db, tenant, "rubber_stamping", alarm_subject(tenant, concern, person), detail, every_days=watch.days
        )
    return len(raised)
