"""Planned faults: what a test or a demo tells this service to get wrong, and how often."""

import re
import sqlite3
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from examples.backoffice.database import Database
from examples.backoffice.wire_arguments import Identifier

FAULTS_MAX = 1000

FaultMode = Literal[
    "timeout_before_effect", "timeout_after_effect", "status_429", "status_500_before", "status_500_after", "slow"
]


class FaultPlan(BaseModel):
    """A fault to be, or still being, handed out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["GET", "POST"]
    """Method that it waits for."""

    path_regex: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Python regular expression, searched in the path without the query."""

    mode: FaultMode
    """What goes wrong, and whether before or after the effect was committed."""

    tenant: Identifier | None = None
    """Whose requests get it; null: anybody's."""

    times: Annotated[int, Field(ge=1, le=10_000)] = 1
    """How many requests get it."""

    seconds: Annotated[float, Field(gt=0, le=600)] | None = None
    """Length of a hang or delay; null: the configured one."""

    retry_after_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    """Value of the Retry-After header of ``status_429``; null: no header."""

    @field_validator("path_regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _retry_after_fits(self) -> Self:
        if self.retry_after_s is not None and self.mode != "status_429":
            raise ValueError("retry_after_s belongs to status_429 only")
        return self


class PlannedFault(FaultPlan):
    """A plan as it is kept."""

    fault_id: int
    """Identifier, in the order of planning."""

    remaining: int
    """How many requests will still get it."""


def plan_fault(connection: sqlite3.Connection, plan: FaultPlan) -> PlannedFault | None:
    """Keep a plan across restarts. Returns None when there are too many."""
    if connection.execute("SELECT count(*) FROM faults WHERE remaining > 0").fetchone()[0] >= FAULTS_MAX:
        return None
    row = connection.execute(
        """
        INSERT INTO faults (method, path_regex, mode, tenant, remaining, times, seconds, retry_after_s)
        VALUES (:method, :path_regex, :mode, :tenant, :times, :times, :seconds, :retry_after_s) RETURNING *
        """,
        plan.model_dump(),
    ).fetchone()
    return PlannedFault(**dict(row))


def list_faults(connection: sqlite3.Connection) -> tuple[PlannedFault, ...]:
    """Return every plan, spent ones too, in the order of planning."""
    return tuple(PlannedFault(**dict(row)) for row in connection.execute("SELECT * FROM faults ORDER BY fault_id"))


def remove_faults(connection: sqlite3.Connection) -> int:
    """Forget every plan and say how many there were."""
    return connection.execute("DELETE FROM faults").rowcount


def take_fault(database: Database, tenant: str, method: str, path: str) -> PlannedFault | None:
    """Use up one turn of the oldest plan that fits. Committed before it is acted on: a crash does not repeat it."""
    with database.read() as connection:
        if _first_match(connection, tenant, method, path) is None:
            return None
    with database.write() as connection:
        fault = _first_match(connection, tenant, method, path)
        if fault is not None:
            connection.execute("UPDATE faults SET remaining = remaining - 1 WHERE fault_id = ?", (fault.fault_id,))
        return fault


def _first_match(connection: sqlite3.Connection, tenant: str, method: str, path: str) -> PlannedFault | None:
    rows = connection.execute(
        """
        SELECT * FROM faults
        WHERE remaining > 0 AND method = ? AND (tenant IS NULL OR tenant = ?) ORDER BY fault_id
        """,
        (method, tenant),
    )
    fitting = (row for row in rows if re.search(row["path_regex"], path))
    row = next(fitting, None)
    return None if row is None else PlannedFault(**dict(row))
