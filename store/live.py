"""What changed just now, for open pages: one listening connection a process."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow

from store.database import Database
from store.sessions import IDLE

__all__ = ["changed_requests", "live_sessions"]

_CHANNEL = "countersign_requests"


async def changed_requests(database: Database) -> AsyncGenerator[tuple[str, str] | None]:
    """Tenant and id of every request that changes, of every tenant, from now on. First None: listening has begun.

    Ends with what psycopg raises when the connection is lost: what changed until it is back is not told.
    """
    async with await AsyncConnection[DictRow].connect(
        database.url, autocommit=True, connect_timeout=5, application_name="countersign/live",
        options=f"-c role={database.role}",
    ) as connection:  # fmt: skip
        await connection.execute(f"listen {_CHANNEL}")
        yield None
        async with aclosing(connection.notifies()) as notifies:
            async for notify in notifies:
                tenant, _, request_id = notify.payload.partition(" ")
                yield tenant, request_id
    raise psycopg.OperationalError("the listening connection has ended")


async def live_sessions(cursor: AsyncCursor[DictRow], tenant: str, token_hashes: Sequence[bytes]) -> set[bytes]:
    """Which of these sessions of the tenant still hold and may look. Asking does not keep them from idling out."""
    await cursor.execute(
        """select s.token_hash from sessions s join accounts a on a.tenant = s.tenant and a.username = s.username
           where s.tenant = %s and s.token_hash = any(%s) and s.expires_at > now() and s.last_seen_at > now() - %s
               and not a.disabled and 'view' = any(a.roles)""",
        (tenant, list(token_hashes), IDLE),
    )
    return {bytes(row["token_hash"]) for row in await cursor.fetchall()}
