"""What a job leaves behind: bytes of its Temporal history and of its rows."""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from temporalio.client import Client

__all__ = ["Kept", "database_bytes", "history_bytes", "kept_by_run"]

_ROW_OVERHEAD_BYTES = 28  # tuple header and line pointer, which pg_column_size leaves out


@dataclass(frozen=True)
class Kept:
    """Bytes of one job."""

    history: int
    """All events, as Temporal sends them."""
    events: int
    database: int = 0
    """All rows as stored (compressed where Postgres compressed them), with their headers; no indexes, no WAL."""
    message_text: int = 0
    """The messages' own text, as the history holds it once."""
    message_stored: int = 0
    """The messages' own text as stored in the database, once."""

    @property
    def history_beyond(self) -> int:
        """The history without the messages, which it holds once."""
        return self.history - self.message_text

    @property
    def database_beyond(self) -> int:
        """The rows without the messages, which they hold once."""
        return self.database - self.message_stored


async def history_bytes(client: Client, workflow_id: str) -> tuple[int, int]:
    """Bytes and number of a workflow's events."""
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return sum(event.ByteSize() for event in history.events), len(history.events)


def database_bytes(owner_url: str, run_id: str) -> tuple[int, int, int]:
    """Bytes of all rows of a run, and of its messages' text plain and as stored."""
    total = 0
    with psycopg.connect(owner_url, autocommit=True) as connection:
        columns: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'public'"
        ):
            columns.setdefault(table, []).append(column)
        for table, names in columns.items():
            if "run_id" not in names:
                continue
            sizes = sql.SQL(" + ").join(
                sql.SQL("coalesce(pg_column_size({}), 0)").format(sql.Identifier(name)) for name in names
            )
            statement = sql.SQL("select coalesce(sum({} + %s), 0) from {} where run_id = %s").format(
                sizes, sql.Identifier(table)
            )
            row = connection.execute(statement, (_ROW_OVERHEAD_BYTES, run_id)).fetchone()
            total += int(row[0]) if row else 0
        row = connection.execute(
            "select sum(octet_length(content)), sum(pg_column_size(content)) from messages where run_id = %s", (run_id,)
        ).fetchone()
    return total, int(row[0]) if row else 0, int(row[1]) if row else 0


async def kept_by_run(client: Client, owner_url: str, run_id: str) -> Kept:
    """What one of our runs left behind."""
    history, events = await history_bytes(client, run_id)
    total, text, stored = database_bytes(owner_url, run_id)
    return Kept(history=history, events=events, database=total, message_text=text, message_stored=stored)
