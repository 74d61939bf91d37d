"""A kill switch drill: thrown under load, measured from the records, released, and watched until all has settled."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Record
from store.database import Database
from store.switches import Receipt, Thrown, receipts_of

__all__ = ["DrillReport", "Stage", "drill"]

_LOOK_EVERY_S = 0.05
_QUIET_S = 1.0
"""So long nothing more may happen before the halt is called complete."""


class DrillReport(Record):
    """What a drill measured. All counts are from audit chain, journal and ledger, none from this process's memory."""

    runs: int
    switch_id: int
    throw_ms: float
    """From asking for the switch until it had committed: what an operator waits for."""
    admitted_before: int
    """Calls of these runs that were admitted before the switch."""
    last_admission_before_ms: float | None
    """How long before the switch the last admitted call had begun."""
    admitted_after: int
    """Calls admitted by decisions that began after the switch held the gate's lock. Must be none."""
    models_called_after: int
    """Model calls reserved after it. Must be none."""
    sent_after: int
    """Writes that were first sent after it. Must be none."""
    paused: int
    """Runs that stood still when nothing moved any more."""
    closed_before: int
    """Runs that had ended by then."""
    receipts: tuple[Receipt, ...]
    """What was under way when it fell, with what became of each by the end of the drill."""
    released_to_settled_s: float = Field(ge=0)
    """From the release until every run had ended, or waited for people."""
    unsettled_runs: tuple[str, ...]
    """Runs that still were paused at the end. Must be none."""

    @property
    def unsettled(self) -> tuple[Receipt, ...]:
        """Receipts of which it is not known at the end what became of them."""
        return tuple(receipt for receipt in self.receipts if not receipt.settled)

    @property
    def passed(self) -> bool:
        """Whether the switch did what it promises."""
        broken = self.admitted_after or self.models_called_after or self.sent_after
        return not broken and not self.unsettled_runs and not self.unsettled


class Stage(Record):
    """How a drill's runs stand."""

    opened: int
    closed: int
    paused: int
    asking: int
    """Runs that wait for people."""
    admitted: int
    moves: int
    """Entries of their audit chains: while it grows, something happens."""


async def drill(
    database: Database,
    tenant: str,
    *,
    start: Callable[[int], Awaitable[str]],
    throw: Callable[[], Awaitable[Thrown]],
    release: Callable[[int], Awaitable[None]],
    runs: int,
    wait_s: float,
    say: Callable[[str], None] = lambda _line: None,
) -> DrillReport:
    """Start runs, throw the switch as soon as calls are admitted, measure, release, wait until all has settled.

    `start` begins the run of a number and returns its id; `wait_s` bounds each phase.

    Raises:
        TimeoutError: a phase took longer; the switch has been released.
    """
    ids = await asyncio.gather(*(start(number) for number in range(runs)))
    say(f"{runs} runs started; waiting until their calls are admitted")
    await _until(database, tenant, ids, lambda stage: stage.admitted >= max(1, runs // 2), wait_s, "calls are admitted")
    began = time.perf_counter()
    thrown = await throw()
    throw_ms = (time.perf_counter() - began) * 1000
    say(f"switch {thrown.switch_id} is on after {throw_ms:.0f} ms; {thrown.in_flight} calls were under way")
    try:
        halted = await _still(database, tenant, ids, wait_s)
        async with database.tenant(tenant) as cursor:
            measured = await _measured(cursor, tenant, ids, thrown.set_at)
    finally:
        await release(thrown.switch_id)
    say(f"{halted.paused} runs stood still; released")
    began = time.perf_counter()
    unsettled: list[str] = []
    try:
        await _until(
            database, tenant, ids, lambda stage: stage.closed + stage.asking >= runs and not stage.paused, wait_s,
            "every run has ended or waits for people",
        )  # fmt: skip
    except TimeoutError:
        unsettled = await _paused(database, tenant, ids)
    settled_s = time.perf_counter() - began
    async with database.tenant(tenant) as cursor:
        receipts = [one for one in await receipts_of(cursor, tenant, thrown.switch_id) if one.run_id in set(ids)]
    return DrillReport.model_validate(
        {
            "runs": runs, "switch_id": thrown.switch_id, "throw_ms": throw_ms, **measured, "paused": halted.paused,
            "closed_before": halted.closed, "receipts": receipts, "released_to_settled_s": settled_s,
            "unsettled_runs": unsettled,
        }
    )  # fmt: skip


async def _until(
    database: Database, tenant: str, ids: Sequence[str], holds: Callable[[Stage], bool], wait_s: float, what: str
) -> Stage:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        stage = await _stage(database, tenant, ids)
        if holds(stage):
            return stage
        await asyncio.sleep(_LOOK_EVERY_S)
    raise TimeoutError(f"not within {wait_s:.0f} s: {what}")


async def _still(database: Database, tenant: str, ids: Sequence[str], wait_s: float) -> Stage:
    """How the runs stand once nothing has moved for a while."""
    deadline, moves, since = time.monotonic() + wait_s, -1, time.monotonic()
    while time.monotonic() < deadline:
        stage = await _stage(database, tenant, ids)
        if stage.moves != moves:
            moves, since = stage.moves, time.monotonic()
        elif time.monotonic() - since >= _QUIET_S and stage.paused + stage.closed + stage.asking >= len(ids):
            return stage
        await asyncio.sleep(_LOOK_EVERY_S)
    raise TimeoutError(f"not within {wait_s:.0f} s: everything stands still")


async def _stage(database: Database, tenant: str, ids: Sequence[str]) -> Stage:
    async with database.tenant(tenant) as cursor:
        await cursor.execute(
            """select (select count(*) from runs where tenant = %(tenant)s and run_id = any(%(ids)s)) as opened,
                   (select count(*) from runs where tenant = %(tenant)s and run_id = any(%(ids)s)
                       and closed_at is not null) as closed,
                   (select count(*) from pauses where tenant = %(tenant)s and run_id = any(%(ids)s)
                       and ended_at is null) as paused,
                   (select count(distinct a.run_id) from approval_requests a join runs r using (tenant, run_id)
                       where a.tenant = %(tenant)s and a.run_id = any(%(ids)s) and a.state = 'open'
                       and r.closed_at is null) as asking,
                   (select count(*) from audit where tenant = %(tenant)s and run_id = any(%(ids)s) and kind = 'decided'
                       and body::json ->> 'verdict' = 'admitted') as admitted,
                   (select count(*) from audit where tenant = %(tenant)s and run_id = any(%(ids)s)) as moves""",
            {"tenant": tenant, "ids": list(ids)},
        )
        return Stage.model_validate(await cursor.fetchone())


async def _paused(database: Database, tenant: str, ids: Sequence[str]) -> list[str]:
    async with database.tenant(tenant) as cursor:
        await cursor.execute(
            """select run_id from runs where tenant = %s and run_id = any(%s) and closed_at is null order by run_id""",
            (tenant, list(ids)),
        )
        return [row["run_id"] for row in await cursor.fetchall()]


async def _measured(
    cursor: AsyncCursor[DictRow], tenant: str, ids: Sequence[str], set_at: datetime
) -> dict[str, object]:
    """What the records say happened before and after the switch held the gate's lock."""
    await cursor.execute(
        """with admitted as (
               select at from audit where tenant = %(tenant)s and run_id = any(%(ids)s) and kind = 'decided'
                   and body::json ->> 'verdict' = 'admitted')
           select (select count(*) from admitted where at <= %(at)s) as admitted_before,
               (select count(*) from admitted where at > %(at)s) as admitted_after,
               (select extract(epoch from %(at)s - max(at)) * 1000 from admitted where at <= %(at)s)
                   as last_admission_before_ms,
               (select count(*) from journal where tenant = %(tenant)s and run_id = any(%(ids)s) and call = -1
                   and started_at > %(at)s) as models_called_after,
               (select count(*) from effects where tenant = %(tenant)s and run_id = any(%(ids)s)
                   and first_sent_at > %(at)s) as sent_after""",
        {"tenant": tenant, "ids": list(ids), "at": set_at},
    )
    row = await cursor.fetchone()
    return dict(row) if row else {}
