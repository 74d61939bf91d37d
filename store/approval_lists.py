"""Lists of approval requests for one reader, page by page in both directions, and how many are open.

Two shapes of query, so that no list reads more than a bounded number of rows however many requests there are: what a
search or the reader's groups find is gathered when it is little and sorted; else the list's own index is walked, where
matches are then dense.
"""

from datetime import datetime
from typing import Literal, LiteralString

from psycopg import AsyncCursor
from psycopg.rows import DictRow
from pydantic import Field

from contracts.base import Record
from contracts.decision import Requirement
from store.endings import ENDING, Ending
from store.list_cursors import KeyKind, page_of, read_cursor

__all__ = [
    "MAX_FOUND",
    "Counts",
    "Outcome",
    "Reader",
    "RequestLine",
    "RequestPage",
    "RequestQuery",
    "Sort",
    "count_open",
    "list_requests",
]

MAX_PAGE = 100
MAX_FOUND = 1_000
"""Matches of a search that are looked through, and up to which requests are counted."""
MAX_WORDS = 6
"""Words of a search; the others are left out."""
_FEW = 200
"""What a scope has up to here is gathered; of more, an index that is walked meets a page's worth soon."""

Sort = Literal["sla", "age", "risk"]
Outcome = Literal["granted", "denied", "expired", "voided"]


class Reader(Record):
    """Whose list it is. A machine has no name and no groups: nothing is `mine`."""

    person: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    may_decide: bool = True
    """Who may only look has no requests of their own."""


class RequestLine(Record):
    """A request in a list: without its view, which may be long."""

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
    requirement: Requirement
    escalated_to: tuple[str, ...] = ()
    """Groups that may decide as well by now."""
    approvals: int
    """Approvals that the run has counted."""
    voted: bool
    """Whether the reader has a vote on it that is not refused."""
    state: Literal["open", "granted", "denied", "expired", "voided"]
    opened_at: datetime
    sla_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    ending: Ending | None = None
    """Of a void one."""


class RequestQuery(Record):
    """Which requests to list, for whom."""

    reader: Reader
    state: Literal["open", "history"] = "open"
    scope: Literal["mine", "groups", "all"] = "mine"
    """`mine`: open ones that the reader may decide, or past ones with their vote; `groups`: of the reader's groups."""
    sort: Sort = "sla"
    """Of open ones: the next due first, the oldest first, or the riskiest first. Past ones: the last ended first."""
    search: str = Field(default="", max_length=200)
    """Words, all of which a request must have: ids, tool, agent, target, requester, or the beginning of one."""
    outcome: Outcome | None = None
    """Of past ones: how they ended."""
    max_tier: int | None = Field(default=None, ge=0, le=4)
    """Only requests up to this risk tier."""
    after: str = Field(default="", max_length=300)
    """`RequestPage.next` of the page before."""
    before: str = Field(default="", max_length=300)
    """`RequestPage.previous` of the page after."""
    limit: int = Field(default=25, ge=1, le=MAX_PAGE)


class RequestPage(Record):
    """A page of requests."""

    lines: tuple[RequestLine, ...]
    next: str
    """Cursor of the next page, for `after`; empty on the last."""
    previous: str = ""
    """Cursor of the page before, for `before`; empty on the first."""
    is_cut: bool = False
    """Whether a search found more than it looks through: another word narrows it."""


class Counts(Record):
    """Open requests, each counted up to `MAX_FOUND`."""

    mine: int
    groups: int
    all: int


# All but the texts of a request, which are long: a row that is kept for sorting must be short.
_SHORT: LiteralString = """
    r.tenant, r.request_id, r.run_id, r.step, r.call, r.visit, r.agent, r.tool, r.tier, r.resource_type, r.resource_id,
    r.money_minor, r.currency, r.requirement, r.escalated_to, r.opened_at, r.sla_at, r.expires_at, r.closed_at, r.risk,
    r.ended_at, r.state"""
_LINE: LiteralString = (
    """
    select r.request_id, r.run_id, r.agent, r.tool, r.tier, r.resource_type, r.resource_id, r.money_minor, r.currency,
        r.requirement::jsonb as requirement, r.escalated_to, r.opened_at, r.sla_at, r.expires_at, r.closed_at,
        r.risk, r.ended_at,
        case when r.state = 'open' and r.expires_at <= now() then 'expired' else r.state end as state,
        (select count(*) from votes o where o.tenant = r.tenant and o.request_id = r.request_id
            and o.state = 'accepted' and o.verdict = 'approve') as approvals,
        exists (select from votes m where m.tenant = r.tenant and m.request_id = r.request_id
            and m.person = %(person)s and m.state <> 'refused') as voted,
    """  # noqa: S608 - of constants alone
    + ENDING
)
_OPEN: LiteralString = " and r.state = 'open' and r.expires_at > now()"
# What is closed has ended at its closing: this is the same as open and not expired, and stands in an index.
_UNENDED: LiteralString = " and r.ended_at > now()"
_ENDED: LiteralString = " and r.ended_at <= now()"
_OF_MY_GROUPS: LiteralString = " and r.groups && %(groups)s::text[]"
_UNDECIDED: LiteralString = """
    and not lower(r.interested)::jsonb ?| (array[lower(%(person)s), lower(%(username)s)] || %(groups)s::text[])
    and not exists (select from votes m where m.tenant = r.tenant and m.request_id = r.request_id
        and %(person)s in (m.person, m.for_person) and m.state <> 'refused')"""
_VOTED: LiteralString = """ and exists (select from votes m where m.tenant = r.tenant
    and m.request_id = r.request_id and m.person = %(person)s)"""
_SCOPES: dict[tuple[str, str], LiteralString] = {
    ("open", "mine"): _OF_MY_GROUPS + _UNDECIDED,
    ("open", "groups"): _OF_MY_GROUPS,
    ("open", "all"): "",
    ("history", "mine"): _VOTED,
    ("history", "groups"): _OF_MY_GROUPS,
    ("history", "all"): "",
}
_OUTCOMES: dict[Outcome, LiteralString] = {
    "granted": " and r.state = 'granted'",
    "denied": " and r.state = 'denied'",
    # What the run has not yet written down as expired is over all the same.
    "expired": " and r.state in ('expired', 'open')",
    "voided": " and r.state = 'voided'",
}
# Name in cursors, column, whether it falls. Indexes of store/tables/approval.py have these orders.
_ORDERS: dict[str, tuple[LiteralString, KeyKind, bool]] = {
    "sla": ("sla_at", "time", False),
    "age": ("opened_at", "time", False),
    "risk": ("risk", "number", True),
    "ended": ("ended_at", "time", True),
}

_WALKED: LiteralString = " from approval_requests r where r.tenant = %(tenant)s"
# Materialized: the planner must not walk an ordered index in the hope of meeting the few requests that were found.
_GATHERED: LiteralString = """
    with found as materialized (
        select distinct f.request_id from ({terms}) f
    ), matched as materialized (
        select {short} from found join approval_requests r on r.tenant = %(tenant)s and r.request_id = found.request_id
        where true {where}
    )
"""
_STILL_OPEN: LiteralString = " and t.ended_at > now()"
_OVER: LiteralString = " and t.ended_at <= now()"
_TERMS_OF_GROUPS: LiteralString = """
    select t.request_id from approval_terms t
    where t.tenant = %(tenant)s and t.term = any(%(group_terms)s::text[])"""
_TERMS_OF_WORD: LiteralString = """
    select t.request_id from approval_terms t
    where t.tenant = %(tenant)s and t.term >= lower(%(word)s) and t.term < lower(%(word)s) || chr(1114111)"""
_TERMS_OF_VOTES: LiteralString = """
    select t.request_id from votes t where t.tenant = %(tenant)s and t.person = %(person)s"""
_HAS_OTHER_WORDS: LiteralString = """
    and not exists (select from unnest(%(others)s::text[]) o where not exists (
        select from approval_terms t where t.tenant = r.tenant and t.request_id = r.request_id
            and t.term >= lower(o) and t.term < lower(o) || chr(1114111)))"""
_NEWEST_FIRST: LiteralString = " order by t.term, t.ended_at desc limit %(found)s"
_OLDEST: LiteralString = """(select min(a.opened_at) from approval_requests a
    where a.tenant = %(tenant)s and a.state = 'open')"""
# From indexes alone: the requests themselves lie far apart. No vote on an open request is older than the oldest.
_COUNTED: LiteralString = """
    with found as materialized (
        select distinct f.request_id from ({terms}) f
    )
    select (select count(*) from found) as groups,
        (select count(*) from found where not exists (
                select from approval_terms i where i.tenant = %(tenant)s and i.term = any(%(barred_terms)s::text[])
                    and i.ended_at > now() and i.request_id = found.request_id)
            and not exists (select from votes m where m.tenant = %(tenant)s and m.person = %(person)s
                and m.cast_at >= {oldest} and m.request_id = found.request_id and m.state <> 'refused')
            and not exists (select from votes m where m.tenant = %(tenant)s and m.for_person = %(person)s
                and m.cast_at >= {oldest} and m.request_id = found.request_id and m.state <> 'refused'
                and m.for_person <> '')) as mine,
        (select count(*) from (
            select from approval_requests r where r.tenant = %(tenant)s {unended} limit %(found)s) o) as all"""


async def list_requests(cursor: AsyncCursor[DictRow], tenant: str, query: RequestQuery) -> RequestPage:
    """A page of the tenant's requests.

    Raises:
        ValueError: `query.after` or `query.before` is not a cursor of this list.
    """
    if (query.state, query.scope) == ("open", "mine") and not query.reader.may_decide:
        return RequestPage(lines=(), next="")
    order = query.sort if query.state == "open" else "ended"
    column, kind, falls = _ORDERS[order]
    backwards = bool(query.before)
    params = _parameters(tenant, query.reader) | {"rows": query.limit + 1}
    where = _SCOPES[query.state, query.scope]
    if query.outcome and query.state == "history":
        where += _OUTCOMES[query.outcome]
    if query.max_tier is not None:
        where += " and r.tier <= %(max_tier)s"
        params |= {"max_tier": query.max_tier}
    if query.after or query.before:
        place = read_cursor(query.before or query.after, order, kind)
        params |= {"key": place.key, "id": place.row_id}
        sign: LiteralString = " < " if falls is not backwards else " > "
        where += " and (r." + column + ", r.request_id)" + sign + "(%(key)s, %(id)s)"
    way: LiteralString = " desc" if falls is not backwards else " asc"
    tail: LiteralString = " order by r." + column + way + ", r.request_id" + way + " limit %(rows)s"
    # A plan for these values: how many rows a group, a word or a limit means is the whole question here.
    await cursor.execute("set local plan_cache_mode = force_custom_plan")
    source, is_cut = await _source(cursor, query, params, where)
    await cursor.execute(source + tail, params)
    page = page_of(
        await cursor.fetchall(),
        order,
        (column, "request_id"),
        limit=query.limit,
        after=query.after,
        before=query.before,
    )
    return RequestPage(
        lines=tuple(_line(row) for row in page.rows), next=page.next, previous=page.previous, is_cut=is_cut
    )


async def count_open(cursor: AsyncCursor[DictRow], tenant: str, reader: Reader) -> Counts:
    """Open requests: the reader's, their groups', all."""
    await cursor.execute("set local plan_cache_mode = force_custom_plan")
    terms = _TERMS_OF_GROUPS + _STILL_OPEN + " limit %(found)s"
    counting = _COUNTED.format(terms=terms, oldest=_OLDEST, unended=_UNENDED)
    await cursor.execute(counting, _parameters(tenant, reader))
    row = await cursor.fetchone()
    counts = Counts.model_validate(row)
    return counts if reader.may_decide else counts.model_copy(update={"mine": 0})


async def _source(
    cursor: AsyncCursor[DictRow], query: RequestQuery, params: dict[str, object], where: LiteralString
) -> tuple[LiteralString, bool]:
    """The rows to choose from, and whether a search was cut."""
    is_open = query.state == "open"
    time: LiteralString = _STILL_OPEN if is_open else _OVER
    words = _words(query.search)
    if words:
        counted = [(await _count(cursor, _TERMS_OF_WORD + time, params | {"word": word}), word) for word in words]
        number, rarest = min(counted)
        params |= {"word": rarest, "others": [word for word in words if word != rarest]}
        return _gathered(_TERMS_OF_WORD + time + _NEWEST_FIRST, where + _HAS_OTHER_WORDS, is_open), number > MAX_FOUND
    if query.scope != "all":
        is_voted = (query.state, query.scope) == ("history", "mine")
        terms = _TERMS_OF_VOTES if is_voted else _TERMS_OF_GROUPS + time
        if await _count(cursor, terms, params | {"found": _FEW + 1}) <= _FEW:
            return _gathered(terms, where, is_open), False
    # Row-level security hides from the planner how many match: it would read them all to sort them.
    await cursor.execute("set local enable_sort = off")
    return _LINE + _WALKED + (_OPEN if is_open else _ENDED) + where, False


def _gathered(terms: LiteralString, where: LiteralString, is_open: bool) -> LiteralString:  # noqa: FBT001 - one of two states
    # The state is looked at last: a condition of the partial indexes would lead the planner away from the primary key.
    source = _GATHERED.format(short=_SHORT, terms=terms, where=(_UNENDED if is_open else _ENDED) + where) + _LINE
    return source + (" from matched r where r.state = 'open'" if is_open else " from matched r where true")


async def _count(cursor: AsyncCursor[DictRow], terms: LiteralString, params: dict[str, object]) -> int:
    """How many terms there are, as far as it matters."""
    await cursor.execute("select count(*) as n from (" + terms + " limit %(found)s) counted", params)  # noqa: S608 - of constants of this file
    row = await cursor.fetchone()
    return int(row["n"]) if row else 0


def _parameters(tenant: str, reader: Reader) -> dict[str, object]:
    return {
        "tenant": tenant,
        "person": reader.person,
        "username": reader.username,
        "groups": list(reader.groups),
        "group_terms": [f"group:{group}" for group in reader.groups],
        "barred_terms": [f"!{name.lower()}" for name in (reader.person, reader.username, *reader.groups)],
        "found": MAX_FOUND + 1,
    }


def _words(search: str) -> tuple[str, ...]:
    """The words of a search, each once. Null cannot stand in Postgres's text, and so in no request."""
    return tuple(dict.fromkeys(search.replace("\x00", " ").split()))[:MAX_WORDS]


def _line(row: DictRow) -> RequestLine:
    return RequestLine.model_validate({name: row[name] for name in RequestLine.model_fields})
