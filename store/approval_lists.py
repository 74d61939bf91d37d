"""Lists of approval requests, page by page, for one reader."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Record
from contracts.decision import Requirement

__all__ = ["RequestLine", "RequestPage", "RequestQuery", "list_requests"]

MAX_PAGE = 100


class RequestLine(Record):
    """A request in a list: without its view, which may be long."""

    request_id: str
    run_id: str
    agent: str
    tool: str
    tier: int
    resource_type: str | None
    resource_id: str | None
    money_minor: int | None
    """Amount moved in minor units."""
    currency: str | None
    requirement: Requirement
    approvals: int
    """Approvals that the run has counted."""
    voted: bool
    """Whether the reader has a vote on it that is not refused."""
    state: str
    opened_at: datetime
    sla_at: datetime
    expires_at: datetime
    closed_at: datetime | None


class RequestQuery(Record):
    """Which requests to list, for whom."""

    state: Literal["open", "history"] = "open"
    scope: Literal["mine", "groups", "all"] = "mine"
    """`mine`: open ones that the reader may decide, or past ones with their vote; `groups`: of the reader's groups."""
    person: str
    """The reader."""
    username: str
    groups: tuple[str, ...]
    """The reader's groups."""
    after: str = Field(default="", max_length=200)
    """`RequestPage.next` of the page before."""
    limit: int = Field(default=25, ge=1, le=MAX_PAGE)


class RequestPage(Record):
    """A page of requests: open ones by expiry, soonest first; past ones by opening, newest first."""

    lines: tuple[RequestLine, ...]
    next: str
    """Cursor of the next page; empty on the last."""


_LINE: LiteralString = """
    select r.request_id, r.run_id, r.agent, r.tool, r.tier, v.resource_type, v.resource_id, v.money_minor, v.currency,
        r.requirement::jsonb as requirement, r.state, r.opened_at, r.sla_at, r.expires_at, r.closed_at,
        (select count(*) from votes o where o.tenant = r.tenant and o.request_id = r.request_id
            and o.state = 'accepted' and o.verdict = 'approve') as approvals,
        exists (select from votes m where m.tenant = r.tenant and m.request_id = r.request_id
            and m.person = %(person)s and m.state <> 'refused') as voted
    from approval_requests r
        cross join lateral jsonb_to_record(r.view::jsonb)
            as v(resource_type text, resource_id text, money_minor bigint, currency text)
    where r.tenant = %(tenant)s
"""
_OF_MY_GROUPS: LiteralString = """ and exists (select from jsonb_array_elements(r.requirement::jsonb -> 'needs') need
    where need ->> 'group' = any(%(groups)s))"""
_FOR_ME: LiteralString = """ and not r.interested::jsonb ?| array[%(person)s, %(username)s]
    and not exists (select from votes m where m.tenant = r.tenant and m.request_id = r.request_id
        and m.person = %(person)s and m.state <> 'refused')"""
_VOTED: LiteralString = """ and exists (select from votes m where m.tenant = r.tenant
    and m.request_id = r.request_id and m.person = %(person)s)"""
_OPEN_AFTER: LiteralString = " and (r.expires_at, r.request_id) > (%(at)s, %(id)s)"
_PAST_AFTER: LiteralString = " and (r.opened_at < %(at)s or (r.opened_at = %(at)s and r.request_id > %(id)s))"
_SCOPES: dict[tuple[str, str], LiteralString] = {
    ("open", "mine"): _OF_MY_GROUPS + _FOR_ME,
    ("open", "groups"): _OF_MY_GROUPS,
    ("open", "all"): "",
    ("history", "mine"): _VOTED,
    ("history", "groups"): _OF_MY_GROUPS,
    ("history", "all"): "",
}


async def list_requests(cursor: AsyncCursor[DictRow], tenant: str, query: RequestQuery) -> RequestPage:
    """A page of the tenant's requests.

    Raises:
        ValueError: `query.after` is not a cursor of this list.
    """
    is_open = query.state == "open"
    where = (
        " and r.state = 'open' and r.expires_at > now()"
        if is_open
        else " and (r.state <> 'open' or r.expires_at <= now())"
    ) + _SCOPES[query.state, query.scope]
    at, last = _read_cursor(query.after) if query.after else (None, "")
    if at is not None:
        where += _OPEN_AFTER if is_open else _PAST_AFTER
    order: LiteralString = (
        " order by r.expires_at, r.request_id" if is_open else " order by r.opened_at desc, r.request_id"
    )
    await cursor.execute(
        _LINE + where + order + " limit %(rows)s",
        {
            "tenant": tenant,
            "person": query.person,
            "username": query.username,
            "groups": list(query.groups),
            "at": at,
            "id": last,
            "rows": query.limit + 1,
        },
    )
    rows = await cursor.fetchall()
    lines = tuple(RequestLine.model_validate(row) for row in rows[: query.limit])
    if len(rows) <= query.limit:
        return RequestPage(lines=lines, next="")
    end = lines[-1]
    return RequestPage(lines=lines, next=_write_cursor(end.expires_at if is_open else end.opened_at, end.request_id))


def _write_cursor(at: datetime, request_id: str) -> str:
    return base64.urlsafe_b64encode(f"{at.astimezone(UTC).isoformat()} {request_id}".encode()).decode()


def _read_cursor(text: str) -> tuple[datetime, str]:
    try:
        at, request_id = base64.urlsafe_b64decode(text).decode().split(" ")
        return datetime.fromisoformat(at), request_id
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError("this page's address is damaged: start again from the first page") from None
