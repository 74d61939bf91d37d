"""What falls under a standing approval: exactly what people agreed to. Whatever differs in anything asks people."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.base import JsonObject
from contracts.decision import GroupCount, NeedsApproval, Reason, Requirement
from contracts.standing import AnyValue, AtMost, Bound, Equals, OfEvent, OneOf, StandingMoney, StandingTerms
from contracts.tool import Money
from policy.decide import decide
from policy.ladder import Ladder
from policy.provenance import Origin, Trace
from policy.standing import CallMet, outside, standing_requirement
from tests.policy.desk import PERMIT_ALL, bundle_of, request_for
from tests.policy.test_decide import forbid

pytestmark = pytest.mark.req("A9")

LEAD = Requirement(id="one-lead", needs=(GroupCount(group="leads", count=1),))
TWO = Requirement(id="two-finance", needs=(GroupCount(group="finance", count=2),))
LADDER = Ladder(rungs=(LEAD, TWO))
SCHEMA = "sha256:" + "1" * 64
ARGUMENTS: JsonObject = {"order": "ORD-1", "amount_minor": 500, "currency": "EUR", "urgent": True, "note": "late"}
BOUNDS: tuple[Bound, ...] = (
    OfEvent(argument="order"),
    AtMost(argument="amount_minor", most=1_000),
    OneOf(argument="currency", values=("EUR", "USD")),
    Equals(argument="urgent", value=True),
    AnyValue(argument="note", unproven=True),
)
TERMS = StandingTerms(
    tenant="acme", standing_id="sta-" + "a" * 26, scope="small", agent="desk", tool="desk.pay", tool_version=2,
    schema_digest=SCHEMA, bounds=BOUNDS, rung=LEAD, policies=(Reason(policy="over-limit", text="Too much."),),
    max_tier=3, max_uses=10,
    money=StandingMoney(currency="EUR", total_minor=2_000), reason="Because it is late.", proposed_by="fay",
    proposer="fay", proposed_at=1_000, decide_until=2_000, until=9_000,
)  # fmt: skip
PROVEN = Trace(label=Origin.TRUSTED, via="the event states it")


def traced(**labels: Origin) -> dict[str, Trace]:
    return {name: Trace(label=labels[name]) if name in labels else PROVEN for name in ARGUMENTS}


def asks(*policies: str, rung: Requirement = LEAD) -> NeedsApproval:
    return NeedsApproval(requirement=rung, reasons=tuple(Reason(policy=name, text="") for name in policies))


def test_the_call_that_was_agreed_to_falls_under_it() -> None:
    assert outside(TERMS, MET) == ""


MET = CallMet(
    agent="desk", tool="desk.pay", tool_version=2, schema_digest=SCHEMA, arguments=ARGUMENTS, traces=traced(),
    unproven=(), tainted=(), tier=3, money=Money(amount_minor=500, currency="EUR"),
    asked=asks("over-limit", "may"),
    permits=frozenset({"may"}), ladder=LADDER, now_s=3_000,
)  # fmt: skip


def met(**changes: Any) -> CallMet:  # noqa: ANN401 - any field
    return dataclasses.replace(MET, **changes)


def args(**changes: object) -> CallMet:
    return met(arguments={**ARGUMENTS, **changes})


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (met(agent="other"), "agent"),
        (met(tool="desk.send"), "tool"),
        (met(tool_version=3), "tool"),
        (met(schema_digest="sha256:" + "2" * 64), "schema"),
        (met(now_s=9_000), "time is over"),
        (met(tier=4), "tier 4"),
        (met(asked=asks("over-limit", rung=TWO)), "two-finance"),
        (met(asked=asks("over-limit", "done-before", "may")), "done-before"),
        (met(asked=asks("over-limit", "tainted-write")), "tainted-write"),
        (met(ladder=Ladder(rungs=(TWO,))), "rung"),
        (met(ladder=Ladder(rungs=(Requirement(id="one-lead", needs=TWO.needs),))), "rung"),
        (met(money=Money(amount_minor=500, currency="USD")), "covers no USD"),
        (met(money=Money(amount_minor=2_001, currency="EUR")), "more than all"),
        (args(amount_minor=1_001), "amount_minor"),
        (args(amount_minor=-1), "amount_minor"),
        (args(amount_minor=True), "amount_minor"),
        (args(amount_minor="500"), "amount_minor"),
        (args(amount_minor=None), "amount_minor"),
        (args(currency="eur"), "currency"),
        (args(currency="EUR "), "currency"),
        (args(currency="\uff25UR"), "currency"),
        (args(currency="E\u200bUR"), "currency"),
        (args(urgent=1), "urgent"),
        (args(urgent=None), "urgent"),
        (args(account="DE00"), "account"),
        (met(traces={**traced(), "order": Trace(label=Origin.TRUSTED)}), "order"),
        (met(traces=traced(currency=Origin.UNTRUSTED)), "currency"),
        (met(unproven=("amount_minor",)), "amount_minor"),
        (met(unproven=("order",)), "order"),
        (met(tainted=("currency",)), "currency"),
    ],
)
def test_whatever_differs_asks_people(call: CallMet, why: str) -> None:
    assert why in outside(TERMS, call)


def test_a_value_from_anywhere_is_within_only_where_the_terms_say_so() -> None:
    assert outside(TERMS, met(unproven=("note",), tainted=("note",), traces=traced(note=Origin.UNTRUSTED))) == ""
    careful = TERMS.model_copy(update={"bounds": (*BOUNDS[:-1], AnyValue(argument="note"))})
    assert "note" in outside(careful, met(unproven=("note",)))


def test_without_a_total_it_covers_no_money_and_each_argument_has_one_bound() -> None:
    assert "covers no EUR" in outside(TERMS.model_copy(update={"money": None}), MET)
    twice = TERMS.model_copy(update={"bounds": (*BOUNDS, AnyValue(argument="order", unproven=True))})
    assert "one bound each" in outside(twice, MET)


@given(st.text(min_size=1, max_size=5))
def test_a_text_is_within_only_if_it_is_the_very_text(text: str) -> None:
    assert (outside(TERMS, args(currency=text)) == "") is (text in ("EUR", "USD"))


def test_never_fewer_than_two_decide_and_never_others_than_the_rungs() -> None:
    assert standing_requirement(TWO) == TWO
    assert standing_requirement(LEAD).needs == (GroupCount(group="leads", count=2),)
    mixed = Requirement(id="mixed", needs=(*LEAD.needs, GroupCount(group="finance", count=1)))
    assert standing_requirement(mixed) == mixed


def test_it_is_a_grant_like_peoples_and_policies_may_refuse_it_as_one() -> None:
    lead = bundle_of(a=PERMIT_ALL, b=forbid("desk-lead", 'context.granted.contains("one-lead")'))
    asked = decide(lead, request_for()).decision
    assert asked.kind == "needs_approval"
    rungs = lead.ladder.implied_by(asked.requirement)
    assert decide(lead, request_for(), granted=rungs, approvers=1, kind="standing").decision.kind == "allow"
    people = bundle_of(
        a=PERMIT_ALL, b=forbid("desk-lead", 'context.granted.contains("one-lead")'),
        c=forbid("desk-asked", 'context.grant_kind == "standing"', "when"),
    )  # fmt: skip
    assert decide(people, request_for(), granted=rungs, approvers=1, kind="standing").decision.kind == "needs_approval"
    assert decide(people, request_for(), granted=rungs, approvers=1).decision.kind == "allow"
    none = bundle_of(a=PERMIT_ALL, b=forbid("desk-none", 'context.grant_kind != "none"', "when"))
    assert decide(none, request_for()).decision.kind == "allow"
