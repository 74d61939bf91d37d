"""What people say of the packets with which runs are handed over to them."""

from datetime import datetime
from typing import Annotated, Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field, StringConstraints

from contracts.base import Record

__all__ = ["PacketRating", "PacketReport", "Usefulness", "packet_report", "rate_packet", "ratings_of"]

Usefulness = Literal["yes", "partly", "no"]
MAX_LISTED = 100


class PacketRating(Record):
    """One person's word on one packet."""

    useful: Usefulness
    """Whether they could go on from it."""
    minutes_saved: int = Field(default=0, ge=0, le=1_440)
    """By their own estimate; 0: none."""
    note: Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True, pattern=r"^[^\x00]*$")] = ""
    """What was missing, for example."""
    person: str
    rated_at: datetime | None = None


class PacketReport(Record):
    """What is said of the packets of one agent."""

    agent: str
    handed_over: int
    """Runs that ended with a packet in this time."""
    rated: int
    """Of which somebody has rated so many."""
    yes: int
    partly: int
    no: int
    minutes_saved: int
    """In all, by people's own estimates; of several on one packet the average counts."""


async def rate_packet(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, rating: PacketRating) -> bool:
    """Write it; the same person's later word takes the place of the earlier. False: the run has no packet."""
    await cursor.execute(
        """insert into packet_ratings (tenant, run_id, person, useful, minutes_saved, note)
           select r.tenant, r.run_id, %(person)s, %(useful)s, %(minutes)s, %(note)s from runs r
           where r.tenant = %(tenant)s and r.run_id = %(run)s and r.report::jsonb #> '{content,packet}' <> 'null'
           on conflict (tenant, run_id, person) do update set useful = excluded.useful, note = excluded.note,
               minutes_saved = excluded.minutes_saved, rated_at = now()""",
        {
            "tenant": tenant,
            "run": run_id,
            "person": rating.person,
            "useful": rating.useful,
            "minutes": rating.minutes_saved,
            "note": rating.note,
        },
    )
    return cursor.rowcount == 1


async def ratings_of(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> tuple[PacketRating, ...]:
    """What was said of a run's packet, newest first."""
    await cursor.execute(
        """select useful, minutes_saved, note, person, rated_at from packet_ratings where tenant = %s and run_id = %s
           order by rated_at desc, person limit %s""",
        (tenant, run_id, MAX_LISTED),
    )
    return tuple(PacketRating.model_validate(row) for row in await cursor.fetchall())


async def packet_report(cursor: AsyncCursor[DictRow], tenant: str, days: int) -> tuple[PacketReport, ...]:
    """The packets of the last so many days, by agent."""
    await cursor.execute(
        """select r.agent, count(*) as handed_over, count(p.run_id) as rated, coalesce(sum(p.yes), 0) as yes,
               coalesce(sum(p.partly), 0) as partly, coalesce(sum(p.no), 0) as no,
               round(coalesce(sum(p.minutes), 0))::int as minutes_saved
           from runs r left join (
               select run_id, count(*) filter (where useful = 'yes') as yes, avg(minutes_saved) as minutes,
                   count(*) filter (where useful = 'partly') as partly, count(*) filter (where useful = 'no') as no
               from packet_ratings where tenant = %(tenant)s group by run_id) p on p.run_id = r.run_id
           where r.tenant = %(tenant)s and r.closed_at > now() - make_interval(days => %(days)s)
               and r.report::jsonb #> '{content,packet}' <> 'null'
           group by r.agent order by r.agent""",
        {"tenant": tenant, "days": days},
    )
    return tuple(PacketReport.model_validate(row) for row in await cursor.fetchall())
