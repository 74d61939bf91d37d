"""Who looked at which request, from when to when, until they decided: people's time, which a run costs too.

A page load is all that is seen of a person. The time between two sights of a request by one person counts, up to the
decision, at most `LONGEST_SIGHT_S` each: whoever leaves a page open over lunch has not worked on it meanwhile.
"""

from collections.abc import Sequence
from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

__all__ = ["LONGEST_SIGHT_S", "note_decision", "note_views", "people_seconds"]

LONGEST_SIGHT_S = 300

_SEEN: LiteralString = """
insert into request_views as w (tenant, request_id, person, run_id, views)
select r.tenant, r.request_id, %(person)s, r.run_id, 1 from approval_requests r
where r.tenant = %(tenant)s and r.request_id = any(%(requests)s)
on conflict (tenant, request_id, person) do update set views = w.views + 1, last_seen_at = now(),
    attended_ms = w.attended_ms + extract(epoch from least(now() - w.last_seen_at, %(longest)s::interval)) * 1000
where w.decided_at is null"""

_DECIDED: LiteralString = """
insert into request_views as w (tenant, request_id, person, run_id, decided_at)
values (%(tenant)s, %(request)s, %(person)s, %(run)s, now())
on conflict (tenant, request_id, person) do update set decided_at = now(), last_seen_at = now(),
    attended_ms = w.attended_ms + extract(epoch from least(now() - w.last_seen_at, %(longest)s::interval)) * 1000
where w.decided_at is null"""


async def note_views(cursor: AsyncCursor[DictRow], tenant: str, requests: Sequence[str], person: str) -> None:
    """Somebody was shown these requests, each whole."""
    values = {"tenant": tenant, "requests": list(requests), "person": person, "longest": _interval()}
    await cursor.execute(_SEEN, values)


async def note_decision(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, run_id: str, person: str) -> None:
    """They decided it, having looked or not."""
    values = {"tenant": tenant, "request": request_id, "run": run_id, "person": person, "longest": _interval()}
    await cursor.execute(_DECIDED, values)


async def people_seconds(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> int:
    """Time that people spent on the requests of a run, in seconds."""
    await cursor.execute(
        """select coalesce(sum(attended_ms), 0) / 1000 as s from request_views where tenant = %s and run_id = %s""",
        (tenant, run_id),
    )
    row = await cursor.fetchone()
    return round(row["s"]) if row else 0


def _interval() -> str:
    return f"{LONGEST_SIGHT_S} seconds"
