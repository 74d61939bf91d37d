"""Checks of calls in the store. Each function calls the one of its name in `store/sql/80_checks.sql`."""

from dataclasses import dataclass
from typing import Literal

from contracts.check import CheckResult
from store.database import Database
from store.journal import CallKey

__all__ = ["CheckBounds", "CheckReservation", "SettledCheck", "reserve_check", "settle_check", "verdicts_of"]


@dataclass(frozen=True, kw_only=True)
class CheckBounds:
    """What a check may take at most, and the run in all."""

    agent: str
    tool: str
    tokens: int
    """0 where no model is asked."""
    micros: int
    limit_tokens: int
    limit_micros: int
    wall_s: int
    limits: str
    """Of the day: JSON text of `activities/limits.py`."""


@dataclass(frozen=True)
class CheckReservation:
    """What `reserve_check` found or did."""

    kind: Literal["stored", "reserved", "limit", "halted", "closed", "absent"]
    fence: int
    limit: str
    detail: str
    """Of `stored`: the result as JSON text. Of `halted`: by what."""
    tokens_lost: int
    micros_lost: int
    day: str


@dataclass(frozen=True, kw_only=True)
class SettledCheck:
    """A verdict with everything that is stored with it."""

    fence: int
    day: str
    tokens: int
    """Of this attempt."""
    micros: int
    passed: bool
    result: str
    audit: str


async def reserve_check(db: Database, key: CallKey, name: str, revision: int, bounds: CheckBounds) -> CheckReservation:
    """Reserve what the check may cost, or return what an earlier attempt settled."""
    row = await db.call(
        "select * from reserve_check(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (key.tenant, key.run_id, key.step, key.call, name, revision, bounds.agent, bounds.tool, bounds.tokens,
         bounds.micros, bounds.limit_tokens, bounds.limit_micros, bounds.wall_s, bounds.limits),
    )  # fmt: skip
    return CheckReservation(
        kind=row["kind"],
        fence=row["fence"] or 0,
        limit=row["limit_name"] or "",
        detail=row["detail"] or "",
        tokens_lost=row["tokens_lost"] or 0,
        micros_lost=row["micros_lost"] or 0,
        day=row["allot_day"] or "",
    )


async def settle_check(db: Database, key: CallKey, name: str, revision: int, settled: SettledCheck) -> bool:
    """Store the verdict. False: a later attempt took over, or the run is closed."""
    row = await db.call(
        "select settle_check(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) as settled",
        (key.tenant, key.run_id, key.step, key.call, name, revision, settled.fence, settled.tokens, settled.micros,
         settled.day, settled.passed, settled.result, settled.audit),
    )  # fmt: skip
    return bool(row["settled"])


async def verdicts_of(db: Database, key: CallKey, revision: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Checks that a call passed as it stands after so many edits; and those that said no, with their reasons."""
    async with db.tenant(key.tenant) as cursor:
        await cursor.execute(
            """select name, passed, result from checks
               where tenant = %s and run_id = %s and step = %s and call = %s and revision = %s
                   and state = 'done' order by name""",
            (key.tenant, key.run_id, key.step, key.call, revision),
        )
        rows = await cursor.fetchall()
    passed = tuple(str(row["name"]) for row in rows if row["passed"])
    failed = {
        str(row["name"]): CheckResult.model_validate_json(row["result"]).content.reason
        for row in rows
        if not row["passed"]
    }
    return passed, failed
