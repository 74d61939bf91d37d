"""The `send_notices` activity: people are told of a request, by every channel that serves its groups."""

from activities.notify.delivery import Notifier, deliver
from activities.notify.words import notice_of
from contracts.audit import ApprovalEscalated
from contracts.notice import NoticeKind, NoticesSent, SendNotices
from store.approvals import find_request, note_escalation
from store.database import Database
from store.notices import Told, sent_through
from store.runs import append_audit, lock_run

__all__ = ["send_notices"]


async def send_notices(notifier: Notifier, db: Database, request: SendNotices) -> NoticesSent:
    """Send what has not been sent yet.

    Raises:
        ApplicationError: `NoticeNotSent`, retried by Temporal; only the channels that failed are tried again.
    """
    is_escalated = request.kind is NoticeKind.ESCALATED
    if is_escalated:
        await _note_escalation(db, request)
    channels = await notifier.serving(db, request.tenant, request.kind, request.groups)
    if not channels:
        return NoticesSent(request_id=request.request_id, kind=request.kind, channels=())
    to = " and ".join(request.groups) if is_escalated else ""
    told = Told(tenant=request.tenant, about=request.request_id, kind=request.kind, escalated_to=to)
    async with db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, request.request_id)
        sent = await sent_through(cursor, told)
    # Decided meanwhile: nobody is called to a request that is closed.
    if stored is None or stored.run_id != request.run_id or (stored.state != "open" and request.kind != "expired"):
        return NoticesSent(request_id=request.request_id, kind=request.kind, channels=tuple(sorted(sent)))
    notice = notice_of(
        request.kind,
        request_id=stored.request_id,
        tier=stored.tier,
        due=stored.sla_at,
        expires=stored.expires_at,
        web_url=notifier.web_url,
        escalated_to=to,
    )
    taken = await deliver(notifier, db, told, notice, channels)
    return NoticesSent(request_id=request.request_id, kind=request.kind, channels=taken)


async def _note_escalation(db: Database, request: SendNotices) -> None:
    """Keep that others may decide now, whether or not anybody is told: their lists and the audit chain show it."""
    async with db.tenant(request.tenant) as cursor:
        has_run = await lock_run(cursor, request.tenant, request.run_id)  # a test request has none, and so no chain
        stored = await find_request(cursor, request.tenant, request.request_id)
        if stored is None or stored.run_id != request.run_id:
            return
        for group in request.groups:
            if await note_escalation(cursor, request.tenant, request.request_id, group) and has_run:
                entry = ApprovalEscalated(request_id=request.request_id, to=group)
                await append_audit(
                    cursor, request.tenant, request.run_id, "approval_escalated", entry.model_dump_json()
                )
