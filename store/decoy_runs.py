"""What pages show of the run that a test request names, as long as it waits: there is none, and nothing tells so.

Everything is read from the real request that it was made from, with the times moved and with what was made wrong put in
its place. Nothing is written.
"""

import json
from datetime import datetime, timedelta
from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import RunLimits
from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes
from store.limits import RunUsage
from store.run_facts import RunFacts, facts_of_run
from store.run_steps import RecordedMessage, messages_of

__all__ = ["StandIn", "facts_of_decoy", "run_of_decoy", "stand_in", "steps_of_decoy"]


class StandIn(Record):
    """The real run behind a test request that waits."""

    run_id: str
    """The real one."""
    step: int
    """The step that asked."""
    call: int
    later: timedelta
    """By how much the test request is younger than the real one."""
    view: ApprovalView
    """Of the test request."""
    opened_at: datetime
    """When the real run was opened."""


async def stand_in(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> StandIn | None:
    """What stands in for this run; None: no test request that waits names it."""
    await cursor.execute(
        """select s.run_id, s.step, s.call, r.opened_at - s.opened_at as later, r.view::jsonb as view,
               coalesce(runs.opened_at, s.opened_at) as opened_at
           from decoys d join approval_requests r using (tenant, request_id)
               join approval_requests s on s.tenant = d.tenant and s.request_id = d.made_from
               left join runs on runs.tenant = s.tenant and runs.run_id = s.run_id
           where d.tenant = %s and d.run_id = %s and d.ended_at is null""",
        (tenant, run_id),
    )
    row = await cursor.fetchone()
    return StandIn.model_validate(row) if row else None


async def run_of_decoy(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> JsonObject | None:
    """A row as of any run that waits for people."""
    found = await stand_in(cursor, tenant, run_id)
    if found is None:
        return None
    view = found.view
    shown: dict[str, object] = {
        "run_id": run_id,
        "agent": view.agent,
        "agent_version": view.agent_version,
        "goal": view.asked_by.partition("started by ")[2] or view.asked_by,
        "on_behalf_of": view.on_behalf_of,
        "opened_at": found.opened_at + found.later,
        "detail": "",
        **dict.fromkeys(("outcome", "reason", "report", "closed_at", "parent_run_id")),
    }
    return cast("JsonObject", shown)


async def facts_of_decoy(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> RunFacts | None:
    """What the real run had used and been refused when it asked; it had written nothing. None: no such one waits."""
    found = await stand_in(cursor, tenant, run_id)
    if found is None:
        return None
    facts = await facts_of_run(cursor, tenant, run_id, source=found.run_id, before=found.step)
    await cursor.execute(
        """select r.agent, r.definition, false as closed, %(step)s as steps, 0 as retries, '{}'::json as money_minor,
               0 as tokens_reserved, 0 as micros_reserved, sum(u.model_calls) as model_calls,
               coalesce(sum(u.tokens), 0)::bigint as tokens_used, coalesce(sum(u.micros), 0)::bigint as micros_used,
               (select count(distinct (j.step, j.call)) from journal j where j.tenant = r.tenant and j.run_id = r.run_id
                   and j.call >= 0 and (j.step, j.call) < (%(step)s, %(call)s)
                   and j.control::json ->> 'status' in ('ran', 'failed', 'unknown')) as tool_calls,
               (select d.body::json -> 'limits' from definitions d
                   where d.tenant = r.tenant and d.digest = r.definition) as limits
           from runs r left join lateral (
               select (a.kind = 'model_replied')::int as model_calls, (a.body::json ->> 'tokens')::bigint as tokens,
                   (a.body::json ->> 'micros')::bigint as micros
               from audit a where a.tenant = r.tenant and a.run_id = r.run_id
                   and a.kind in ('model_replied', 'checked') and (a.body::json ->> 'step')::int <= %(step)s) u on true
           where r.tenant = %(tenant)s and r.run_id = %(run)s group by r.tenant, r.run_id""",
        {"tenant": tenant, "run": found.run_id, "step": found.step, "call": found.call},
    )
    row = await cursor.fetchone()
    if row is None:
        return facts
    pinned = row.pop("limits")
    limits = RunLimits.model_validate(pinned) if pinned else None
    return facts.model_copy(update={"usage": RunUsage.model_validate(row), "limits": limits})


async def steps_of_decoy(
    cursor: AsyncCursor[DictRow], tenant: str, run_id: str, *, first_step: int
) -> tuple[RecordedMessage, ...]:
    """The steps that led to the question, as the page of the request tells them; none: there is no such request."""
    found = await stand_in(cursor, tenant, run_id)
    if found is None:
        return ()
    told = await messages_of(cursor, tenant, found.run_id, first_step=first_step)
    return tuple(_retold(message, found) for message in told if _led_there(message, found))


def _led_there(message: RecordedMessage, found: StandIn) -> bool:
    """Whether it was there when people were asked: earlier steps, and the proposal itself."""
    return message.step < found.step or (message.step == found.step and message.role == "assistant")


def _retold(message: RecordedMessage, found: StandIn) -> RecordedMessage:
    changes: dict[str, object] = {"at": message.at + found.later if message.at else None}
    item = next((one for one in found.view.evidence if (one.step, one.call) == (message.step, message.call)), None)
    if item is not None and message.role == "tool" and _parsed(message.text) not in (None, item.output):
        changes["text"] = canonical_bytes(item.output).decode()
    if message.step == found.step:
        arguments = canonical_bytes(found.view.arguments).decode()
        changes["calls"] = tuple(
            (tool, arguments if place == found.call else asked) for place, (tool, asked) in enumerate(message.calls)
        )
    return message.model_copy(update=changes)


def _parsed(text: str) -> JsonObject | None:
    try:
        return cast("JsonObject", json.loads(text))
    except ValueError:
        return None  # cut, or no JSON: shown as it is
