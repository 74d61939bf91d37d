"""Who looked at which run."""

from datetime import datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record

__all__ = ["RunReadLine", "log_read", "reads_of"]

MAX_SHOWN = 500


class RunReadLine(Record):
    """One look."""

    run_id: str
    at: datetime
    reader: str
    """User name; `host:` and the operating system's user for a command on the machine itself."""
    person: str
    via: Literal["page", "api", "cli"]
    what: str


async def log_read(
    cursor: AsyncCursor[DictRow], *, tenant: str, run_id: str, reader: str, person: str,
    via: Literal["page", "api", "cli"], what: str,
) -> None:  # fmt: skip
    """Write down that somebody looked at a run."""
    await cursor.execute(
        "insert into run_reads (tenant, run_id, reader, person, via, what) values (%s, %s, %s, %s, %s, %s)",
        (tenant, run_id, reader, person, via, what),
    )


async def reads_of(cursor: AsyncCursor[DictRow], tenant: str, run_id: str, limit: int = 100) -> tuple[RunReadLine, ...]:
    """The newest looks at a run."""
    await cursor.execute(
        """select run_id, at, reader, person, via, what from run_reads where tenant = %s and run_id = %s
           order by at desc, read_id desc limit %s""",
        (tenant, run_id, min(limit, MAX_SHOWN)),
    )
    return tuple(RunReadLine.model_validate(row) for row in await cursor.fetchall())
