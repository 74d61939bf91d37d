"""Signed commands of operators: written before they are sent, resent until the run has answered."""

from datetime import datetime, timedelta
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.command import Command, CommandAccepted, CommandRefusal, CommandRefused, SignedCommand

__all__ = [
    "StoredCommand",
    "add_command",
    "claim_commands",
    "commands_of",
    "find_command",
    "note_command_failure",
    "record_command_answer",
]

MAX_SHOWN = 100
_FIRST_SENDING_BY_GIVER = timedelta(seconds=4)  # the giver sends at once; only what it could not settle is left over


class StoredCommand(Record):
    """A command, and what the run said to it."""

    tenant: str
    command_id: str
    run_id: str
    kind: Literal["pause", "resume", "end", "hand_over", "resolve_unknown"]
    person: str
    display_name: str
    reason: str
    jws: str
    """The signed command as sent."""
    state: Literal["pending", "accepted", "refused"]
    refusal: CommandRefusal | None
    """Why the run refused it."""
    attempts: int
    last_error: str
    """Why the last sending failed; empty after a success."""
    issued_at: datetime
    settled_at: datetime | None


async def add_command(cursor: AsyncCursor[DictRow], command: Command, signed: SignedCommand) -> StoredCommand:
    """Write a command; the second of a double click finds the first."""
    await cursor.execute(
        """insert into commands (tenant, command_id, run_id, kind, person, display_name, reason, jws, next_attempt_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, now() + %s) on conflict do nothing""",
        (command.tenant, command.command_id, command.run_id, command.order.kind, command.person, command.display_name,
         command.reason, signed.jws, _FIRST_SENDING_BY_GIVER),
    )  # fmt: skip
    stored = await find_command(cursor, command.tenant, command.command_id)
    if stored is None:
        raise RuntimeError("a command that was just written cannot be read: is the transaction of another tenant?")
    return stored


async def find_command(cursor: AsyncCursor[DictRow], tenant: str, command_id: str) -> StoredCommand | None:
    """A command by its id."""
    await cursor.execute("select * from commands where tenant = %s and command_id = %s", (tenant, command_id))
    row = await cursor.fetchone()
    return _stored(row) if row else None


async def commands_of(cursor: AsyncCursor[DictRow], tenant: str, run_id: str) -> tuple[StoredCommand, ...]:
    """The newest commands to a run."""
    await cursor.execute(
        "select * from commands where tenant = %s and run_id = %s order by issued_at desc, command_id limit %s",
        (tenant, run_id, MAX_SHOWN),
    )
    return tuple(_stored(row) for row in await cursor.fetchall())


async def claim_commands(
    cursor: AsyncCursor[DictRow], *, limit: int, first_wait: timedelta, longest_wait: timedelta
) -> tuple[StoredCommand, ...]:
    """Take commands that are due, of every tenant (role countersign_dispatch); the wait doubles with every attempt."""
    await cursor.execute(
        """update commands set attempts = attempts + 1,
               next_attempt_at = now() + least(%(longest)s, %(first)s * power(2, least(attempts, 20)))
           where (tenant, command_id) in (
               select tenant, command_id from commands where state = 'pending' and next_attempt_at <= now()
               order by next_attempt_at limit %(limit)s for update skip locked)
           returning *""",
        {"limit": limit, "first": first_wait, "longest": longest_wait},
    )
    return tuple(_stored(row) for row in await cursor.fetchall())


async def record_command_answer(
    cursor: AsyncCursor[DictRow], *, tenant: str, command_id: str, answer: CommandAccepted | CommandRefused
) -> None:
    """Keep what the run answered; a command that has its answer keeps it."""
    refusal = answer.refusal.value if isinstance(answer, CommandRefused) else ""
    await cursor.execute(
        """update commands set state = %s, refusal = %s, last_error = '', settled_at = now()
           where tenant = %s and command_id = %s and state = 'pending'""",
        (answer.kind, refusal, tenant, command_id),
    )


async def note_command_failure(cursor: AsyncCursor[DictRow], *, tenant: str, command_id: str, error: str) -> None:
    """Keep why the last sending failed, for operators."""
    await cursor.execute(
        "update commands set last_error = %s where tenant = %s and command_id = %s and state = 'pending'",
        (error[:500], tenant, command_id),
    )


def _stored(row: DictRow) -> StoredCommand:
    values = {name: row[name] for name in StoredCommand.model_fields if name != "refusal"}
    return StoredCommand(refusal=row["refusal"] or None, **values)
