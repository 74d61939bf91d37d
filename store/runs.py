"""Runs: what started one, its pinned definition, its totals and its end."""

import json
from dataclasses import dataclass
from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import PinnedAgent
from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest
from contracts.event import AcceptedEvent
from contracts.outcome import RunReport, RunTotals
from store.database import Database

__all__ = [
    "NewRun",
    "Voucher",
    "append_audit",
    "close_run",
    "effect_counts",
    "find_run_ids",
    "list_runs",
    "load_definition",
    "load_event_of",
    "load_run",
    "load_transcript",
    "load_voucher",
    "open_run",
    "run_totals",
    "served_model_of",
    "step_lines",
]


@dataclass(frozen=True)
class Voucher:
    """The inbox row that vouches for a run."""

    event: AcceptedEvent
    agent: str
    run_id: str
    on_behalf_of: str | None


async def load_voucher(db: Database, tenant: str, endpoint: str, event_id: str) -> Voucher | None:
    """The inbox row of an event."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select event, agent, run_id, on_behalf_of from inbox
               where tenant = %s and endpoint = %s and event_id = %s""",
            (tenant, endpoint, event_id),
        )
        row = await cursor.fetchone()
    if row is None:
        return None
    return Voucher(
        event=AcceptedEvent.model_validate_json(row["event"]),
        agent=row["agent"],
        run_id=row["run_id"],
        on_behalf_of=row["on_behalf_of"],
    )


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be opened."""

    tenant: str
    run_id: str
    definition: PinnedAgent
    endpoint: str | None
    event_id: str | None
    parent_run_id: str | None
    root_run_id: str
    on_behalf_of: str | None
    interested: tuple[str, ...]
    """Persons who may not approve anything in it."""
    trusted_fields: tuple[str, ...]
    """Data fields of the event that its endpoint declares trusted."""
    goal: str
    messages: tuple[tuple[str, int], ...]
    """First messages: JSON text and estimated tokens."""
    audit: str
    """Body of the first audit entry."""


async def open_run(db: Database, run: NewRun) -> tuple[str, int]:
    """Insert a run, or find it; its definition's digest and when it was opened (Unix seconds)."""
    body = canonical_bytes(run.definition).decode()
    row = await db.call(
        "select * from open_run(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[], %s::int[], %s)",
        (run.tenant, run.run_id, run.definition.name, run.definition.version, digest(run.definition), body,
         run.endpoint, run.event_id, run.parent_run_id, run.root_run_id, run.on_behalf_of,
         json.dumps(list(run.interested)), json.dumps(list(run.trusted_fields)), run.goal,
         [text for text, _ in run.messages],
         [size for _, size in run.messages], run.audit),
    )  # fmt: skip
    return row["definition"], row["opened_s"]


async def load_definition(db: Database, tenant: str, definition: str) -> PinnedAgent | None:
    """A pinned agent by digest."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select body from definitions where tenant = %s and digest = %s", (tenant, definition))
        row = await cursor.fetchone()
    return None if row is None else PinnedAgent.model_validate_json(row["body"])


async def close_run(db: Database, tenant: str, report: RunReport, detail: str, audit: str) -> RunReport:
    """End a run, or return how it ended already."""
    row = await db.call(
        "select * from close_run(%s, %s, %s, %s, %s, %s, %s)",
        (tenant, report.run_id, report.outcome.value, report.reason.value, detail, report.model_dump_json(), audit),
    )
    return RunReport.model_validate_json(row["report"])


async def load_run(db: Database, tenant: str, run_id: str) -> JsonObject | None:
    """A run's row with its counters."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select r.*, s.steps, s.model_calls, s.tool_calls, s.tokens_used, s.micros_used, s.effects, s.closed
               from runs r join run_state s using (tenant, run_id) where r.tenant = %s and r.run_id = %s""",
            (tenant, run_id),
        )
        return cast("JsonObject | None", await cursor.fetchone())


async def list_runs(
    db: Database, tenant: str, *, before: tuple[str, str] | None = None, agent: str | None = None, limit: int = 50
) -> list[JsonObject]:
    """Runs, newest first. `before` is the (opened_at, run_id) of the last row of the previous page."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select r.*, s.steps, s.model_calls, s.tool_calls, s.tokens_used, s.micros_used, s.effects
               from runs r join run_state s using (tenant, run_id)
               where r.tenant = %(tenant)s and (%(agent)s::text is null or r.agent = %(agent)s)
                   and (%(at)s::timestamptz is null or (r.opened_at, r.run_id) < (%(at)s::timestamptz, %(id)s))
               order by r.opened_at desc, r.run_id desc limit %(limit)s""",
            {
                "tenant": tenant,
                "agent": agent,
                "at": before[0] if before else None,
                "id": before[1] if before else None,
                "limit": limit,
            },
        )
        return cast("list[JsonObject]", await cursor.fetchall())


async def find_run_ids(db: Database, tenant: str, prefix: str, *, limit: int = 5) -> list[str]:
    """Ids of runs that begin so: of opened ones, and of those that an accepted event is yet to start."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select run_id from runs where tenant = %(tenant)s and starts_with(run_id, %(prefix)s)
               union select run_id from inbox where tenant = %(tenant)s and starts_with(run_id, %(prefix)s)
               order by run_id limit %(limit)s""",
            {"tenant": tenant, "prefix": prefix, "limit": limit},
        )
        return [str(row["run_id"]) for row in await cursor.fetchall()]


async def run_totals(db: Database, tenant: str, run_id: str) -> RunTotals:
    """What a run has used. A reservation that nobody settled counts as used: it may have been charged."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select s.steps, s.model_calls, s.tool_calls, s.effects, s.tokens_used + s.tokens_reserved as tokens,
                   s.micros_used + s.micros_reserved as micros,
                   (select count(*) from effects e where e.tenant = s.tenant and e.run_id = s.run_id
                       and e.state in ('unknown', 'in_flight')) as unknown,
                   (select round(coalesce(sum(w.attended_ms), 0) / 1000)::int from request_views w
                       where w.tenant = s.tenant and w.run_id = s.run_id) as people_s
               from run_state s where s.tenant = %s and s.run_id = %s""",
            (tenant, run_id),
        )
        row = await cursor.fetchone()
    return RunTotals.model_validate(row or {})


async def effect_counts(db: Database, tenant: str, run_id: str) -> dict[str, int]:
    """Effects of a run by state."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            "select state, count(*) as n from effects where tenant = %s and run_id = %s group by state",
            (tenant, run_id),
        )
        return {row["state"]: row["n"] for row in await cursor.fetchall()}


async def load_transcript(db: Database, tenant: str, run_id: str) -> list[JsonObject]:
    """Every message of a run with its step, oldest first."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            "select seq, step, call, content from messages where tenant = %s and run_id = %s order by seq",
            (tenant, run_id),
        )
        found = await cursor.fetchall()
    return [{**row, "content": json.loads(row["content"])} for row in found]


async def step_lines(db: Database, tenant: str, run_id: str, limit: int) -> list[JsonObject]:
    """The newest audit entries of a run, oldest first: what was tried, for a packet."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select kind, body from (select seq, kind, body from audit where tenant = %s and run_id = %s
               order by seq desc limit %s) newest order by seq""",
            (tenant, run_id, limit),
        )
        found = await cursor.fetchall()
    return [{"kind": row["kind"], "body": json.loads(row["body"])} for row in found]


async def served_model_of(db: Database, tenant: str, run_id: str, step: int) -> str:
    """Identity of the model that answered at a step."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select control::json ->> 'served_model' as model from journal
               where tenant = %s and run_id = %s and step = %s and call = -1 and visit = 1 and state = 'done'""",
            (tenant, run_id, step),
        )
        row = await cursor.fetchone()
    return str(row["model"]) if row else ""


async def append_audit(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, kind: str, body: str) -> None:
    """Append an entry to the run's chain, in the cursor's transaction."""
    await cursor.execute("select append_audit(%s, %s, %s, %s)", (tenant, run_id, kind, body))


async def load_event_of(db: Database, tenant: str, run_id: str) -> JsonObject:
    """The event that started a run; empty when the run has none."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select event from inbox where tenant = %s and run_id = %s", (tenant, run_id))
        row = await cursor.fetchone()
    return cast("JsonObject", json.loads(row["event"])) if row else {}
