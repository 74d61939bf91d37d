"""Amounts, times and codes in words that a tired person cannot misread. Pure: the time is passed in."""

from datetime import datetime, timedelta

from contracts.command import CommandRefusal
from contracts.decision import Requirement
from contracts.vote import Verdict, VoteRefusal

__all__ = [
    "DID",
    "ORDER_REFUSALS",
    "ORIGINS",
    "REFUSALS",
    "TIERS",
    "amount",
    "at",
    "duration",
    "minor_units",
    "people_left",
    "requirement_in_words",
]

# ISO 4217: currencies whose minor unit is not a hundredth.
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
         "XPF"), 0
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip

TIERS: dict[int, tuple[str, str]] = {
    0: ("Read only", "It reads and changes nothing."),
    1: ("Low impact", "A small change inside the company."),
    2: ("Reversible", "A change that can be taken back."),
    3: ("High impact", "Money, customers or access: hard to take back. People must agree first."),
    4: ("Irreversible", "It cannot be taken back. At least two people must agree, and say why."),
}
"""Name and meaning of each risk tier."""

ORIGINS: dict[str, tuple[str, str]] = {
    "trusted": ("trusted record", "The same value stands in a record that outsiders cannot write."),
    "event": (
        "event",
        "The same value stands in a field of the event that its endpoint declares trusted, whole or as words.",
    ),
    "untrusted": ("untrusted text", "The value was found only in content that somebody outside may have written."),
    "person": ("approver", "An approver wrote the value; it stands nowhere in what the run read."),
    "model": ("model", "The value stands nowhere in what the run read: the model wrote or computed it."),
}
"""Mark of an argument's provenance, and what it does and does not say."""

DID: dict[Verdict, str] = {
    Verdict.APPROVE: "approved",
    Verdict.DENY: "denied",
    Verdict.EDIT: "edited",
    Verdict.ASK: "asked the agent about",
    Verdict.HAND_OVER: "handed over",
}
"""What somebody did who decided so."""

ORDER_REFUSALS: dict[CommandRefusal, str] = {
    CommandRefusal.BAD_SIGNATURE: "The signature does not verify. Tell the operator of this installation.",
    CommandRefusal.UNKNOWN_KEY: "The run does not know the key of this approvals service. Tell the operator.",
    CommandRefusal.MALFORMED: "The order contradicts itself; the clocks may differ. Tell the operator.",
    CommandRefusal.WRONG_RUN: "The order is for another run.",
    CommandRefusal.EXPIRED: "The order reached the run too late. Give it again if it still holds.",
    CommandRefusal.NOT_ALLOWED: "Your account has no role for this. Ask an administrator for the role kill.",
    CommandRefusal.REASON_MISSING: "Say why, in at least three characters.",
    CommandRefusal.STALE_SIGN_IN: "You signed in too long ago for this. Sign in again.",
    CommandRefusal.NOT_PAUSED: "The run is not paused, or still halted.",
    CommandRefusal.ALREADY_PAUSED: "The run is paused already.",
    CommandRefusal.NOT_IN_DOUBT: "The run does not wait for that call.",
    CommandRefusal.ENDING: "The run is ending, or has ended.",
}

REFUSALS: dict[VoteRefusal, str] = {
    VoteRefusal.BAD_SIGNATURE: "The signature of the vote does not verify. Tell the operator of this installation.",
    VoteRefusal.UNKNOWN_KEY: "The run does not know the key of this approvals service. Tell the operator.",
    VoteRefusal.MALFORMED: "The vote contradicts itself; the clocks may differ. Tell the operator.",
    VoteRefusal.WRONG_RUN: "The vote is for another run.",
    VoteRefusal.UNKNOWN_REQUEST: "The run does not know this request.",
    VoteRefusal.REQUEST_CLOSED: "The request was closed before your vote arrived. Nothing was changed by it.",
    VoteRefusal.WRONG_DIGEST: "What you saw is not what would run. Look at the page again before you decide.",
    VoteRefusal.EXPIRED: "The request has expired.",
    VoteRefusal.NOT_AS_SEEN: "Nothing was signed: your form does not say which page you saw, or the page has changed "
    "since. Here it is as it is now, with what you wrote: look at it, then decide again.",
    VoteRefusal.NOT_ELIGIBLE: "None of your groups is needed: others must decide this, or have already.",
    VoteRefusal.NOT_YET: "Your group may decide only once this request is escalated to it: the page says when.",
    VoteRefusal.NOT_DELEGATED: "You may not decide for that person, or not any more. Look at the page again.",
    VoteRefusal.SAME_PERSON: "This person has decided already: under another account, or through a delegate.",
    VoteRefusal.REASON_MISSING: "Say why, in at least three characters.",
    VoteRefusal.NOT_OFFERED: "This request cannot be answered so. Approve it, deny it, or look at what else it offers.",
    VoteRefusal.CO_AUTHOR: "You wrote a part of this, and more than one pair of eyes is wanted: somebody else must "
    "approve it.",
    VoteRefusal.INTERESTED_PARTY: "You asked for this, it is done for you, or the agent is yours: somebody else must "
    "decide.",
    VoteRefusal.WEAK_SIGN_IN: "This decision needs a second factor: sign in again with one, then decide.",
    VoteRefusal.PASSKEY_MISSING: "Nothing was signed: this decision is signed with your passkey, on its own page, in a "
    "browser with JavaScript.",
    VoteRefusal.PASSKEY_NEEDED: "Here such a decision is signed with a passkey, and you have none: add one under "
    "Passkeys, then decide.",
    VoteRefusal.PASSKEY_REFUSED: "Nothing was signed: what your passkey answered does not hold for this decision. "
    "Decide again; after five such answers none is looked at for 15 minutes.",
    VoteRefusal.STALE_SIGN_IN: "You signed in too long ago for this decision. Sign in again, then decide.",
}
"""Why a vote does not count, and what to do."""


def minor_units(currency: str) -> int:
    """How many decimals an amount of the currency has."""
    return _EXPONENTS.get(currency, 2)


def amount(minor: int, currency: str) -> str:
    """Such as `EUR 1,480.00`. The code and not a symbol: many currencies share one."""
    exponent = minor_units(currency)
    whole, rest = divmod(abs(minor), 10**exponent)
    sign = "-" if minor < 0 else ""
    return f"{currency} {sign}{whole:,}" + (f".{rest:0{exponent}d}" if exponent else "")


def duration(span: timedelta) -> str:
    """The two largest units, such as `23 h 10 min`; never less than `under a minute`."""
    minutes = int(span.total_seconds()) // 60
    if minutes < 1:
        return "under a minute"
    days, hours, rest = minutes // 1_440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    first = next(index for index, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def at(moment: datetime) -> str:
    """An absolute time, in UTC."""
    return f"{moment:%d %b %Y, %H:%M} UTC"


def requirement_in_words(requirement: Requirement) -> str:
    """Such as `2 people of finance and 1 person of support-leads`."""
    return " and ".join(
        f"{need.count} {'person' if need.count == 1 else 'people'} of {need.group}" for need in requirement.needs
    )


def people_left(requirement: Requirement, approvals: int) -> int:
    """How many more people must approve."""
    return max(0, requirement.persons - approvals)
