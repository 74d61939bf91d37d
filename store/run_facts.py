"""What a run did, who was asked, what it used: everything that its page tells, read in one statement."""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import RunLimits
from contracts.base import Record
from contracts.call import CallStatus, EffectState
from contracts.decision import Requirement
from contracts.vote import Verdict, VoteRefusal
from store.endings import ENDING, Ending
from store.limits import RunUsage

__all__ = ["RunAsked", "RunDeed", "RunFacts", "RunStopped", "RunVote", "facts_of_run"]

MAX_DEEDS = 15
MAX_ASKED = 8
MAX_STOPPED = 10
_MAX_VOTES = 10
_LONGEST = 300
"""Characters of what somebody wrote; the page of the request has it whole."""


class RunDeed(Record):
    """A write, as the effects ledger knows it."""

    step: int
    call: int
    tool: str
    service: str
    state: EffectState
    arguments: str
    """Canonical JSON. Content."""
    amount_minor: int | None
    currency: str | None
    error: str
    attempts: int
    at: datetime
    """When it came into its state."""
    resolved_by: str
    """Who closed a doubt about it; empty: nobody had to."""
    request_id: str | None
    """Approval under which it ran."""
    standing_id: str | None
    """Standing approval under which it ran."""
    undone_by: str | None
    """The undo run that took it back, or is about to."""
    undone: EffectState | None
    """How far the compensation has come."""


class RunVote(Record):
    """What somebody said to a request."""

    request_id: str
    display_name: str
    for_name: str
    """In whose place; empty: their own."""
    verdict: Verdict
    reason: str
    """Its beginning."""
    state: Literal["pending", "accepted", "refused"]
    refusal: VoteRefusal | None
    cast_at: datetime
    seen: str


class RunAsked(Record):
    """A request to people."""

    request_id: str
    step: int
    call: int
    tool: str
    requirement: Requirement
    escalated_to: tuple[str, ...]
    state: Literal["open", "granted", "denied", "expired", "voided"]
    ending: Ending | None
    """Of a void one."""
    opened_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    votes: tuple[RunVote, ...]


class RunStopped(Record):
    """A call that the gate let nobody make."""

    step: int
    call: int
    tool: str
    status: CallStatus
    policies: tuple[str, ...]
    limit: str
    """Of `limit_reached`."""


class RunFacts(Record):
    """What the page of a run tells besides its row."""

    usage: RunUsage | None
    limits: RunLimits | None
    """As pinned."""
    deeds: tuple[RunDeed, ...]
    """Writes in order; of many, those in doubt and the newest."""
    more_deeds: int
    """Writes that are not among them."""
    asked: tuple[RunAsked, ...]
    """Requests in order; of many, the newest."""
    more_asked: int
    stopped: tuple[RunStopped, ...]
    """Calls that were denied, refused, halted or met a limit, in order; of many, the newest."""
    more_stopped: int
    read_at: datetime
    """Clock of the store."""


_DEEDS: LiteralString = """
    select e.step, e.call, e.tool, e.service, e.state, e.arguments, e.amount_minor, e.currency,
        left(e.error, %(longest)s) as error, e.attempts, e.updated_at as at, e.resolved_by, e.request_id,
        p.standing_id, u.run_id as undone_by, u.state as undone
    from effects e
        left join standing_uses p using (tenant, run_id, step, call)
        left join lateral (select c.run_id, c.state from undo_orders o
            cross join lateral jsonb_array_elements(o.plan::jsonb -> 'items') i
            join effects c on c.tenant = o.tenant and c.run_id = o.run_id and c.tool = i ->> 'compensation'
                and c.arguments::jsonb = i -> 'compensation_arguments' and c.state <> 'failed_final'
            where o.tenant = e.tenant and o.of_run = e.run_id and (i ->> 'step')::int = e.step
                and (i ->> 'call')::int = e.call
            order by c.state = 'succeeded' desc, o.ordered_at desc limit 1) u on true
    where e.tenant = %(tenant)s and e.run_id = %(run)s
    order by e.state in ('unknown', 'in_flight') desc, e.step desc, e.call desc limit %(deeds)s"""
_VOTES: LiteralString = """
    select coalesce(json_agg(v order by v.cast_at), '[]') from (
        select v.request_id, v.display_name, v.for_name, v.verdict, left(v.reason, %(longest)s) as reason, v.state,
            nullif(v.refusal, '') as refusal, v.cast_at, v.seen
        from votes v where v.tenant = r.tenant and v.request_id = r.request_id
        order by v.cast_at desc limit %(votes)s) v"""
_ASKED: LiteralString = f"""
    select r.request_id, r.step, r.call, r.tool, r.requirement::json as requirement, r.escalated_to,
        case when r.state = 'open' and r.expires_at <= now() then 'expired' else r.state end as state, {ENDING},
        r.opened_at, r.expires_at, r.closed_at, ({_VOTES}) as votes
    from approval_requests r where r.tenant = %(tenant)s and r.run_id = %(run)s
    order by r.step desc, r.call desc, r.visit desc limit %(asked)s"""  # noqa: S608 - of constants alone
_STOPPED: LiteralString = """
    select s.step, s.call, s.tool, s.control ->> 'status' as status,
        coalesce(s.control -> 'policies', '[]') as policies, coalesce(s.control ->> 'limit', '') as "limit"
    from (select distinct on (j.step, j.call) j.step, j.call, j.tool, j.control::json as control from journal j
        where j.tenant = %(tenant)s and j.run_id = coalesce(%(source)s, %(run)s) and j.call >= 0 and j.state = 'done'
            and (%(before)s::int is null or j.step < %(before)s)
        order by j.step, j.call, j.visit desc) s
    where s.control ->> 'status' in ('denied', 'refused', 'halted', 'limit_reached')"""
_FACTS: LiteralString = f"""
    with stopped as materialized ({_STOPPED})
    select now() as read_at, limits.limits,
        (select to_json(u) from (select r.agent, r.definition, s.closed, s.steps, s.model_calls, s.tool_calls,
            s.retries, s.tokens_used, s.tokens_reserved, s.micros_used, s.micros_reserved, s.money_minor,
            coalesce(s.limit_changes, jsonb '{{}}') as limit_changes where s.run_id is not null) u) as usage,
        (select coalesce(json_agg(d order by d.step, d.call), '[]') from ({_DEEDS}) d) as deeds,
        (select greatest(count(*) - %(deeds)s, 0) from effects e
            where e.tenant = %(tenant)s and e.run_id = %(run)s) as more_deeds,
        (select coalesce(json_agg(a order by a.step, a.call, a.opened_at), '[]') from ({_ASKED}) a) as asked,
        (select greatest(count(*) - %(asked)s, 0) from approval_requests a
            where a.tenant = %(tenant)s and a.run_id = %(run)s) as more_asked,
        (select coalesce(json_agg(s order by s.step, s.call), '[]') from (
            select * from stopped order by step desc, call desc limit %(stopped)s) s) as stopped,
        (select greatest(count(*) - %(stopped)s, 0) from stopped) as more_stopped
    from (select) one
        left join runs r on r.tenant = %(tenant)s and r.run_id = %(run)s
        left join run_state s on s.tenant = r.tenant and s.run_id = r.run_id
        left join lateral (select d.body::json -> 'limits' as limits from definitions d
            where d.tenant = r.tenant and d.digest = r.definition) limits on true"""  # noqa: S608 - as above


async def facts_of_run(
    cursor: AsyncCursor[DictRow], tenant: str, run_id: str, *, source: str | None = None, before: int | None = None
) -> RunFacts:
    """Everything that is recorded of a run; of one that does not exist nothing, but its requests.

    What was stopped may be read of another run (`source`), up to the step `before`: a test request stands for it.
    """
    await cursor.execute(
        _FACTS,
        {"tenant": tenant, "run": run_id, "source": source, "before": before, "longest": _LONGEST,
         "deeds": MAX_DEEDS, "asked": MAX_ASKED, "stopped": MAX_STOPPED, "votes": _MAX_VOTES},
    )  # fmt: skip
    return RunFacts.model_validate(await cursor.fetchone())
