"""The inbox: each accepted event once, kept until its run has been started and long after."""

import json
from dataclasses import dataclass
from typing import Annotated, Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Digest, Record
from contracts.canonical import canonical_bytes
from contracts.event import AcceptedEvent
from store.database import Database

__all__ = [
    "Acceptance",
    "Arrival",
    "Conflict",
    "Duplicate",
    "InboxEntry",
    "Stored",
    "WaitingRow",
    "accept",
    "claim",
    "drive_again",
    "entries",
    "is_reachable",
    "mark_started",
    "postpone",
    "quarantine",
]

_ALARMS_PER_EVENT_AND_DAY = 10
_ERROR_CHARACTERS = 500
InboxState = Literal["received", "started", "quarantined"]


class Arrival(Record):
    """An event that passed every check."""

    tenant: str
    endpoint: str
    event: AcceptedEvent
    agent: str
    """The agent that the endpoint's configuration chose."""
    run_id: str
    on_behalf_of: str | None


class Stored(Record):
    """The event is new; its row is committed."""

    kind: Literal["stored"] = "stored"
    run_id: str


class Duplicate(Record):
    """The same event was accepted before."""

    kind: Literal["duplicate"] = "duplicate"
    run_id: str


class Conflict(Record):
    """Another event was accepted under this key; nothing was stored but an alarm."""

    kind: Literal["conflict"] = "conflict"
    run_id: str
    """Run of the event that was accepted first."""
    received: Digest
    """Digest of the event that was refused."""


Acceptance = Annotated[Stored | Duplicate | Conflict, Field(discriminator="kind")]


@dataclass(frozen=True)
class WaitingRow:
    """An event whose run is to be started, claimed until the lease ends."""

    tenant: str
    endpoint: str
    event_id: str
    body_digest: str
    agent: str
    run_id: str
    on_behalf_of: str | None
    attempts: int
    """Claims so far, this one included."""


class InboxEntry(Record):
    """A row of the inbox without the event's content, for listings."""

    tenant: str
    endpoint: str
    event_id: str
    agent: str
    run_id: str
    state: InboxState
    attempts: int
    last_error: str
    received_at: str
    """ISO 8601."""
    started_at: str | None
    """ISO 8601."""


_INSERT: LiteralString = """
insert into inbox (tenant, endpoint, event_id, body_digest, event, agent, run_id, on_behalf_of)
values (%(tenant)s, %(endpoint)s, %(event_id)s, %(body_digest)s, %(event)s, %(agent)s, %(run_id)s, %(on_behalf_of)s)
on conflict (tenant, endpoint, event_id) do nothing
returning run_id"""

_STORED_BEFORE: LiteralString = """
select body_digest, run_id from inbox
where tenant = %(tenant)s and endpoint = %(endpoint)s and event_id = %(event_id)s"""

# A sender that repeats the conflict must not fill the table: a few alarms tell as much as a thousand.
_ALARM: LiteralString = """
insert into alarms (tenant, kind, subject, detail)
select %(tenant)s::text, %(kind)s::text, %(subject)s::text, %(detail)s::jsonb
where (select count(*) from alarms
       where tenant = %(tenant)s and at > now() - interval '1 day' and kind = %(kind)s::text
           and subject = %(subject)s::text) < %(most)s::bigint"""

_CLAIM: LiteralString = """
with due as (
    select tenant, endpoint, event_id from inbox
    where state = 'received' and next_attempt_at <= now()
    order by next_attempt_at
    limit %(most)s
    for update skip locked
)
update inbox
set attempts = inbox.attempts + 1, next_attempt_at = now() + make_interval(secs => %(lease_s)s)
from due
where (inbox.tenant, inbox.endpoint, inbox.event_id) = (due.tenant, due.endpoint, due.event_id)
returning inbox.tenant, inbox.endpoint, inbox.event_id, inbox.body_digest, inbox.agent, inbox.run_id,
    inbox.on_behalf_of, inbox.attempts"""

_STARTED: LiteralString = """
update inbox set state = 'started', started_at = now(), last_error = ''
where tenant = %(tenant)s and endpoint = %(endpoint)s and event_id = %(event_id)s and state = 'received'"""

_POSTPONE: LiteralString = """
update inbox set next_attempt_at = now() + make_interval(secs => %(delay_s)s), last_error = %(error)s
where tenant = %(tenant)s and endpoint = %(endpoint)s and event_id = %(event_id)s and state = 'received'"""

_QUARANTINE: LiteralString = """
update inbox set state = 'quarantined', last_error = %(error)s
where tenant = %(tenant)s and endpoint = %(endpoint)s and event_id = %(event_id)s and state = 'received'
returning run_id"""

_DRIVE_AGAIN: LiteralString = """
update inbox set state = 'received', attempts = 0, next_attempt_at = now()
where tenant = %(tenant)s and state = 'quarantined' and (%(run_id)s::text is null or run_id = %(run_id)s)
returning run_id"""

_ENTRIES: LiteralString = """
select tenant, endpoint, event_id, agent, run_id, state, attempts, last_error,
    to_char(received_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as received_at,
    to_char(started_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as started_at
from inbox
where tenant = %(tenant)s and (%(state)s::text is null or state = %(state)s)
order by received_at desc, event_id
limit %(most)s"""


async def accept(store: Database, arrival: Arrival) -> Acceptance:
    """Store an event unless it is there already. Committed when this returns.

    Of any number of concurrent deliveries one is stored: the others wait for its commit on the primary key.

    Raises:
        StoreDown: whether the row was stored is not known; the sender delivers again.
    """
    event = arrival.event
    digest = event.body_digest
    values = {
        "tenant": arrival.tenant,
        "endpoint": arrival.endpoint,
        "event_id": event.key,
        "body_digest": digest,
        "event": canonical_bytes(event).decode(),
        "agent": arrival.agent,
        "run_id": arrival.run_id,
        "on_behalf_of": arrival.on_behalf_of,
    }
    async with store.tenant(arrival.tenant) as cursor:
        await cursor.execute(_INSERT, values)
        if await cursor.fetchone() is not None:
            return Stored(run_id=arrival.run_id)
        await cursor.execute(_STORED_BEFORE, values)
        before = await cursor.fetchone()
        if before is None:
            msg = "an inbox row vanished: rows are never deleted"
            raise RuntimeError(msg)
        if before["body_digest"] == digest:
            return Duplicate(run_id=before["run_id"])
        await _raise_alarm(
            cursor,
            arrival.tenant,
            "event_conflict",
            f"{arrival.endpoint} {event.key}",
            {"accepted": before["body_digest"], "received": digest, "run_id": before["run_id"]},
        )
        return Conflict(run_id=before["run_id"], received=digest)


async def is_reachable(store: Database) -> None:
    """Return when the inbox can be read. Raises StoreDown."""
    async with store.everywhere() as cursor:
        await cursor.execute("select 1 from inbox limit 0")


async def claim(store: Database, *, most: int, lease_s: float) -> list[WaitingRow]:
    """Take rows that are due, as the dispatch role: nobody else takes them before the lease ends.

    A dispatcher that dies leaves its rows to others after the lease; starting a run twice is harmless.
    """
    async with store.everywhere() as cursor:
        await cursor.execute(_CLAIM, {"most": most, "lease_s": lease_s})
        return [WaitingRow(**row) for row in await cursor.fetchall()]


async def mark_started(store: Database, row: WaitingRow) -> None:
    """Record, as the dispatch role, that the run of a row exists."""
    async with store.everywhere() as cursor:
        await cursor.execute(_STARTED, _key(row))


async def postpone(store: Database, row: WaitingRow, *, delay_s: float, error: str) -> None:
    """Put a row back, as the dispatch role, to be claimed again after `delay_s`."""
    async with store.everywhere() as cursor:
        await cursor.execute(_POSTPONE, {**_key(row), "delay_s": delay_s, "error": error[:_ERROR_CHARACTERS]})


async def quarantine(store: Database, row: WaitingRow, *, error: str) -> None:
    """Set a row aside for a person, with an alarm, as the application role: trying again by itself is useless."""
    async with store.tenant(row.tenant) as cursor:
        await cursor.execute(_QUARANTINE, {**_key(row), "error": error[:_ERROR_CHARACTERS]})
        if await cursor.fetchone() is not None:
            detail = {"run_id": row.run_id, "error": error[:_ERROR_CHARACTERS]}
            subject = f"{row.endpoint} {row.event_id}"
            await _raise_alarm(cursor, row.tenant, "event_quarantined", subject, detail)


async def drive_again(store: Database, tenant: str, run_id: str | None) -> list[str]:
    """Give quarantined rows of a tenant (that of one run, or all) back to the dispatcher; returns their run ids."""
    async with store.tenant(tenant) as cursor:
        await cursor.execute(_DRIVE_AGAIN, {"tenant": tenant, "run_id": run_id})
        return [row["run_id"] for row in await cursor.fetchall()]


async def entries(store: Database, tenant: str, *, state: InboxState | None, most: int) -> list[InboxEntry]:
    """The newest rows of a tenant, without content."""
    async with store.tenant(tenant) as cursor:
        await cursor.execute(_ENTRIES, {"tenant": tenant, "state": state, "most": most})
        return [InboxEntry(**row) for row in await cursor.fetchall()]


def _key(row: WaitingRow) -> dict[str, object]:
    return {"tenant": row.tenant, "endpoint": row.endpoint, "event_id": row.event_id}


async def _raise_alarm(
    cursor: AsyncCursor[DictRow], tenant: str, kind: str, subject: str, detail: dict[str, str]
) -> None:
    await cursor.execute(
        _ALARM,
        {
            "tenant": tenant,
            "kind": kind,
            "subject": subject,
            "detail": json.dumps(detail),
            "most": _ALARMS_PER_EVENT_AND_DAY,
        },
    )
