"""Pauses of runs, and which of them nothing holds any more."""

from datetime import datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.pause import NoteOrder, PauseRun
from store.database import Database

__all__ = ["Freed", "StoredPause", "freed_pauses", "halted_by", "keep_pause", "note_order", "open_pause", "open_pauses"]

MAX_LISTED = 500


class StoredPause(Record):
    """A pause of a run."""

    run_id: str
    number: int
    agent: str
    cause: Literal["operator", "halted"]
    tool: str
    """The call that the gate stopped; empty: none."""
    detail: str
    person: str
    """Whose command it was; empty: the gate stopped it."""
    reason: str
    paused_at: datetime


class Freed(Record):
    """A pause that nothing holds any more."""

    tenant: str
    run_id: str
    number: int
    released_by: str
    why: str
    """What ended the halt, such as `switch 3 was released`."""


async def keep_pause(database: Database, request: PauseRun, agent: str, audit: str) -> str:
    """Write a pause down, once: `paused`, `free` (nothing halts the run), or `over`."""
    pause = request.pause
    by = pause.by
    row = await database.call(
        "select * from pause_run(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (request.tenant, request.run_id, pause.number, agent, pause.cause, pause.tool, pause.detail,
         by.command_id if by else None, by.person if by else "", by.reason if by else "", audit),
    )  # fmt: skip
    return str(row["state"])


async def note_order(database: Database, request: NoteOrder, audit: str) -> str:
    """Write down that an order was obeyed, once: `noted` or `stored`."""
    row = await database.call(
        "select * from note_order(%s, %s, %s, %s, %s)",
        (request.tenant, request.run_id, request.pause, request.by.command_id, audit),
    )
    return str(row["state"])


async def open_pause(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> StoredPause | None:
    """The pause that a run is in."""
    await cursor.execute(
        "select * from pauses where tenant = %s and run_id = %s and ended_at is null", (tenant, run_id)
    )
    row = await cursor.fetchone()
    return _pause(row) if row else None


async def open_pauses(cursor: AsyncCursor[DictRow], tenant: str, limit: int = MAX_LISTED) -> tuple[StoredPause, ...]:
    """The tenant's paused runs, longest paused first."""
    await cursor.execute(
        "select * from pauses where tenant = %s and ended_at is null order by paused_at, run_id limit %s",
        (tenant, limit),
    )
    return tuple(_pause(row) for row in await cursor.fetchall())


async def halted_by(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, agent: str, tool: str) -> str | None:
    """What holds a run up now: a switch, or its agent being disabled."""
    await cursor.execute("select halted_by(%s, %s, %s, %s) as by", (tenant, run_id, agent, tool))
    row = await cursor.fetchone()
    return row["by"] if row else None


async def freed_pauses(dispatch: Database, limit: int) -> tuple[Freed, ...]:
    """Halted runs of every tenant that nothing holds any more (role countersign_dispatch), longest paused first."""
    async with dispatch.everywhere() as cursor:
        await cursor.execute("select * from resumable(%s)", (limit,))
        rows = await cursor.fetchall()
    return tuple(Freed.model_validate(row) for row in rows)


def _pause(row: DictRow) -> StoredPause:
    return StoredPause.model_validate({name: row[name] for name in StoredPause.model_fields})
