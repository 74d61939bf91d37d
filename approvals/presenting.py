"""What the pages show, computed from the stored request alone. Pure: the time is passed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast

from pydantic import ValidationError

from approvals.said import Said, said_of
from approvals.values import (
    Argument,
    Caution,
    Change,
    Field,
    arguments_of,
    cautions_of,
    changes_of,
    fields_of,
    lists_of,
    money_words,
)
from approvals.words import DID, REFUSALS, TIERS, at, duration, people_left, requirement_in_words
from contracts.approval import ApprovalView
from contracts.base import Record
from contracts.vote import Verdict
from policy.votes import SIGN_IN_TIER_4_S
from store.approval_lists import RequestLine
from store.approvals import StoredRequest
from store.endings import Ending
from store.vote_lists import DecisionLine
from store.votes import StoredVote

__all__ = [
    "DecisionShown",
    "InboxLine",
    "RequestView",
    "deadline_of",
    "decision_line",
    "headline",
    "inbox_line",
    "present",
    "state_words",
]

_SOON_S = 3_600


class Tier(Record):
    """The risk tier in words."""

    number: int
    name: str
    meaning: str


class Deadline(Record):
    """When the request ends, as it stands now."""

    left: str
    """Such as `23 h 10 min`; empty once it is over."""
    at: str
    iso: str
    soon: bool
    """Whether less than an hour is left."""


class RequestView(Record):
    """The page of one request."""

    request_id: str
    run_id: str
    digest: str
    state: Literal["open", "granted", "denied", "expired", "voided"]
    """An open request whose time is over shows as expired, although the run has not said so yet."""
    tier: Tier
    deadline: Deadline
    requirement: str
    """Who must approve, in words."""
    people_left: int
    votes: tuple[StoredVote, ...]
    opened: str
    opened_ago: str
    read: str
    """When the page was made."""
    read_iso: str
    view: ApprovalView | None
    """What is shown; None when the stored view is damaged: then it can only be denied."""
    headline: str
    amount: str
    """Amount moved, in words; empty when no money moves."""
    arguments: tuple[Argument, ...]
    lists: tuple[tuple[str, int], ...]
    """Arguments that hold many entries, and how many."""
    changes: tuple[Change, ...]
    cautions: tuple[Caution, ...]
    """What to look at twice: values of outsiders, values that the model made up, characters that deceive."""
    said: tuple[Said, ...]
    """What approvers said before: to this call, or to an earlier one of the tool in the run."""
    evidence: tuple[tuple[Field, ...], ...]
    """Fields of the outputs, in the order of `view.evidence`."""
    sign_in_limit_min: int
    """At the highest tier: how recently the approver must have signed in, in minutes."""


class InboxLine(Record):
    """One request in the inbox."""

    line: RequestLine
    title: str
    amount: str
    tier: Tier
    age: str
    deadline: Deadline
    due: str
    """When an answer was promised, such as `due in 40 min` or `overdue by 2 h`."""
    is_overdue: bool
    requirement: str
    people_left: int
    state: str


class DecisionShown(Record):
    """One vote in the list of what people decided."""

    line: DecisionLine
    did: str
    """Such as `approved`."""
    title: str
    amount: str
    tier: Tier
    age: str
    at: str
    problem: str
    """Why the run did not count it, in words."""


def present(request: StoredRequest, votes: Sequence[StoredVote], *, now: datetime) -> RequestView:
    """The page's data. A stored view that does not match its digest, or cannot be read, is not shown at all."""
    try:
        view = ApprovalView.model_validate_json(request.view) if request.is_intact() else None
    except ValidationError:
        view = None
    arguments = arguments_of(view) if view else ()
    approvals = sum(vote.state == "accepted" and vote.verdict is Verdict.APPROVE for vote in votes)
    return RequestView(
        request_id=request.request_id,
        run_id=request.run_id,
        digest=request.digest,
        state=_state(request.state, request.expires_at, now),
        tier=_tier(request.tier),
        deadline=deadline_of(request.expires_at, now),
        requirement=requirement_in_words(request.requirement),
        people_left=people_left(request.requirement, approvals),
        votes=tuple(votes),
        opened=at(request.opened_at),
        opened_ago=duration(now - request.opened_at),
        read=at(now),
        read_iso=now.isoformat(),
        view=view,
        headline=headline(view.tool_description, view.tool) if view else request.tool,
        amount=money_words(view.money_minor, view.currency) if view else "",
        arguments=arguments,
        lists=tuple(lists_of(view.arguments)) if view else (),
        changes=tuple(changes_of(view.before, view.after)) if view else (),
        cautions=tuple(cautions_of(view, arguments)) if view else (),
        said=said_of(view) if view else (),
        evidence=tuple(tuple(fields_of(item.output)) for item in view.evidence) if view else (),
        sign_in_limit_min=SIGN_IN_TIER_4_S // 60,
    )


def inbox_line(line: RequestLine, *, now: datetime) -> InboxLine:
    """A line of the inbox."""
    return InboxLine(
        line=line,
        title=tool_words(line.tool),
        amount=money_words(line.money_minor, line.currency),
        tier=_tier(line.tier),
        age=duration(now - line.opened_at),
        deadline=deadline_of(line.expires_at, now),
        due=f"overdue by {duration(now - line.sla_at)}"
        if line.sla_at <= now
        else f"due in {duration(line.sla_at - now)}",
        is_overdue=line.sla_at <= now,
        requirement=requirement_in_words(line.requirement),
        people_left=people_left(line.requirement, line.approvals),
        state=_state(line.state, line.expires_at, now),
    )


def decision_line(line: DecisionLine, *, now: datetime) -> DecisionShown:
    """A line of what people decided."""
    return DecisionShown(
        line=line,
        did=DID[line.verdict],
        title=tool_words(line.tool),
        amount=money_words(line.money_minor, line.currency),
        tier=_tier(line.tier),
        age=duration(now - line.cast_at),
        at=at(line.cast_at),
        problem=REFUSALS[line.refusal] if line.refusal else "",
    )


def state_words(state: str, ending: Ending | None) -> str:
    """Where a request stands, in a word or three: of a void one, what made it so."""
    if ending is None or ending.how == "changed":
        return state
    did = {"edit": "edited", "ask": "asked back", "hand_over": "handed over", "test": "test request"}[ending.how]
    return f"{did} by {ending.display_name}" if ending.display_name else did


def headline(description: str, tool: str) -> str:
    """The first sentence of the tool's description: written by its author, reviewed, never by a model."""
    first = " ".join(description.split("\n\n", maxsplit=1)[0].split())
    return first.split(". ")[0].rstrip(".") or tool_words(tool)


def tool_words(tool: str) -> str:
    """`payments.issue_refund` as `Issue refund`."""
    return tool.rpartition(".")[2].replace("_", " ").capitalize()


def _state(
    state: str, expires_at: datetime, now: datetime
) -> Literal["open", "granted", "denied", "expired", "voided"]:
    known = cast("Literal['open', 'granted', 'denied', 'expired', 'voided']", state)
    return "expired" if known == "open" and expires_at <= now else known


def _tier(number: int) -> Tier:
    name, meaning = TIERS.get(number, (f"Tier {number}", ""))
    return Tier(number=number, name=name, meaning=meaning)


def deadline_of(expires_at: datetime, now: datetime) -> Deadline:
    """What is left of a request's time."""
    left = expires_at - now
    seconds = left.total_seconds()
    return Deadline(
        left=duration(left) if seconds > 0 else "",
        at=at(expires_at),
        iso=expires_at.isoformat(),
        soon=seconds < _SOON_S,
    )
