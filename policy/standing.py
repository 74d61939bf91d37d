"""Whether a call falls under a standing approval: exactly what people agreed to, and nothing that looks like it. Pure.

What people agreed to are its terms. How often it was used is counted where the call is admitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from contracts.base import JsonObject
from contracts.canonical import canonical_bytes, digest
from contracts.decision import GroupCount, NeedsApproval, Requirement
from contracts.run_activities import ApprovalOpened
from contracts.standing import AnyValue, AtMost, Bound, Equals, OfEvent, OneOf, StandingTerms
from contracts.tool import Money
from policy.ladder import Ladder
from policy.provenance import Origin, Trace

__all__ = ["CallMet", "opened_standing", "outside", "standing_requirement"]

_TIER = 4
"""Of the question whether it may stand, whatever the calls under it."""
_MIN_PERSONS = 2


@dataclass(frozen=True)
class CallMet:
    """A call for which policy asks people."""

    agent: str
    tool: str
    tool_version: int
    schema_digest: str
    arguments: JsonObject
    """Canonical."""
    traces: Mapping[str, Trace]
    unproven: Sequence[str]
    """Arguments that no trusted record and no trusted field of the event holds."""
    tainted: Sequence[str]
    """Arguments that untrusted content may have chosen."""
    tier: int
    money: Money | None
    asked: NeedsApproval
    permits: frozenset[str]
    """Ids of the policies that permit; the others that are named ask."""
    ladder: Ladder
    now_s: int


def standing_requirement(rung: Requirement) -> Requirement:
    """Who decides about a standing approval for a rung: the rung's own people, and never fewer than two."""
    if rung.persons >= _MIN_PERSONS:
        return rung
    return rung.model_copy(update={"needs": (GroupCount(group=rung.needs[0].group, count=_MIN_PERSONS),)})


def opened_standing(terms: StandingTerms) -> ApprovalOpened:
    """What votes on it are judged by: a request of the highest tier, bound to the digest of its terms."""
    return ApprovalOpened(
        request_id="apr-" + terms.standing_id.removeprefix("sta-"),
        digest=digest(terms),
        requirement=standing_requirement(terms.rung),
        tier=_TIER,
        opened_at=terms.proposed_at,
        sla_at=terms.decide_until,
        expires_at=terms.decide_until,
    )


def outside(terms: StandingTerms, call: CallMet) -> str:
    """Why a call does not fall under it; empty where it does."""
    same = {
        "agent": (terms.agent, call.agent),
        "tool": ((terms.tool, terms.tool_version), (call.tool, call.tool_version)),
        "tool's schema": (terms.schema_digest, call.schema_digest),
        "rung": (terms.rung, call.ladder.rung(terms.rung.id)),
    }
    for what, (agreed, found) in same.items():
        if agreed != found:
            return f"the {what} is not the one that was agreed to"
    if call.now_s >= terms.until:
        return "its time is over"
    if call.tier > terms.max_tier:
        return f"the call has tier {call.tier}"
    if call.asked.requirement.id not in call.ladder.implied_by(terms.rung):
        return f"policy asks for {call.asked.requirement.id}"
    others = {reason.policy for reason in call.asked.reasons} - call.permits - {one.policy for one in terms.policies}
    if others:
        return f"other policies ask as well: {', '.join(sorted(others))}"
    return _money_outside(terms, call.money) or _arguments_outside(terms.bounds, call)


def _money_outside(terms: StandingTerms, money: Money | None) -> str:
    if money is None or money.amount_minor == 0:
        return ""
    if terms.money is None or terms.money.currency != money.currency:
        return f"it covers no {money.currency}"
    return "" if money.amount_minor <= terms.money.total_minor else "the amount is more than all uses together"


def _arguments_outside(bounds: Sequence[Bound], call: CallMet) -> str:
    by_name = {bound.argument: bound for bound in bounds}
    unbound = sorted(set(call.arguments) - set(by_name))
    if unbound or len(by_name) < len(bounds):
        return f"arguments without one bound each: {', '.join(unbound)}"
    for name, bound in by_name.items():
        trace = call.traces.get(name)
        if not bound.unproven and _is_doubtful(name, bound, trace, call):
            return f"no trusted record holds the value of {name}"
        if not _within(bound, call.arguments.get(name), trace):
            return f"{name} is out of bounds"
    return ""


def _is_doubtful(name: str, bound: Bound, trace: Trace | None, call: CallMet) -> bool:
    """Whether an outsider may have chosen the value. One that people listed is theirs, unless untrusted text has it."""
    if name in call.tainted:
        return True
    if isinstance(bound, Equals | OneOf):
        return trace is not None and trace.label is Origin.UNTRUSTED
    return name in call.unproven


def _within(bound: Bound, value: JsonValue, trace: Trace | None) -> bool:
    match bound:
        case Equals(value=agreed):
            return _is_same(value, agreed)
        case OneOf(values=agreed):
            return any(_is_same(value, one) for one in agreed)
        case AtMost(most=most):
            return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
        case OfEvent():
            return trace is not None and trace.intended
        case AnyValue():
            return True


def _is_same(one: JsonValue, other: JsonValue) -> bool:
    """By their canonical bytes: 1 is not true, and a letter is not another that looks like it."""
    return canonical_bytes(one) == canonical_bytes(other)
