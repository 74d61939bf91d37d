"""The `send_notices` activity: every channel that serves the request's groups, each once as far as that can be had."""

from pathlib import Path

from temporalio.exceptions import ApplicationError

from activities.notify.channels import NoticeNotSentError, send
from activities.notify.words import notice_of
from contracts.notice import NoticesSent, SendNotices
from contracts.run_activities import NOTICE_NOT_SENT
from settings import SettingsError
from settings.notify import Channel, NotifyFile
from store.approvals import find_request
from store.database import Database
from store.notices import note_sent, sent_through

__all__ = ["Notifier", "send_notices"]


class Notifier:
    """The channels of the settings, as they were when the process began."""

    def __init__(self, file: NotifyFile, *, folder: Path, web_url: str) -> None:
        """`folder`: where relative secret files lie; `web_url`: public address of the form."""
        self.smtp = file.smtp
        self.folder = folder
        self.web_url = web_url
        self._tenants = file.tenants

    def channels(self, request: SendNotices) -> tuple[Channel, ...]:
        """Channels of the tenant that tell this kind of notice to any of the groups."""
        return tuple(
            channel
            for channel in self._tenants.get(request.tenant, ())
            if request.kind.value in channel.notices
            and (not channel.groups or set(channel.groups) & set(request.groups))
        )


async def send_notices(notifier: Notifier, db: Database, request: SendNotices) -> NoticesSent:
    """Send what has not been sent yet. A channel that fails does not keep the others from sending.

    Raises:
        ApplicationError: `NoticeNotSent`, retried by Temporal; only the channels that failed are tried again.
    """
    channels = notifier.channels(request)
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
