"""Pages as approvers saw them: each rendering of a request once, under its digest."""

from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import digest_bytes

__all__ = ["SeenPage", "keep_page", "seen_pages"]

MAX_LISTED = 20


class SeenPage(Record):
    """One rendering on which somebody decided."""

    digest: str
    """What the votes carry as `seen`."""
    body: str
    """HTML with its style sheets, byte for byte."""
    kept_at: datetime
    seen_by: tuple[str, ...]
    """Persons who decided on it."""

    def is_intact(self) -> bool:
        """Whether these are the bytes that the votes were signed over."""
        return digest_bytes(self.body.encode()) == self.digest


async def keep_page(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, body: str) -> None:
    """Keep a rendering, once."""
    await cursor.execute(
        """insert into seen_pages (tenant, request_id, digest, body) values (%s, %s, %s, %s) on conflict do nothing""",
        (tenant, request_id, digest_bytes(body.encode()), body),
    )


async def seen_pages(cursor: AsyncCursor[DictRow], tenant: str, request_id: str) -> tuple[SeenPage, ...]:
    """The renderings on which people decided, oldest first."""
    await cursor.execute(
        """select p.digest, p.body, p.kept_at, array(
               select distinct v.person from votes v
               where v.tenant = p.tenant and v.request_id = p.request_id and v.seen = p.digest order by v.person
           ) as seen_by
           from seen_pages p where p.tenant = %s and p.request_id = %s order by p.kept_at, p.digest limit %s""",
        (tenant, request_id, MAX_LISTED),
    )
    return tuple(SeenPage.model_validate(row) for row in await cursor.fetchall())
