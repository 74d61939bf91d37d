"""How people decide: figures by person, group or tool, and what in them asks for a talk.

Figures of people are for those who run the installation, and each person's own for that person. They say where to look,
not who is good: somebody who gets the easy requests approves all of them, and quickly.
"""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import opaque_id
from settings.reviews import Watch

__all__ = ["By", "Concern", "Figures", "alarm_subject", "claim_watch", "concerns_of", "figures"]

By = Literal["person", "group", "tool"]
Concern = Literal["quick", "never_denies"]
MAX_KEYS = 500


class Figures(Record):
    """The decisions of one person, one group or about one tool."""

    key: str
    decisions: int
    """Votes that counted; test requests are none of them."""
    approvals: int
    denials: int
    median_s: int | None
    """Half of the decisions took no longer, from the first sight, each sight bounded; None: nobody looked."""
    quick: int
    """Approvals after a shorter look than `Watch.quick_s`, or after none."""
    unseen: int
    """Decisions on requests that the person never opened."""
    others: int
    """Votes of others on the same requests."""
    agreed: int
    """Of which so many said the same."""
    overturned: int
    """Approvals of effects that a review called wrong or harmful."""
    caught: int
    """Test requests that were not approved."""
    missed: int
    """Test requests that were approved."""
    people_s: int
    """Time spent on them, in seconds."""
    last_at: datetime | None
    """The newest decision."""

    @property
    def approve_rate(self) -> float | None:
        """Share of approvals; None without decisions."""
        return self.approvals / self.decisions if self.decisions else None


_DECISIONS: LiteralString = """
voted as (
    select v.person, r.tool, v.verdict, v.cast_at, coalesce(w.views, 0) as views, w.attended_ms,
        array(select need ->> 'group' from jsonb_array_elements(r.requirement::jsonb -> 'needs') need
            where need ->> 'group' in (select unnest(a.groups) from accounts a
                where a.tenant = v.tenant and a.person = v.person)) as groups,
        o.others, o.agreed,
        (select count(*) from effects e join effect_reviews x using (tenant, run_id, step, call)
            where e.tenant = v.tenant and e.run_id = r.run_id and e.request_id = v.request_id
                and v.verdict = 'approve' and x.label in ('wrong', 'harmful')) as overturned
    from votes v join approval_requests r using (tenant, request_id)
        left join request_views w using (tenant, request_id, person)
        cross join lateral (select count(*) as others, count(*) filter (where c.verdict = v.verdict) as agreed
            from votes c where c.tenant = v.tenant and c.request_id = v.request_id and c.person <> v.person
                and c.state = 'accepted' and c.verdict in ('approve', 'deny')) o
    where v.tenant = %(tenant)s and v.state = 'accepted' and v.verdict in ('approve', 'deny')
        and v.cast_at > now() - make_interval(days => %(days)s)),
tested as (
    select d.person, d.tool, d.groups, d.result from decoys d
    where d.tenant = %(tenant)s and d.result in ('caught', 'missed')
        and d.ended_at > now() - make_interval(days => %(days)s))"""

_KEYS: dict[By, tuple[LiteralString, LiteralString]] = {
    "person": ("select v.person as key, v.* from voted v", "select t.person as key, t.result from tested t"),
    "tool": ("select v.tool as key, v.* from voted v", "select t.tool as key, t.result from tested t"),
    "group": (
        "select g.key, v.* from voted v cross join lateral unnest(v.groups) as g(key)",
        "select g.key, t.result from tested t cross join lateral unnest(t.groups) as g(key)",
    ),
}

_COUNTS: LiteralString = """
select coalesce(d.key, t.key) as key, coalesce(d.decisions, 0) as decisions, coalesce(d.approvals, 0) as approvals,
    coalesce(d.decisions - d.approvals, 0) as denials, d.median_s, coalesce(d.quick, 0) as quick,
    coalesce(d.unseen, 0) as unseen, coalesce(d.others, 0) as others, coalesce(d.agreed, 0) as agreed,
    coalesce(d.overturned, 0) as overturned, coalesce(t.caught, 0) as caught, coalesce(t.missed, 0) as missed,
    coalesce(d.people_s, 0) as people_s, d.last_at
from (select k.key, count(*) as decisions, count(*) filter (where k.verdict = 'approve') as approvals,
        round(percentile_cont(0.5) within group (order by k.attended_ms) filter (where k.views > 0) / 1000)::int
            as median_s,
        count(*) filter (where k.verdict = 'approve' and coalesce(k.attended_ms, 0) < %(quick_s)s * 1000) as quick,
        count(*) filter (where k.views = 0) as unseen, sum(k.others)::int as others, sum(k.agreed)::int as agreed,
        count(*) filter (where k.overturned > 0) as overturned,
        round(coalesce(sum(k.attended_ms), 0) / 1000)::int as people_s, max(k.cast_at) as last_at
    from keyed k group by k.key) d
full join (select k.key, count(*) filter (where k.result = 'caught') as caught,
        count(*) filter (where k.result = 'missed') as missed from keyed_tests k group by k.key) t on t.key = d.key
where %(only)s::text is null or coalesce(d.key, t.key) = %(only)s
order by coalesce(d.decisions, 0) desc, 1 limit %(limit)s"""


async def figures(
    cursor: AsyncCursor[DictRow], tenant: str, *, by: By = "person", days: int, quick_s: int, only: str | None = None
) -> tuple[Figures, ...]:
    """The decisions of the last so many days, most first. `only`: of this key alone."""
    votes, tests = _KEYS[by]
    await cursor.execute(
        "with " + _DECISIONS + ", keyed as (" + votes + "), keyed_tests as (" + tests + ") " + _COUNTS,
        {"tenant": tenant, "days": days, "quick_s": quick_s, "only": only, "limit": MAX_KEYS},
    )
    return tuple(Figures.model_validate(row) for row in await cursor.fetchall())


def concerns_of(found: Figures, watch: Watch) -> tuple[Concern, ...]:
    """What asks for a talk. `quick`: many approvals after hardly a look. `never_denies`: not even a test request."""
    concerns: list[Concern] = []
    if found.approvals >= watch.least and found.quick >= watch.quick_share * found.approvals:
        concerns.append("quick")
    if found.decisions >= watch.least and found.denials == 0 and found.missed >= watch.missed_tests:
        concerns.append("never_denies")
    return tuple(concerns)


def alarm_subject(tenant: str, concern: Concern, person: str) -> str:
    """What an alarm is about, without a name in it: those who may see people's figures find the name there."""
    return f"{concern} {opaque_id('per', tenant, person)}"


async def claim_watch(cursor: AsyncCursor[DictRow], tenant: str, every_s: float) -> bool:
    """Whether it is time to look at people's decisions again; of several that ask one is told so."""
    await cursor.execute(
        """update review_marks set watched_at = now()
           where tenant = %s and watched_at <= now() - make_interval(secs => %s)""",
        (tenant, every_s),
    )
    return cursor.rowcount == 1
