"""Tell people that a decision is wanted: mail, chat, signed webhook."""

from activities.notify.delivery import Notifier
from activities.notify.notices import send_notices
from activities.notify.passkey_news import tell_of_passkeys
from activities.notify.unattended import tell_unattended

__all__ = ["Notifier", "send_notices", "tell_of_passkeys", "tell_unattended"]
