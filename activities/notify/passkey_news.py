"""Tell people that their own passkeys changed, through the channels that are theirs: a thief would not."""

import logging

from activities.notify.channels import NoticeNotSentError, send
from activities.notify.delivery import Notifier
from activities.notify.words import passkey_notice
from contracts.notice import NoticeKind
from settings import SettingsError
from store.database import Database
from store.notices import Told, note_sent
from store.passkeys import untold_events

__all__ = ["tell_of_passkeys"]

_LOG = logging.getLogger(__name__)


async def tell_of_passkeys(notifier: Notifier, db: Database, tenant: str) -> int:
    """Tell what has not been told yet. What a channel does not take is told at the next call, for two days."""
    told = 0
    for channel in notifier.personal_channels(tenant):
        async with db.tenant(tenant) as cursor:
            events = await untold_events(cursor, tenant, channel.name, [name.lower() for name in channel.people])
        for event in events:
            notice = passkey_notice(event, notifier.web_url)
            try:
                await send(channel, notice, notifier.smtp, notifier.folder)
            except (NoticeNotSentError, SettingsError) as error:
                _LOG.warning("tenant %s is told of passkeys later: %s", tenant, error)
                break
            async with db.tenant(tenant) as cursor:
                about = Told(tenant=tenant, about=notice.notice_id, kind=NoticeKind.PASSKEYS)
                await note_sent(cursor, about, channel.name)
            told += 1
    return told
