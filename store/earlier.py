"""Requests that were made before about the same call, with what people decided then."""

from datetime import datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.base import Record
from contracts.vote import Verdict
from store.approvals import StoredRequest

__all__ = ["EarlierRequest", "EarlierVote", "earlier_requests"]

_MOST = 10


class EarlierVote(Record):
    """A decision that the run counted."""

    display_name: str
    verdict: Verdict
    reason: str


class EarlierRequest(Record):
    """A question that was asked before."""

    request_id: str
    state: Literal["open", "granted", "denied", "expired", "voided"]
    opened_at: datetime
    votes: tuple[EarlierVote, ...]


async def earlier_requests(cursor: AsyncCursor[DictRow], request: StoredRequest) -> tuple[EarlierRequest, ...]:
    """Of the same step and call of the run, newest first."""
    if request.visit == 1:
        return ()
    await cursor.execute(
        """select r.request_id, r.state, r.opened_at, coalesce((
                   select json_agg(json_build_object('display_name', v.display_name, 'verdict', v.verdict,
                       'reason', v.reason) order by v.cast_at)
                   from votes v
                   where v.tenant = r.tenant and v.request_id = r.request_id and v.state = 'accepted'), '[]') as votes
           from approval_requests r
           where r.tenant = %s and r.run_id = %s and r.step = %s and r.call = %s and r.visit < %s
           order by r.visit desc limit %s""",
        (request.tenant, request.run_id, request.step, request.call, request.visit, _MOST),
    )
    return tuple(EarlierRequest.model_validate(row) for row in await cursor.fetchall())
