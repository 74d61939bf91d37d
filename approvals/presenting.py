"""What the pages show, computed from the stored request alone. Pure: the time is passed in."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, cast

from pydantic import JsonValue, ValidationError

from approvals.characters import pieces
from approvals.words import ORIGINS, TIERS, amount, at, duration, people_left, requirement_in_words
from contracts.approval import ApprovalView
from contracts.base import JsonObject, Record
from contracts.vote import Verdict
from policy.votes import SIGN_IN_TIER_4_S
from store.approval_lists import RequestLine
from store.approvals import StoredRequest
from store.votes import StoredVote

__all__ = ["Argument", "Change", "Field", "InboxLine", "RequestView", "headline", "inbox_line", "notes_of", "present"]

_MAX_DEPTH = 8
_MAX_PARTS = 10
"""Unproven parts of an argument that are listed."""
_SOON_S = 3_600
_CAUTIONS = {
    "untrusted": "found only in text that an outsider may have written",
    "model": "made up or computed by the model",
}
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Field(Record):
    """A scalar of a nested value, with where it stands."""

    name: str
    """Such as `order.items[0].sku`."""
    text: str
    """The value as text; strings as they are, everything else as JSON."""
    kind: Literal["text", "number", "flag", "nothing"]
    hint: str = ""
    """An amount in plain words: of a number `…_minor` that has a `currency` beside it."""


class Argument(Record):
    """An argument of the call, in full."""

    name: str
    fields: tuple[Field, ...]
    """One for a scalar; the parts of a list or an object."""
    origin: str
    """Label of its provenance: `trusted`, `event`, `untrusted`, `model` or `unknown`."""
    mark: str
    """The label in words."""
    meaning: str
    """What the label says, and what it does not."""
    source: str
    """Where the value was found."""
    notes: tuple[str, ...]
    """How the event leads to the value, which outsiders say the same, which of its parts nothing proves."""


class Change(Record):
    """A field of the target, before and after."""

    name: str
    before: Field | None
    """None where the field is new."""
    after: Field | None
    changed: bool


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
    view: ApprovalView | None
    """What is shown; None when the stored view is damaged: then it can only be denied."""
    headline: str
    amount: str
    """Amount moved, in words; empty when no money moves."""
    arguments: tuple[Argument, ...]
    changes: tuple[Change, ...]
    cautions: tuple[str, ...]
    """What to look at twice: values of outsiders, values that the model made up, characters that deceive."""
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
    requirement: str
    people_left: int
    state: str


def present(request: StoredRequest, votes: Sequence[StoredVote], *, now: datetime) -> RequestView:
    """The page's data. A stored view that does not match its digest, or cannot be read, is not shown at all."""
    try:
        view = ApprovalView.model_validate_json(request.view) if request.is_intact() else None
    except ValidationError:
        view = None
    approvals = sum(vote.state == "accepted" and vote.verdict is Verdict.APPROVE for vote in votes)
    return RequestView(
        request_id=request.request_id,
        run_id=request.run_id,
        digest=request.digest,
        state=_state(request.state, request.expires_at, now),
        tier=_tier(request.tier),
        deadline=_deadline(request.expires_at, now),
        requirement=requirement_in_words(request.requirement),
        people_left=people_left(request.requirement, approvals),
        votes=tuple(votes),
        opened=at(request.opened_at),
        opened_ago=duration(now - request.opened_at),
        view=view,
        headline=headline(view.tool_description, view.tool) if view else request.tool,
        amount=_amount(view.money_minor, view.currency) if view else "",
        arguments=_arguments(view) if view else (),
        changes=tuple(_changes(view.before, view.after)) if view else (),
        cautions=tuple(_cautions(view)) if view else (),
        evidence=tuple(tuple(_fields(item.output)) for item in view.evidence) if view else (),
        sign_in_limit_min=SIGN_IN_TIER_4_S // 60,
    )


def inbox_line(line: RequestLine, *, now: datetime) -> InboxLine:
    """A line of the inbox."""
    return InboxLine(
        line=line,
        title=tool_words(line.tool),
        amount=_amount(line.money_minor, line.currency),
        tier=_tier(line.tier),
        age=duration(now - line.opened_at),
        deadline=_deadline(line.expires_at, now),
        requirement=requirement_in_words(line.requirement),
        people_left=people_left(line.requirement, line.approvals),
        state=_state(line.state, line.expires_at, now),
    )


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


def _deadline(expires_at: datetime, now: datetime) -> Deadline:
    left = expires_at - now
    seconds = left.total_seconds()
    return Deadline(
        left=duration(left) if seconds > 0 else "",
        at=at(expires_at),
        iso=expires_at.isoformat(),
        soon=seconds < _SOON_S,
    )


def _amount(minor: int | None, currency: str | None) -> str:
    if minor is None or currency is None:
        return ""
    return amount(minor, currency) if _CURRENCY.fullmatch(currency) else f"{minor:,} minor units of an unknown currency"


def _arguments(view: ApprovalView) -> tuple[Argument, ...]:
    currency = view.arguments.get("currency")
    return tuple(_argument(name, value, view, currency) for name, value in view.arguments.items())


def _argument(name: str, value: JsonValue, view: ApprovalView, currency: JsonValue) -> Argument:
    trace = view.provenance.get(name, {})
    label = str(trace.get("label", ""))
    mark, meaning = ORIGINS.get(label, ("origin not known", ""))
    source = " → ".join(str(trace[part]) for part in ("source", "path") if trace.get(part))
    how = str(trace.get("how") or "")
    return Argument(
        name=name,
        fields=tuple(_fields(value, beside=currency, key=name)),
        origin=label if label in ORIGINS else "unknown",
        mark=mark,
        meaning=meaning,
        source=f"{source} ({how})" if source and how else source,
        notes=tuple(notes_of(trace)),
    )


def notes_of(trace: JsonObject) -> Iterator[str]:
    """What a trace says besides its label, in sentences."""
    if trace.get("via"):
        yield f"Asked for: {trace['via']}."
    if trace.get("also"):
        yield f"Text of an outsider says the same ({trace['also']}): somebody may have suggested it."
    parts = trace.get("parts")
    for part in (parts if isinstance(parts, list) else [])[:_MAX_PARTS]:
        label = str(part.get("label")) if isinstance(part, dict) else ""
        if isinstance(part, dict) and label in _CAUTIONS:
            yield f"{part.get('part', '')}: {_CAUTIONS[label]}."


def _has_unproven_parts(trace: JsonObject) -> bool:
    """Whether contacts inside prose are proven by nothing; of a list or an object its label says so."""
    parts = trace.get("parts")
    return isinstance(parts, list) and any(isinstance(part, dict) and part.get("label") in _CAUTIONS for part in parts)


def _changes(before: JsonObject | None, after: JsonObject | None) -> Iterator[Change]:
    if before is None or after is None:
        return
    old = {field.name: field for field in _fields(before)}
    new = {field.name: field for field in _fields(after)}
    names = [*old, *(name for name in new if name not in old)]
    for name in sorted(names, key=lambda name: old.get(name) == new.get(name)):  # what changes comes first
        yield Change(name=name, before=old.get(name), after=new.get(name), changed=old.get(name) != new.get(name))


def _cautions(view: ApprovalView) -> Iterator[str]:
    for label, words in _CAUTIONS.items():
        names = [name for name in view.arguments if view.provenance.get(name, {}).get("label") == label]
        if names:
            yield f"{', '.join(names)}: {words}"
    inside = [name for name in view.arguments if _has_unproven_parts(view.provenance.get(name, {}))]
    if inside:
        yield f"{', '.join(inside)}: holds parts or contacts that no record and no instruction proves"
    odd = [field.name for field in _fields(view.arguments) if _is_deceptive(field.text) or _is_deceptive(field.name)]
    if _is_deceptive(view.resource_id):
        odd.insert(0, view.resource_type)
    if odd:
        yield f"{', '.join(odd)}: has characters that hide or imitate others, shown as codes"


def _is_deceptive(text: str) -> bool:
    return any(piece.name for piece in pieces(text))


def _fields(
    value: JsonValue, name: str = "", *, depth: int = 0, beside: JsonValue = None, key: str = ""
) -> Iterator[Field]:
    """Every scalar. `beside` is the currency in the same object, `key` the value's own name in it."""
    match value:
        case dict() if value and depth < _MAX_DEPTH:
            for inner_key, inner in value.items():
                path = f"{name}.{inner_key}" if name else inner_key
                yield from _fields(inner, path, depth=depth + 1, beside=value.get("currency"), key=inner_key)
        case list() if value and depth < _MAX_DEPTH:
            for index, inner in enumerate(value):
                yield from _fields(inner, f"{name}[{index}]", depth=depth + 1)
        case str():
            yield Field(name=name, text=value, kind="text")
        case bool():
            yield Field(name=name, text="yes" if value else "no", kind="flag")
        case int() if key.endswith("_minor") and isinstance(beside, str) and _CURRENCY.fullmatch(beside):
            yield Field(name=name, text=str(value), kind="number", hint=amount(value, beside))
        case int() | float():
            yield Field(name=name, text=str(value), kind="number")
        case _:
            yield Field(name=name, text=str(value) if value else "none", kind="nothing")
