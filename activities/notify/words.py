"""The words of a notice. Mail and chat pass through other people's systems: no argument, no customer, no reason.

What counts at night stands first, where a locked phone shows it: how long there is in the subject, how bad it is at the
beginning of the text.
"""

from dataclasses import dataclass
from datetime import datetime

from contracts.canonical import opaque_id
from contracts.notice import NoticeKind
from store.passkeys import PasskeyEvent

__all__ = ["Notice", "notice_of", "passkey_notice", "proposal_notice"]

_SUBJECTS = {
    NoticeKind.REQUESTED: "Decide by {due}: {what}",
    NoticeKind.REMINDER: "Overdue, ends {expires}: {what}",
    NoticeKind.ESCALATED: "Escalated to {to}, ends {expires}: {what}",
    NoticeKind.EXPIRED: "Expired undecided: {what}",
    NoticeKind.PASSKEYS: "Your passkeys changed",
}
_SENTENCES = {
    NoticeKind.REQUESTED: "An agent waits for people before it acts. Please decide by {due}; it ends {expires}, and "
    "then nothing is done.",
    NoticeKind.REMINDER: "An agent still waits: nobody has decided since {due}. It ends {expires}, and then nothing is "
    "done.",
    NoticeKind.ESCALATED: "Those who were asked have not decided. From now on {to} may decide as well. It ends "
    "{expires}, and then nothing is done.",
    NoticeKind.EXPIRED: "Nobody decided until {expires}. Nothing was done, and the agent's run has ended: a "
    "person goes on.",
    NoticeKind.PASSKEYS: "A passkey was {did} the account {account}, {when}. If that was not you, tell "
    "whoever operates Countersign at once.",
}
_PROPOSED = {
    NoticeKind.REQUESTED: "Somebody proposes that many calls of one tool run without asking each time. Read it as what "
    "cannot be taken back: it holds for every call within its bounds. Please decide by {expires}; undecided it "
    "holds nothing.",
    NoticeKind.REMINDER: "A proposal that many calls of one tool run without asking each time is undecided. It ends "
    "{expires}, and then it holds nothing.",
}
_TIERS = ("reads only", "low impact", "can be taken back", "high impact", "cannot be taken back")


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
    kind: NoticeKind,
    *,
    request_id: str,
    tier: int,
    due: datetime,
    expires: datetime,
    web_url: str,
    escalated_to: str = "",
) -> Notice:
    """The notice about a request."""
    what = f"tier {tier}, {_TIERS[tier]}"
    words = {"what": what, "due": _at(due), "expires": _at(expires), "to": escalated_to or "your group"}
    return Notice(
        notice_id=f"{request_id}-{kind.value}" + (f"-{_id_of(escalated_to)}" if escalated_to else ""),
        kind=kind,
        subject=_SUBJECTS[kind].format(**words),
        sentence=f"{what.capitalize()}. {_SENTENCES[kind].format(**words)}",
        link=f"{web_url.rstrip('/')}/requests/{request_id}",
    )


def proposal_notice(kind: NoticeKind, *, standing_id: str, expires: datetime, web_url: str) -> Notice:
    """The notice about a standing approval that somebody proposes."""
    words = {"what": "a standing approval", "due": _at(expires), "expires": _at(expires)}
    return Notice(
        notice_id=f"{standing_id}-{kind.value}",
        kind=kind,
        subject=_SUBJECTS[kind].format(**words),
        sentence=_PROPOSED[kind].format(**words),
        link=f"{web_url.rstrip('/')}/standing/{standing_id}",
    )


def passkey_notice(event: PasskeyEvent, web_url: str) -> Notice:
    """The notice about a change of somebody's own passkeys."""
    did = "added to" if event.verb == "add" else "removed from"
    words = {"did": did, "account": event.username, "when": _at(event.at)}
    return Notice(
        notice_id=f"passkey-{event.event_id}",
        kind=NoticeKind.PASSKEYS,
        subject=_SUBJECTS[NoticeKind.PASSKEYS],
        sentence=_SENTENCES[NoticeKind.PASSKEYS].format(**words),
        link=f"{web_url.rstrip('/')}/passkeys",
    )


def _at(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M} UTC"


def _id_of(group: str) -> str:
    # Group names may hold what an id of a mail must not (RFC 5322, 3.6.4).
    return opaque_id("grp", group)[4:12]
