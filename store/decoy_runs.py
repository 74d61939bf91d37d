"""What pages show of the run that a test request names, as long as it waits: there is none, and nothing tells so.

Everything is read from the real request that it was made from, with the times moved and with what was made wrong put in
its place. Nothing is written.
"""

import json
from datetime import timedelta
from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record
from contracts.canonical import canonical_bytes
from store.run_steps import RecordedMessage, messages_of

__all__ = ["StandIn", "run_of_decoy", "stand_in", "steps_of_decoy"]


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


async def stand_in(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> StandIn | None:
    """What stands in for this run; None: no test request that waits names it."""
    await cursor.execute(
        """select s.run_id, s.step, s.call, r.opened_at - s.opened_at as later, r.view::jsonb as view
           from decoys d join approval_requests r using (tenant, request_id)
               join approval_requests s on s.tenant = d.tenant and s.request_id = d.made_from
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
    shown: JsonObject = {
        "run_id": run_id,
        "agent": view.agent,
        "agent_version": view.agent_version,
        "goal": view.asked_by.partition("started by ")[2] or view.asked_by,
        "on_behalf_of": view.on_behalf_of,
        **dict.fromkeys(("outcome", "reason", "report", "closed_at", "parent_run_id")),
    }
    return shown


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
