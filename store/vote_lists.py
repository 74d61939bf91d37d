"""What people decided, newest first: the history of a person, of a verdict, or of all."""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Record
from contracts.vote import Verdict, VoteRefusal
from store.approval_lists import MAX_PAGE
from store.endings import ENDING, Ending
from store.list_cursors import page_of, read_cursor

__all__ = ["DecisionLine", "DecisionPage", "DecisionQuery", "list_decisions"]

_ORDER = "decisions"


class DecisionLine(Record):
    """A vote, and the request that it is on."""

    decision_id: str
    person: str
    display_name: str
    verdict: Verdict
    reason: str
    answer: Literal["pending", "accepted", "refused"]
    """What the run has said to the vote."""
    refusal: VoteRefusal | None
    cast_at: datetime
    request_id: str
    run_id: str
    agent: str
    tool: str
    tier: int
    resource_type: str
    resource_id: str
    money_minor: int | None
    """Amount moved in minor units."""
    currency: str | None
    state: Literal["open", "granted", "denied", "expired", "voided"]
    """What became of the request."""
    ending: Ending | None = None
    """Of a void one."""


class DecisionQuery(Record):
    """Which votes to list."""

    person: str = Field(default="", max_length=200)
    """Whose; empty: everybody's."""
    verdict: Verdict | None = None
    after: str = Field(default="", max_length=300)
    """`DecisionPage.next` of the page before."""
    before: str = Field(default="", max_length=300)
    """`DecisionPage.previous` of the page after."""
    limit: int = Field(default=25, ge=1, le=MAX_PAGE)


class DecisionPage(Record):
    """A page of votes, newest first."""

    lines: tuple[DecisionLine, ...]
    next: str
    """Cursor of the next page, for `after`; empty on the last."""
    previous: str = ""
    """Cursor of the page before, for `before`; empty on the first."""


# The votes of the page first, then their requests: each one found by its key.
_PAGE: LiteralString = (
    """
    with page as materialized (
        select v.* from votes v where v.tenant = %(tenant)s {where} order by v.cast_at {way}, v.decision_id {way}
        limit %(rows)s
    )
    select v.decision_id, v.person, v.display_name, v.verdict, v.reason, v.state as answer,
        nullif(v.refusal, '') as refusal, v.cast_at, r.request_id, r.run_id, r.agent, r.tool, r.tier, r.resource_type,
        r.resource_id, r.money_minor, r.currency,
        case when r.state = 'open' and r.expires_at <= now() then 'expired' else r.state end as state,
    """  # noqa: S608 - of constants alone
    + ENDING
    + """
    from page v join approval_requests r on r.tenant = v.tenant and r.request_id = v.request_id
    order by v.cast_at {way}, v.decision_id {way}
"""
)


async def list_decisions(cursor: AsyncCursor[DictRow], tenant: str, query: DecisionQuery) -> DecisionPage:
    """A page of the tenant's votes.

    Raises:
        ValueError: `query.after` or `query.before` is not a cursor of this list.
    """
    backwards = bool(query.before)
    where: LiteralString = " and v.person = %(person)s" if query.person else ""
    where += " and v.verdict = %(verdict)s" if query.verdict else ""
    # Null cannot stand in Postgres's text, and so in no name.
    person = query.person.replace("\x00", "\ufffd")
    params: dict[str, object] = {
        "tenant": tenant,
        "person": person,
        "verdict": query.verdict.value if query.verdict else "",
        "rows": query.limit + 1,
    }
    if query.after or query.before:
        place = read_cursor(query.before or query.after, _ORDER, "time")
        params |= {"key": place.key, "id": place.row_id}
        where += " and (v.cast_at, v.decision_id) " + (">" if backwards else "<") + " (%(key)s, %(id)s)"
    # A plan for this limit: the general one would sort everything.
    await cursor.execute("set local plan_cache_mode = force_custom_plan")
    await cursor.execute(_PAGE.format(where=where, way="asc" if backwards else "desc"), params)
    page = page_of(
        await cursor.fetchall(),
        _ORDER,
        ("cast_at", "decision_id"),
        limit=query.limit,
        after=query.after,
        before=query.before,
    )
    lines = tuple(DecisionLine.model_validate(row) for row in page.rows)
    return DecisionPage(lines=lines, next=page.next, previous=page.previous)
