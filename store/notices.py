"""Which notices were sent through which channel: so that a repetition tells nobody twice."""

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.notice import NoticeKind

__all__ = ["note_sent", "sent_through"]


async def sent_through(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, kind: NoticeKind) -> set[str]:
    """Channels that took the notice."""
    await cursor.execute(
        "select channel from notices where tenant = %s and request_id = %s and kind = %s",
        (tenant, request_id, kind.value),
    )
    return {row["channel"] for row in await cursor.fetchall()}


async def note_sent(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, kind: NoticeKind, channel: str) -> None:
    """Remember that a channel took it."""
    await cursor.execute(
        """insert into notices (tenant, request_id, kind, channel) values (%s, %s, %s, %s)
           on conflict (tenant, request_id, kind, channel) do nothing""",
        (tenant, request_id, kind.value, channel),
    )
