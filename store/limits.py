"""Limits over many runs: what the day has left, tools that are cut off, reads that may be served again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from contracts.base import Record
from store.database import Database

_MAX_COUNTERS = 5_000

__all__ = [
    "Breaker",
    "CachedOutput",
    "CounterNow",
    "DayUsage",
    "HeldByRuns",
    "LimitChange",
    "OpenBreaker",
    "RunUsage",
    "change_limits",
    "day_usage",
    "drop_reads",
    "find_read",
    "join_tree",
    "keep_read",
    "list_breakers",
    "note_outcome",
    "pass_breaker",
    "run_usage",
]


class CounterNow(Record):
    """What one counter holds."""

    scope: Literal["agent", "tenant", "tool", "tree"]
    subject: str
    tokens: int
    micros: int
    model_calls: int
    tool_calls: int
    retries: int
    wall_s: int
    money: dict[str, int]
    """Minor units moved or reserved, per currency."""
    raised: dict[str, int]
    """By how much people raised the caps, per measure."""


class HeldByRuns(Record):
    """What open runs of an agent hold of the day's budget and have not used: it comes back when they close."""

    runs: int
    tokens: int
    micros: int
    model_calls: int
    tool_calls: int
    retries: int
    wall_s: int


class DayUsage(Record):
    """A tenant's day so far."""

    period: str
    """The day, such as `2026-11-21`."""
    ends_at: datetime
    counters: tuple[CounterNow, ...]
    """By scope and subject."""
    held: dict[str, HeldByRuns]
    """By agent."""


class RunUsage(Record):
    """What one run used of its own limits."""

    agent: str
    definition: str
    closed: bool
    steps: int
    model_calls: int
    tool_calls: int
    retries: int
    tokens_used: int
    tokens_reserved: int
    micros_used: int
    micros_reserved: int
    money_minor: dict[str, int]
    limit_changes: dict[str, int] = Field(default_factory=dict[str, int])
    """By how much each limit was raised, or shrunk, since it was pinned."""


class Breaker(Record):
    """A tool with calls that gave no clear answer."""

    tool: str
    state: Literal["closed", "open", "half_open"]
    failed: int
    """Recent calls without a clear answer."""
    until: datetime | None
    """When a call may probe it."""


@dataclass(frozen=True)
class OpenBreaker:
    """A tool is cut off."""

    wait_s: float


@dataclass(frozen=True)
class CachedOutput:
    """A result that may be served again."""

    output: str
    run_id: str
    """The run that read it."""
    age_s: float


@dataclass(frozen=True, kw_only=True)
class LimitChange:
    """A change of a run's limits, with its record."""

    step: int
    ordinal: int
    """Which change of the step: again with the same one changes nothing."""
    changes: Mapping[str, int] | None = None
    """Added to the run's limits; `drafts_only` above 0 means that only drafts are written from now on."""
    day: Mapping[str, str | int] | None = None
    """A raise of a day's cap: scope, subject, measure, by."""
    message: tuple[str, int] | None = None
    """What the model is told (JSON text, estimated tokens)."""
    kind: str
    """Of the audit entry."""
    audit: str


async def change_limits(
    db: Database, tenant: str, run_id: str, change: LimitChange
) -> Literal["done", "stored", "closed"]:
    """Carry a change out once."""
    text, size = change.message or (None, None)
    row = await db.call(
        "select * from change_limits(%s, %s, %s, %s, %s::jsonb, %s::json, %s, %s, %s, %s)",
        (tenant, run_id, change.step, change.ordinal,
         json.dumps(dict(change.changes)) if change.changes is not None else None,
         json.dumps(dict(change.day)) if change.day is not None else None,
         text, size, change.kind, change.audit),
    )  # fmt: skip
    kind: Literal["done", "stored", "closed"] = row["kind"]
    return kind


async def join_tree(db: Database, tenant: str, root: str, child: str, limits: str) -> None:
    """From now on a root and its child draw on one budget: the root's. `limits` as the gate passes it for the root."""
    await db.call("select join_tree(%s, %s, %s, %s::json)", (tenant, root, child, limits))


async def note_outcome(
    db: Database, tenant: str, tool: str, *, failed: bool, failures: int, of_last: int, window_s: int, open_s: int
) -> tuple[Literal["closed", "open", "half_open"], bool]:
    """Count how a call of a tool ended. The breaker's state then, and whether it changed."""
    row = await db.call(
        "select * from note_outcome(%s, %s, %s, %s, %s, %s, %s)",
        (tenant, tool, failed, failures, of_last, window_s, open_s),
    )
    return row["state"], row["changed"]


async def pass_breaker(db: Database, tenant: str, tool: str) -> OpenBreaker | None:
    """Whether a call of a tool that has a breaker must wait. None: it may go, perhaps as the probe."""
    row = await db.call("select * from pass_breaker(%s, %s)", (tenant, tool))
    return None if row["passes"] else OpenBreaker(row["wait_s"])


async def list_breakers(db: Database, tenant: str) -> list[Breaker]:
    """Every tool of the tenant that has failures in its window or is cut off."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select tool, state, cardinality(failed_at) as failed, until from breakers where tenant = %s
               order by tool limit 1000""",
            (tenant,),
        )
        return [Breaker.model_validate(row) for row in await cursor.fetchall()]


async def keep_read(
    db: Database, tenant: str, key: str, *, resource: str, output: str, run_id: str, for_s: int
) -> None:
    """Keep a read's output to be served again."""
    await db.call("select keep_read(%s, %s, %s, %s, %s, %s)", (tenant, key, resource, output, run_id, for_s))


async def find_read(db: Database, tenant: str, key: str) -> CachedOutput | None:
    """An output that may be served again."""
    row = await db.call("select * from find_read(%s, %s)", (tenant, key))
    return None if row["output"] is None else CachedOutput(row["output"], row["run_id"], row["age_s"])


async def drop_reads(db: Database, tenant: str, resource: str) -> None:
    """Serve nothing again that was read about a resource."""
    await db.call("select drop_reads(%s, %s)", (tenant, resource))


async def day_usage(db: Database, tenant: str, zone: str) -> DayUsage:
    """Everything that is counted in the tenant's present day."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select ends, period from period_of(%s)", (zone,))
        day = await cursor.fetchone()
        if day is None:
            msg = "period_of returned no row"
            raise RuntimeError(msg)
        await cursor.execute(
            """select scope, subject, tokens, micros, model_calls, tool_calls, retries, wall_s, money, raised
               from counters where tenant = %s and period = %s order by scope, subject limit %s""",
            (tenant, day["period"], _MAX_COUNTERS),
        )
        counters = [CounterNow.model_validate(row) for row in await cursor.fetchall()]
        await cursor.execute(
            """select r.agent, count(*) as runs, sum(s.left_tokens + s.tokens_reserved)::bigint as tokens,
                   sum(s.left_micros + s.micros_reserved)::bigint as micros,
                   sum(s.left_model_calls)::bigint as model_calls, sum(s.left_tool_calls)::bigint as tool_calls,
                   sum(s.left_retries)::bigint as retries, sum(s.left_wall_s)::bigint as wall_s
               from run_state s join runs r using (tenant, run_id)
               where s.tenant = %s and not s.closed and s.allot_day = %s group by r.agent""",
            (tenant, day["period"]),
        )
        held = {row.pop("agent"): HeldByRuns.model_validate(row) for row in await cursor.fetchall()}
        return DayUsage(period=day["period"], ends_at=day["ends"], counters=tuple(counters), held=held)


async def run_usage(db: Database, tenant: str, run_id: str) -> RunUsage | None:
    """What a run used of its limits; None when there is no such run."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select r.agent, r.definition, s.closed, s.steps, s.model_calls, s.tool_calls, s.retries, s.tokens_used,
                   s.tokens_reserved, s.micros_used, s.micros_reserved, s.money_minor,
                   coalesce(s.limit_changes, '{}'::jsonb) as limit_changes
               from run_state s join runs r using (tenant, run_id) where s.tenant = %s and s.run_id = %s""",
            (tenant, run_id),
        )
        row = await cursor.fetchone()
        return None if row is None else RunUsage.model_validate(row)
