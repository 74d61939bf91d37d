"""The words of a notice. Mail and chat pass through other people's systems: no argument, no customer, no reason."""

from dataclasses import dataclass
from datetime import datetime

from contracts.notice import NoticeKind

__all__ = ["Notice", "notice_of"]

_SUBJECTS = {
    NoticeKind.REQUESTED: "Your decision is wanted",
    NoticeKind.REMINDER: "Overdue: your decision is wanted",
    NoticeKind.ESCALATED: "Escalated to you: your decision is wanted",
    NoticeKind.EXPIRED: "A request expired undecided",
}
_SENTENCES = {
    NoticeKind.REQUESTED: "An agent asks people before it acts (risk tier {tier}). Please decide by {due}.",
    NoticeKind.REMINDER: "A request of an agent (risk tier {tier}) is undecided since {due}. It expires {expires}.",
    NoticeKind.ESCALATED: "Those who were asked have not decided a request of an agent (risk tier {tier}). From now on "
    "your group may decide as well. It expires {expires}.",
    NoticeKind.EXPIRED: "Nobody decided a request of an agent (risk tier {tier}) until {expires}. Nothing was done.",
}


@dataclass(frozen=True)
class Notice:
    """What every channel tells in its own form."""

    notice_id: str
    """The same for each attempt: receivers can drop what they have seen."""
    kind: NoticeKind
    subject: str
    sentence: str
    link: str
    """Opens the page of the request after signing in; the link itself lets nobody in and decides nothing."""

    @property
    def text(self) -> str:
        """Whole, as plain text."""
        return (
            f"{self.sentence}\n\n{self.link}\n\nOpening the link decides nothing. Never decide from a message alone.\n"
        )


def notice_of(
    kind: NoticeKind, *, request_id: str, tier: int, due: datetime, expires: datetime, web_url: str
) -> Notice:
    """The notice about a request."""
    words = {"tier": tier, "due": _at(due), "expires": _at(expires)}
    return Notice(
        notice_id=f"{request_id}-{kind.value}",
        kind=kind,
        subject=_SUBJECTS[kind],
        sentence=_SENTENCES[kind].format(**words),
        link=f"{web_url.rstrip('/')}/requests/{request_id}",
    )


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
