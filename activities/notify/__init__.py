"""Tell people that a decision is wanted: mail, chat, signed webhook."""

from activities.notify.notices import Notifier, send_notices

__all__ = ["Notifier", "send_notices"]
