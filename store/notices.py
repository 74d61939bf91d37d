"""Which notices were sent through which channel: so that a repetition tells nobody twice."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.notice import NoticeKind
from store.database import Database

__all__ = ["Told", "note_sent", "sent_through", "telling_alone"]


class Told(Record):
    """What is told once through each channel."""

    tenant: str
    about: str
    """A request, or a standing approval."""
    kind: NoticeKind
    escalated_to: str = ""
    """Of an escalation the group that may decide from then on."""


async def sent_through(cursor: AsyncCursor[DictRow], told: Told) -> set[str]:
    """Channels that took the notice."""
    await cursor.execute(
        """select channel from notices where tenant = %(tenant)s and request_id = %(about)s and kind = %(kind)s
               and escalated_to = %(escalated_to)s""",
        told.model_dump(),
    )
    return {row["channel"] for row in await cursor.fetchall()}


async def note_sent(cursor: AsyncCursor[DictRow], told: Told, channel: str) -> None:
    """Remember that a channel took it."""
    await cursor.execute(
        """insert into notices (tenant, request_id, kind, escalated_to, channel)
           values (%(tenant)s, %(about)s, %(kind)s, %(escalated_to)s, %(channel)s) on conflict do nothing""",
        {**told.model_dump(), "channel": channel},
    )


@asynccontextmanager
async def telling_alone(db: Database, tenant: str) -> AsyncGenerator[bool]:
    """Whether it is this process that tells what no run tells: two sweepers at once would tell people twice."""
    async with db.tenant(tenant) as cursor:
        await cursor.execute("select pg_try_advisory_xact_lock(hashtext('notices ' || %s)) as mine", (tenant,))
        row = await cursor.fetchone()
        yield bool(row and row["mine"])
