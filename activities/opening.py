"""Opening an approval request: once for a visit, together with its entry in the run's audit chain."""

from typing import cast

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from activities.engine import Engine
from activities.moments import request_moments
from contracts.agent import ApprovalTimes
from contracts.approval import ApprovalBasis, ApprovalView
from contracts.audit import ApprovalAsked
from contracts.base import JsonObject
from store.accounts import persons_behind
from store.approvals import StoredRequest, open_request
from store.runs import append_audit

__all__ = ["open_and_record"]

Cursor = AsyncCursor[DictRow]


async def open_and_record(
    engine: Engine,
    cursor: Cursor,
    run: JsonObject,
    *,
    basis: ApprovalBasis,
    view: ApprovalView,
    visit: int,
    times: ApprovalTimes,
) -> StoredRequest:
    """Open a request that is not there yet. The caller has locked the run and looked for it."""
    moments = await request_moments(engine, cursor, basis.tenant, basis.requirement, times)
    interested = await persons_behind(cursor, basis.tenant, cast("list[str]", run["interested"]))
    stored = await open_request(
        cursor, basis=basis.model_copy(update={"escalations": moments.escalations}), view=view,
        visit=visit, interested=interested, times=moments,
    )  # fmt: skip
    entry = ApprovalAsked(
        request_id=stored.request_id,
        step=basis.step,
        call=basis.call,
        visit=visit,
        tool=basis.tool,
        digest=stored.digest,
        requirement=basis.requirement.id,
        policies=basis.policies,
    )
    await append_audit(cursor, basis.tenant, basis.run_id, "approval_asked", entry.model_dump_json())
    return stored
