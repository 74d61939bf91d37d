"""Runs: what started one, its pinned definition, its totals and its end."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import PinnedAgent
from contracts.base import Digest, JsonObject
from contracts.canonical import canonical_bytes, digest_bytes
from contracts.event import AcceptedEvent
from contracts.outcome import RunReport, RunTotals
from store.database import Database

__all__ = [
    "Closing",
    "NewRun",
    "Opening",
    "PinnedDefinition",
    "append_audit",
    "begin_closing",
    "close_run",
    "find_run_ids",
    "list_runs",
    "load_definition",
    "load_opening",
    "load_run",
    "load_transcript",
    "lock_run",
    "open_run",
    "served_model_of",
    "step_lines",
]


@dataclass(frozen=True)
class Opening:
    """What the start of a run depends on."""

    event: AcceptedEvent
    """Of the inbox row that vouches for the run, as the next three."""
    agent: str
    run_id: str
    on_behalf_of: str | None
    vote_keys: dict[str, str]
    """Public keys (JWK as canonical JSON) in use, by key id: what the run pins."""
    opened: tuple[Digest, int] | None
    """Of a run that was opened before: its definition and when (Unix seconds)."""


async def load_opening(db: Database, tenant: str, endpoint: str, event_id: str) -> Opening | None:
    """The inbox row of an event, with the keys in use and its run if it is open; None: no such event was accepted."""
    row = await db.call("select * from load_opening(%s, %s, %s)", (tenant, endpoint, event_id))
    if row["event"] is None:
        return None
    return Opening(
        event=AcceptedEvent.model_validate_json(row["event"]),
        agent=row["agent"],
        run_id=row["run_id"],
        on_behalf_of=row["on_behalf_of"],
        vote_keys=row["keys"],
        opened=(row["definition"], row["opened_s"]) if row["definition"] else None,
    )


@dataclass(frozen=True)
class PinnedDefinition:
    """A pinned agent as it is stored."""

    agent: PinnedAgent

    @cached_property
    def body(self) -> str:
        """Canonical JSON."""
        return canonical_bytes(self.agent).decode()

    @cached_property
    def digest(self) -> Digest:
        """Of the body."""
        return digest_bytes(self.body.encode())


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be opened."""

    tenant: str
    run_id: str
    definition: PinnedDefinition
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


async def open_run(db: Database, run: NewRun) -> tuple[Digest, int]:
    """Insert a run, or find it; its definition's digest and when it was opened (Unix seconds)."""
    agent = run.definition.agent
    row = await db.call(
        "select * from open_run(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[], %s::int[], %s)",
        (run.tenant, run.run_id, agent.name, agent.version, run.definition.digest, run.definition.body,
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


@dataclass(frozen=True)
class Closing:
    """What the end of a run depends on."""

    event: JsonObject
    """That started it; empty when none did."""
    effects: list[JsonObject]
    """Its writes with their states, in order. None is under way any more."""
    answer: str
    """What the model said last, as JSON text; empty when it said nothing."""
    totals: RunTotals
    """What it has used."""
    agent: str
    """Its agent's name."""
    opened_us: int
    """When it was opened: Unix time, in microseconds."""
    was_closed: bool
    """Whether an earlier attempt has closed it."""


async def begin_closing(db: Database, tenant: str, run_id: str, step: int) -> Closing:
    """End the effects of a run at its last step, and read what its end depends on. Again is harmless."""
    row = await db.call("select * from begin_closing(%s, %s, %s)", (tenant, run_id, step))
    return Closing(
        event=json.loads(row["event"]) if row["event"] else {},
        effects=row["effects"],
        answer=row["answer"] or "",
        totals=RunTotals.model_validate(row["totals"] or {}),
        agent=row["agent"],
        opened_us=row["opened_us"],
        was_closed=row["was_closed"],
    )


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
            """select a.body::json ->> 'served_model' as model from journal j
                   join audit a on a.tenant = j.tenant and a.run_id = j.run_id and a.seq = j.decision_seq
               where j.tenant = %s and j.run_id = %s and j.step = %s and j.call = -1 and j.visit = 1
                   and j.state = 'done'""",
            (tenant, run_id, step),
        )
        row = await cursor.fetchone()
    return str(row["model"]) if row else ""


async def append_audit(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, kind: str, body: str) -> None:
    """Append an entry to the run's chain, in the cursor's transaction."""
    await cursor.execute("select append_audit(%s, %s, %s, %s)", (tenant, run_id, kind, body))


async def lock_run(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> bool:
    """Let attempts at the same entry of a run queue until the transaction ends. Whether there is such a run."""
    await cursor.execute("select 1 from run_state where tenant = %s and run_id = %s for update", (tenant, run_id))
    return await cursor.fetchone() is not None
