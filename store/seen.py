"""Pages as approvers saw them: each rendering once, under its digest, which the votes on it carry."""

from datetime import datetime
from typing import LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.canonical import digest_bytes

__all__ = ["SeenPage", "keep_page", "seen_pages", "standing_pages"]

MAX_LISTED = 20
_OF_REQUEST: LiteralString = "votes where request_id = %(about)s"
_OF_STANDING: LiteralString = "standing_votes where standing_id = %(about)s"


class SeenPage(Record):
    """One rendering on which somebody decided."""

    digest: str
    """What the votes carry as `seen`."""
    body: str
    """HTML with its style sheets, byte for byte."""
    kept_at: datetime
    seen_by: tuple[str, ...]
    """Persons who decided this request on it."""

    def is_intact(self) -> bool:
        """Whether these are the bytes that the votes were signed over."""
        return digest_bytes(self.body.encode()) == self.digest


async def keep_page(cursor: AsyncCursor[DictRow], tenant: str, body: str) -> None:
    """Keep a rendering, once: also of a page on which several requests were decided."""
    await cursor.execute(
        "insert into seen_pages (tenant, digest, body) values (%s, %s, %s) on conflict do nothing",
        (tenant, digest_bytes(body.encode()), body),
    )


async def seen_pages(cursor: AsyncCursor[DictRow], tenant: str, request_id: str) -> tuple[SeenPage, ...]:
    """The renderings on which people decided a request, oldest first."""
    return await _pages(cursor, _OF_REQUEST, tenant, request_id)


async def standing_pages(cursor: AsyncCursor[DictRow], tenant: str, standing_id: str) -> tuple[SeenPage, ...]:
    """The renderings on which people decided a standing approval, oldest first."""
    return await _pages(cursor, _OF_STANDING, tenant, standing_id)


async def _pages(cursor: AsyncCursor[DictRow], votes: LiteralString, tenant: str, about: str) -> tuple[SeenPage, ...]:
    await cursor.execute(
        f"""select p.digest, p.body, p.kept_at, v.seen_by
            from (select seen, array_agg(distinct person order by person) as seen_by from {votes}
                  and tenant = %(tenant)s and seen <> '' group by seen) v
            join seen_pages p on p.tenant = %(tenant)s and p.digest = v.seen
            order by p.kept_at, p.digest limit %(most)s""",  # noqa: S608 - our own two
        {"tenant": tenant, "about": about, "most": MAX_LISTED},
    )
    return tuple(SeenPage.model_validate(row) for row in await cursor.fetchall())
