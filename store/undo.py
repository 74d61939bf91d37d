"""Orders to undo a run, and what has been undone before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import canonical_bytes, digest
from contracts.undo import UndoOrdered, UndoPlan
from store.database import Database

__all__ = [
    "Deed",
    "NewOrder",
    "UndoOrder",
    "deeds_of",
    "find_order",
    "order_undo",
    "orders_of",
    "orders_waiting",
    "propose_step",
    "started",
]

MAX_LISTED = 100


@dataclass(frozen=True, kw_only=True)
class NewOrder:
    """What an operator orders."""

    run_id: str
    """The undo run."""
    agent: str
    """The undo identity."""
    plan: UndoPlan
    username: str
    person: str
    role: str
    reason: str


class UndoOrder(Record):
    """An order as stored."""

    tenant: str
    run_id: str
    of_run: str
    of_step: int | None
    agent: str
    username: str
    person: str
    reason: str
    plan: str
    """`UndoPlan` as canonical JSON. Content."""
    plan_digest: str
    ordered_at: datetime
    started_at: datetime | None
    """When Temporal took it."""

    @property
    def read_plan(self) -> UndoPlan:
        """The plan."""
        return UndoPlan.model_validate_json(self.plan)


OrderKind = Literal["ordered", "stored", "open", "absent"]


async def order_undo(db: Database, order: NewOrder) -> OrderKind:
    """Write an order down; `open`: the run that is to be undone is not over."""
    plan = order.plan
    entry = UndoOrdered(
        undo_run=order.run_id, of_step=plan.of_step, by=order.username, person=order.person, reason=order.reason,
        plan_digest=digest(plan),
    )  # fmt: skip
    row = await db.call(
        "select order_undo(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) as kind",
        (plan.tenant, order.run_id, plan.of_run, plan.of_step, order.agent, order.username, order.person, order.reason,
         canonical_bytes(plan).decode(), digest(plan), entry.model_dump_json(), order.role),
    )  # fmt: skip
    return row["kind"]


async def find_order(db: Database, tenant: str, run_id: str) -> UndoOrder | None:
    """The order that vouches for an undo run."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select * from undo_orders where tenant = %s and run_id = %s", (tenant, run_id))
        row = await cursor.fetchone()
    return UndoOrder.model_validate(row) if row else None


async def orders_of(cursor: AsyncCursor[DictRow], tenant: str, of_run: str) -> tuple[UndoOrder, ...]:
    """Orders to undo a run, oldest first."""
    await cursor.execute(
        "select * from undo_orders where tenant = %s and of_run = %s order by ordered_at, run_id limit %s",
        (tenant, of_run, MAX_LISTED),
    )
    return tuple(UndoOrder.model_validate(row) for row in await cursor.fetchall())


async def orders_waiting(db: Database, tenant: str, *, after_s: float) -> tuple[UndoOrder, ...]:
    """Orders that Temporal has not taken, though they are that old: whoever gave one died before it was started."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select * from undo_orders where tenant = %s and started_at is null
                   and ordered_at < now() - make_interval(secs => %s) order by ordered_at limit %s""",
            (tenant, after_s, MAX_LISTED),
        )
        return tuple(UndoOrder.model_validate(row) for row in await cursor.fetchall())


async def started(db: Database, tenant: str, run_id: str) -> None:
    """Temporal has taken the undo run."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            "update undo_orders set started_at = now() where tenant = %s and run_id = %s and started_at is null",
            (tenant, run_id),
        )


class Deed(Record):
    """A compensation that some run has in the ledger."""

    tool: str
    natural_key: str
    state: str
    run_id: str


async def deeds_of(db: Database, tenant: str, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Deed]:
    """By tool and natural key: the compensations that happened, may have happened, or are under way."""
    if not keys:
        return {}
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            """select tool, natural_key, state, run_id from effects
               where tenant = %s and state <> 'failed_final'
                   and (tool, natural_key) in (select * from unnest(%s::text[], %s::text[]))""",
            (tenant, [tool for tool, _ in keys], [key for _, key in keys]),
        )
        found = [Deed.model_validate(row) for row in await cursor.fetchall()]
    return {(deed.tool, deed.natural_key): deed for deed in found}


async def propose_step(
    db: Database, tenant: str, run_id: str, step: int, *, control: str, message: tuple[str, int], audit: str
) -> str | None:
    """Write a step's proposal down, or return the control of the one that stands there. None: the run is over."""
    row = await db.call(
        "select propose_undo(%s, %s, %s, %s, %s, %s, %s) as control",
        (tenant, run_id, step, control, message[0], message[1], audit),
    )
    return row["control"]
