"""Bring one notice to every channel that serves its groups, each once as far as that can be had."""

from collections.abc import Collection
from pathlib import Path

from temporalio.exceptions import ApplicationError

from activities.notify.channels import NoticeNotSentError, send
from activities.notify.words import Notice
from contracts.notice import NoticeKind
from contracts.run_activities import NOTICE_NOT_SENT
from settings import SettingsError
from settings.notify import Channel, NotifyFile
from store.database import Database
from store.delegations import delegates_of_groups
from store.notices import Told, note_sent, sent_through

__all__ = ["Notifier", "deliver"]


class Notifier:
    """The channels of the settings, as they were when the process began."""

    def __init__(self, file: NotifyFile, *, folder: Path, web_url: str) -> None:
        """`folder`: where relative secret files lie; `web_url`: public address of the form."""
        self.smtp = file.smtp
        self.folder = folder
        self.web_url = web_url
        self._tenants = file.tenants

    def channels(
        self, tenant: str, kind: NoticeKind, groups: Collection[str], delegates: Collection[str] = ()
    ) -> tuple[Channel, ...]:
        """Channels of the tenant that tell this kind of notice to any of the groups, or to any of these accounts."""
        return tuple(
            channel
            for channel in self._tenants.get(tenant, ())
            if kind.value in channel.notices
            and (
                not (channel.groups or channel.people)
                or set(channel.groups) & set(groups)
                or set(channel.people) & set(delegates)
            )
        )

    def personal_channels(self, tenant: str) -> tuple[Channel, ...]:
        """Channels of single people that tell them when their passkeys change."""
        return tuple(
            channel
            for channel in self._tenants.get(tenant, ())
            if channel.people and NoticeKind.PASSKEYS.value in channel.notices
        )

    async def serving(
        self, db: Database, tenant: str, kind: NoticeKind, groups: Collection[str]
    ) -> tuple[Channel, ...]:
        """The same, with the accounts that decide for somebody of these groups now."""
        delegates: frozenset[str] = frozenset()
        if any(channel.people for channel in self._tenants.get(tenant, ())):
            async with db.tenant(tenant) as cursor:
                delegates = await delegates_of_groups(cursor, tenant, tuple(groups))
        return self.channels(tenant, kind, groups, delegates)


async def deliver(
    notifier: Notifier, db: Database, told: Told, notice: Notice, channels: Collection[Channel]
) -> tuple[str, ...]:
    """Send what has not been sent yet. A channel that fails does not keep the others from sending.

    Returns:
        Names of the channels that took it, now or before.

    Raises:
        ApplicationError: `NoticeNotSent`; only the channels that failed are tried again.
    """
    async with db.tenant(told.tenant) as cursor:
        sent = await sent_through(cursor, told)
    failed: list[str] = []
    for channel in channels:
        if channel.name in sent:
            continue
        try:
            await send(channel, notice, notifier.smtp, notifier.folder)
        except (NoticeNotSentError, SettingsError) as error:
            failed.append(str(error))
            continue
        async with db.tenant(told.tenant) as cursor:
            await note_sent(cursor, told, channel.name)
        sent.add(channel.name)
    if failed:
        raise ApplicationError("; ".join(failed)[:1_000], type=NOTICE_NOT_SENT)
    return tuple(sorted(sent))
