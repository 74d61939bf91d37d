"""Approval requests: opened and settled by the run's activities, read by the form."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from contracts.agent import ApprovalTimes
from contracts.approval import ApprovalBasis, ApprovalView, Moments
from contracts.base import Record
from contracts.canonical import canonical_bytes, digest, digest_bytes, opaque_id
from contracts.decision import Requirement
from contracts.run_activities import ApprovalOpened, ApprovalState
from contracts.vote import Verdict

__all__ = [
    "StoredRequest",
    "find_request",
    "find_requests",
    "note_escalation",
    "open_request",
    "request_id_for",
    "settle_request",
    "store_now",
]


class StoredRequest(Record):
    """An approval request as stored. `basis` and `view` are the exact canonical texts that the digests are over."""

    tenant: str
    request_id: str
    run_id: str
    step: int
    call: int
    visit: int
    agent: str
    tool: str
    tier: int
    digest: str
    """Digest of `basis`: what a vote is bound to."""
    basis: str
    view: str
    requirement: Requirement
    interested: tuple[str, ...]
    """Persons who may not vote."""
    escalated_to: tuple[str, ...] = ()
    """Groups that the run has escalated it to so far."""
    state: Literal["open", "granted", "denied", "expired", "voided"]
    opened_at: datetime
    sla_at: datetime
    expires_at: datetime
    closed_at: datetime | None
    read_at: datetime
    """The store's time when this was read: what "now" is for everything that is decided on it."""

    def is_intact(self) -> bool:
        """Whether the digests still hold: what is shown is what the run asked, and what a vote would be bound to."""
        basis = self.read_basis
        return basis is not None and (
            digest_bytes(self.basis.encode()) == self.digest
            and digest_bytes(self.view.encode()) == basis.view_digest
            and basis.requirement == self.requirement
            and (basis.tenant, basis.run_id) == (self.tenant, self.run_id)
        )

    @property
    def read_basis(self) -> ApprovalBasis | None:
        """The basis; None where it is damaged."""
        try:
            return ApprovalBasis.model_validate_json(self.basis)
        except ValueError:
            return None

    def opened(self) -> ApprovalOpened:
        """What the run keeps of it, and what votes are judged by. Of a damaged basis: nobody else may decide."""
        basis = self.read_basis
        return ApprovalOpened(
            request_id=self.request_id,
            digest=self.digest,
            requirement=self.requirement,
            tier=self.tier,
            opened_at=int(self.opened_at.timestamp()),
            sla_at=int(self.sla_at.timestamp()),
            expires_at=int(self.expires_at.timestamp()),
            escalations=basis.escalations if basis else (),
            choices=basis.choices if basis else (Verdict.DENY, Verdict.HAND_OVER),
            editors=basis.editors if basis else (),
            interested=self.interested,
        )


def request_id_for(basis: ApprovalBasis, visit: int) -> str:
    """The id of the request that a visit opens: the same however often the activity runs."""
    return opaque_id("apr", basis.tenant, basis.run_id, basis.step, basis.call, visit)


async def open_request(
    cursor: AsyncCursor[DictRow],
    *,
    basis: ApprovalBasis,
    view: ApprovalView,
    visit: int,
    interested: tuple[str, ...],
    times: ApprovalTimes | Moments,
) -> StoredRequest:
    """Insert the request of this visit, or return the one that is there: its view, digest and times stay the first.

    `times` count from now, or are moments that were computed in this transaction from `store_now`.

    Raises:
        ValueError: the basis is not over this view.
    """
    text = canonical_bytes(view).decode()
    if basis.view_digest != digest_bytes(text.encode()):
        raise ValueError("the basis must carry the digest of the view that is stored")
    now = await store_now(cursor)
    if isinstance(times, ApprovalTimes):
        times = Moments(opened_at=now, sla_at=now + times.sla_s, expires_at=now + times.expires_s)
    await cursor.execute(
        """insert into approval_requests (tenant, request_id, run_id, step, call, visit, agent, tool, tier, digest,
               basis, view, requirement, interested, opened_at, sla_at, expires_at)
           values (%(tenant)s, %(request_id)s, %(run_id)s, %(step)s, %(call)s, %(visit)s, %(agent)s, %(tool)s, %(tier)s,
               %(digest)s, %(basis)s, %(view)s, %(requirement)s, %(interested)s, now(), %(sla_at)s, %(expires_at)s)
           on conflict (tenant, run_id, step, call, visit) do nothing""",
        {
            "tenant": basis.tenant,
            "request_id": request_id_for(basis, visit),
            "run_id": basis.run_id,
            "step": basis.step,
            "call": basis.call,
            "visit": visit,
            "agent": view.agent,
            "tool": basis.tool,
            "tier": view.tier,
            "digest": digest(basis),
            "basis": canonical_bytes(basis).decode(),
            "view": text,
            "requirement": canonical_bytes(basis.requirement).decode(),
            "interested": json.dumps(interested),
            "sla_at": datetime.fromtimestamp(times.sla_at, UTC),
            "expires_at": datetime.fromtimestamp(times.expires_at, UTC),
        },
    )
    stored = await find_request(cursor, basis.tenant, request_id_for(basis, visit))
    if stored is None:
        raise RuntimeError("a request that was just inserted cannot be read: is the transaction of another tenant?")
    return stored


async def store_now(cursor: AsyncCursor[DictRow]) -> int:
    """The transaction's time, in Unix seconds: what `opened_at` will be."""
    await cursor.execute("select floor(extract(epoch from now()))::bigint as now_s")
    row = await cursor.fetchone()
    return int(row["now_s"]) if row else 0


async def note_escalation(cursor: AsyncCursor[DictRow], tenant: str, request_id: str, group: str) -> bool:
    """Keep that this group may decide as well, so that its lists show it. False: it is closed, or was noted."""
    await cursor.execute(
        """update approval_requests set escalated_to = array_append(escalated_to, %(group)s::text)
           where tenant = %(tenant)s and request_id = %(id)s and state = 'open'
               and not %(group)s = any(escalated_to)""",
        {"tenant": tenant, "id": request_id, "group": group},
    )
    return cursor.rowcount == 1


async def find_request(cursor: AsyncCursor[DictRow], tenant: str, request_id: str) -> StoredRequest | None:
    """One request of the tenant, or None."""
    return next(iter(await find_requests(cursor, tenant, [request_id])), None)


async def find_requests(
    cursor: AsyncCursor[DictRow], tenant: str, request_ids: Sequence[str]
) -> tuple[StoredRequest, ...]:
    """Those of the tenant that there are, in the order in which they were named."""
    await cursor.execute(
        """select tenant, request_id, run_id, step, call, visit, agent, tool, tier, digest, basis, view,
               requirement::jsonb as requirement, interested::jsonb as interested, escalated_to, state, opened_at,
               sla_at, expires_at, closed_at, now() as read_at
           from approval_requests where tenant = %s and request_id = any(%s) limit %s""",
        (tenant, list(request_ids), len(request_ids)),
    )
    found = {row["request_id"]: StoredRequest.model_validate(row) for row in await cursor.fetchall()}
    return tuple(found[request_id] for request_id in request_ids if request_id in found)


async def settle_request(
    cursor: AsyncCursor[DictRow], *, tenant: str, request_id: str, state: ApprovalState, decision_ids: tuple[str, ...]
) -> ApprovalState | None:
    """Close the request and mark the votes that the run counted; again is harmless, and the first state stays.

    Returns the state that it has now, or None when there is no such request.
    """
    await cursor.execute(
        """update approval_requests set state = %s, closed_at = now()
           where tenant = %s and request_id = %s and state = 'open'""",
        (state, tenant, request_id),
    )
    # The run may end before the dispatcher can ask it: its own word on what it counted is kept here.
    await cursor.execute(
        """update votes set state = 'accepted', settled_at = now()
           where tenant = %s and request_id = %s and decision_id = any(%s) and state = 'pending'""",
        (tenant, request_id, list(decision_ids)),
    )
    await cursor.execute(
        "select state from approval_requests where tenant = %s and request_id = %s", (tenant, request_id)
    )
    row = await cursor.fetchone()
    return row["state"] if row else None
