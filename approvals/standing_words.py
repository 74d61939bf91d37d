"""Standing approvals in words: what falls under one, what is left of it, how it stands. Pure: the time is passed in."""

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal

from pydantic import JsonValue

from approvals.words import amount, at, duration, minor_units, people_left, requirement_in_words
from contracts.approval import ApprovalView
from contracts.base import Record
from contracts.standing import AnyValue, AtMost, Bound, Equals, OfEvent, OneOf, StandingTerms
from policy.standing import standing_requirement
from store.standing import StandingShown, StandingVoteShown, terms_of

__all__ = [
    "BoundShown",
    "StandingView",
    "bound_words",
    "minor_of",
    "money_of",
    "standing_view",
    "suggested_bound",
    "typed_value",
    "value_words",
]

State = Literal["waits", "holds", "used up", "over", "lapsed", "denied", "revoked", "damaged"]


class BoundShown(Record):
    """What may stand in one argument."""

    name: str
    words: str
    unproven: bool
    """Whether it may come from anywhere."""


class StandingView(Record):
    """One standing approval as people are shown it."""

    shown: StandingShown
    terms: StandingTerms | None
    """None where they are not what the digest says: then it holds for nothing."""
    state: State
    title: str
    bounds: tuple[BoundShown, ...]
    uses: str
    """Such as `3 of 20`."""
    moved: str
    """Such as `EUR 319.00 of EUR 1,000.00`; empty where no money moves."""
    until: str
    left: str
    """Until its end, or until it must be decided; empty when that is over."""
    needs: str
    """Who decides about it, in words."""
    people_left: int
    rung: str
    votes: tuple[StandingVoteShown, ...]


def standing_view(shown: StandingShown, votes: Sequence[StandingVoteShown] = ()) -> StandingView:
    """Everything that is shown of one, as it stands at the time of the store when it was read."""
    terms = terms_of(shown.terms, shown.digest)
    state = _state(shown, terms)
    ends = shown.decide_until if state == "waits" else shown.until
    left = ends - shown.read_at
    needed = standing_requirement(terms.rung) if terms else None
    money = terms.money if terms else None
    return StandingView(
        shown=shown,
        terms=terms,
        state=state,
        title=f"{shown.tool} of {shown.agent}",
        bounds=tuple(_bound(bound, money.currency if money else None) for bound in terms.bounds) if terms else (),
        uses=f"{shown.uses} of {terms.max_uses}" if terms else str(shown.uses),
        moved=f"{amount(shown.moved_minor, money.currency)} of {amount(money.total_minor, money.currency)}"
        if money
        else "",
        until=at(shown.until),
        left=duration(left) if state in ("waits", "holds") and left > timedelta() else "",
        needs=requirement_in_words(needed) if needed else "",
        people_left=people_left(needed, sum(vote.verdict == "approve" for vote in votes)) if needed else 0,
        rung=requirement_in_words(terms.rung) if terms else "",
        votes=tuple(votes),
    )


def _state(shown: StandingShown, terms: StandingTerms | None) -> State:
    if terms is None:
        return "damaged"
    match shown.state:
        case "proposed":
            return "waits" if shown.read_at < shown.decide_until else "lapsed"
        case "granted" if shown.read_at >= shown.until:
            return "over"
        case "granted":
            return "holds" if shown.uses < terms.max_uses else "used up"
        case "denied" | "revoked":
            return shown.state


def _bound(bound: Bound, currency: str | None) -> BoundShown:
    return BoundShown(name=bound.argument, words=bound_words(bound, currency), unproven=bound.unproven)


def bound_words(bound: Bound, currency: str | None = None) -> str:
    """What a bound lets through; an amount in minor units is told as money."""
    match bound:
        case Equals(value=value):
            return f"exactly {value_words(value)}"
        case OneOf(values=values):
            return "one of " + ", ".join(value_words(value) for value in values)
        case AtMost(most=most, argument=name):
            return f"at most {amount(most, currency) if currency and name.endswith('_minor') else f'{most:,}'}"
        case OfEvent():
            return "the one that the run's event names, or leads to through trusted records"
        case AnyValue():
            return "anything that the tool takes"


def value_words(value: JsonValue) -> str:
    """A value as it is compared: a text in quotation marks, so that spaces at its ends are seen."""
    return "not given" if value is None else json.dumps(value, ensure_ascii=False)


def suggested_bound(name: str, view: ApprovalView) -> Bound:
    """What the example of a request suggests for an argument: never wider than the example itself."""
    value = view.arguments[name]
    if view.provenance.get(name, {}).get("via"):
        return OfEvent(argument=name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return AtMost(argument=name, most=value)
    return Equals(argument=name, value=value)


def money_of(name: str, example: JsonValue, currency: str | None) -> str:
    """Currency in which people type a number; empty for other values."""
    is_number = isinstance(example, int) and not isinstance(example, bool)
    return currency if currency and is_number and name.endswith("_minor") else ""


def typed_value(name: str, typed: str, example: JsonValue, money: str) -> JsonValue:
    """What somebody typed as a value like the example. Raises ValueError: it is none."""
    if isinstance(example, str):
        return typed
    try:
        value: JsonValue = minor_of(typed, money) if money else json.loads(typed) if typed.strip() else None
    except (ValueError, RecursionError):
        value = None
    if value is None and typed.strip():
        raise ValueError(f"{name}: {typed[:60]!r} is no value like {json.dumps(example)}")
    return value


def minor_of(text: str, currency: str) -> int | None:
    """Minor units of an amount as people write it, such as `1000` or `1,000.50`; None: it is none."""
    try:
        value = Decimal(text.strip().replace(",", "")).scaleb(minor_units(currency))
    except InvalidOperation:
        return None
    return int(value) if value.is_finite() and value == value.to_integral_value() and value > 0 else None
