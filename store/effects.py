"""Transitions of the effects ledger between admission and finish, and the queue of what cannot be known."""

from dataclasses import dataclass
from typing import Literal, cast

from contracts.base import JsonObject
from store.database import Database

__all__ = ["Start", "doubt_effect", "list_effects", "resolve_effect", "start_effect", "unknown_effects"]


@dataclass(frozen=True)
class Start:
    """What the last look before sending found."""

    kind: Literal["started", "halted", "lost"]
    detail: str
    """The kill switch that holds."""


async def start_effect(
    db: Database, tenant: str, run_id: str, step: int, call: int, fence: int, *, agent: str, tool: str,
    lease_s: float, credential_s: float,
) -> Start:  # fmt: skip
    """prepared → in_flight, under a lease, if no kill switch came on since admission."""
    row = await db.call(
        "select * from start_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tenant, run_id, step, call, fence, agent, tool, lease_s, credential_s),
    )
    return Start(kind=row["kind"], detail=row["detail"] or "")


async def doubt_effect(db: Database, tenant: str, run_id: str, step: int, call: int, audit: str) -> bool:
    """in_flight → unknown once the lease has lapsed. False: somebody still holds the lease."""
    row = await db.call("select * from doubt_effect(%s, %s, %s, %s, %s)", (tenant, run_id, step, call, audit))
    return row["kind"] == "doubted"


async def resolve_effect(
    db: Database, tenant: str, run_id: str, step: int, call: int, visit: int, *, tool: str, effect_fence: int,
    state: str, output: str | None, error: str, control: str, message: tuple[str, int] | None, audit: str,
) -> bool:  # fmt: skip
    """unknown → what a probe or a person found. False: somebody else resolved it."""
    row = await db.call(
        "select * from resolve_effect(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tenant, run_id, step, call, visit, tool, effect_fence, state, output, error, control,
         message[0] if message else None, message[1] if message else None, audit),
    )  # fmt: skip
    return row["kind"] == "resolved"


_COLUMNS = """run_id, step, call, tool, natural_key, state, attempts, arguments, output, error, amount_minor, currency,
    request_id, created_at, updated_at"""


async def list_effects(db: Database, tenant: str, run_id: str) -> list[JsonObject]:
    """Every write of a run with its state, in order."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            f"select {_COLUMNS} from effects where tenant = %s and run_id = %s order by step, call", (tenant, run_id)
        )
        return cast("list[JsonObject]", await cursor.fetchall())


async def unknown_effects(db: Database, tenant: str, limit: int = 200) -> list[JsonObject]:
    """The queue of writes of which it is not known whether they happened, oldest first."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute(
            f"select {_COLUMNS} from effects where tenant = %s and state = 'unknown' order by updated_at limit %s",
            (tenant, limit),
        )
        return cast("list[JsonObject]", await cursor.fetchall())
