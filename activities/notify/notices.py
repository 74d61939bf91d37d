"""The `send_notices` activity: every channel that serves the request's groups, each once as far as that can be had."""

from collections.abc import Collection
from pathlib import Path

from temporalio.exceptions import ApplicationError

from activities.notify.channels import NoticeNotSentError, send
from activities.notify.words import notice_of
from contracts.audit import ApprovalEscalated
from contracts.notice import NoticeKind, NoticesSent, SendNotices
from contracts.run_activities import NOTICE_NOT_SENT
from settings import SettingsError
from settings.notify import Channel, NotifyFile
from store.approvals import find_request, note_escalation
from store.database import Database
from store.delegations import delegates_of_groups
from store.notices import note_sent, sent_through
from store.runs import append_audit

__all__ = ["Notifier", "send_notices"]


class Notifier:
    """The channels of the settings, as they were when the process began."""

    def __init__(self, file: NotifyFile, *, folder: Path, web_url: str) -> None:
        """`folder`: where relative secret files lie; `web_url`: public address of the form."""
        self.smtp = file.smtp
        self.folder = folder
        self.web_url = web_url
        self._tenants = file.tenants

    def channels(self, request: SendNotices, delegates: Collection[str] = ()) -> tuple[Channel, ...]:
        """Channels of the tenant that tell this kind of notice to any of the groups, or to any of these accounts."""
        return tuple(
            channel
            for channel in self._tenants.get(request.tenant, ())
            if request.kind.value in channel.notices
            and (
                not (channel.groups or channel.people)
                or set(channel.groups) & set(request.groups)
                or set(channel.people) & set(delegates)
            )
        )

    def serves_people(self, tenant: str) -> bool:
        """Whether a channel of the tenant is for delegates."""
        return any(channel.people for channel in self._tenants.get(tenant, ()))


async def send_notices(notifier: Notifier, db: Database, request: SendNotices) -> NoticesSent:
    """Send what has not been sent yet. A channel that fails does not keep the others from sending.

    Raises:
        ApplicationError: `NoticeNotSent`, retried by Temporal; only the channels that failed are tried again.
    """
    if request.kind is NoticeKind.ESCALATED:
        await _note_escalation(db, request)
    delegates: frozenset[str] = frozenset()
    if notifier.serves_people(request.tenant):
        async with db.tenant(request.tenant) as cursor:
            delegates = await delegates_of_groups(cursor, request.tenant, request.groups)
    channels = notifier.channels(request, delegates)
    if not channels:
        return NoticesSent(request_id=request.request_id, kind=request.kind, channels=())
    async with db.tenant(request.tenant) as cursor:
        stored = await find_request(cursor, request.tenant, request.request_id)
        sent = await sent_through(cursor, request.tenant, request.request_id, request.kind)
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
    )
    failed: list[str] = []
    for channel in channels:
        if channel.name in sent:
            continue
        try:
            await send(channel, notice, notifier.smtp, notifier.folder)
        except (NoticeNotSentError, SettingsError) as error:
            failed.append(str(error))
            continue
        async with db.tenant(request.tenant) as cursor:
            await note_sent(cursor, request.tenant, request.request_id, request.kind, channel.name)
        sent.add(channel.name)
    if failed:
        raise ApplicationError("; ".join(failed)[:1_000], type=NOTICE_NOT_SENT)
    return NoticesSent(request_id=request.request_id, kind=request.kind, channels=tuple(sorted(sent)))


async def _note_escalation(db: Database, request: SendNotices) -> None:
    """Keep that others may decide now, whether or not anybody is told: their lists and the audit chain show it."""
    async with db.tenant(request.tenant) as cursor:
        await cursor.execute(
            "select 1 from run_state where tenant = %s and run_id = %s for update", (request.tenant, request.run_id)
        )
        stored = await find_request(cursor, request.tenant, request.request_id)
        if stored is None or stored.run_id != request.run_id:
            return
        for group in request.groups:
            if await note_escalation(cursor, request.tenant, request.request_id, group):
                entry = ApprovalEscalated(request_id=request.request_id, to=group)
                await append_audit(
                    cursor, request.tenant, request.run_id, "approval_escalated", entry.model_dump_json()
                )
