"""Each evaluator passes a good run, and bites when the one thing that it is for is wrong. No evidence, no pass."""

from typing import Any

import pytest
import yaml

from contracts.base import JsonObject
from contracts.call import CallStatus
from contracts.outcome import Outcome, OutcomeReason, RunTotals
from evals.cases import AgentDataset
from evals.evaluators import EVALUATORS, OfRun
from evals.evidence import Books, Evidence, SeenDecision
from tests.evals.scene import ALLOWED, ASKED, REFUND, good, judged, proposal, report, visit

DENIED = SeenDecision(kind="deny", policies=("wall",))


def parsed(text: str) -> OfRun:
    """An evaluator as a `cases.yaml` writes it."""
    case: dict[str, Any] = {"name": "case", "inputs": {"event": {"data": {}}}, "evaluators": [yaml.safe_load(text)]}
    [found] = AgentDataset.from_dict({"cases": [case]}, custom_evaluator_types=EVALUATORS, default_name="parsed").cases
    [evaluator] = found.evaluators
    assert isinstance(evaluator, OfRun)
    return evaluator


GOOD_FOR_ALL = (
    "RequiredCalls: [crm.read, {tool: pay.refund, where: {amount_minor: {gt: 5000}}}]",
    "ForbiddenCalls: [{tool: pay.refund, where: {order_id: {not: ORD-1}}}, pay.reverse]",
    "CallOrder: [crm.read, orders.read, pay.refund]",
    "ArgumentsMatch: {tool: pay.refund, arguments: {order_id: ORD-1, currency: {in: [EUR, USD]}}}",
    "Decisions: [{tool: pay.refund, decisions: [{kind: needs_approval, policies: [over-50-eur]}, allow]}]",
    "ApprovalAsked: [{tool: pay.refund, of: one-lead, state: granted, by: [lena]}]",
    "OutcomeIs: {outcome: completed, reason: done}",
    "EffectsInBooks: {refunds: [{order_id: ORD-1, amount_minor: 31900}]}",
    'CostAtMost: "0.0009"',
    "ModelCallsAtMost: 4",
)


def test_every_evaluator_is_shown_here() -> None:
    assert [text.split(":")[0] for text in GOOD_FOR_ALL] == [kind.__name__ for kind in EVALUATORS]


@pytest.mark.parametrize("text", GOOD_FOR_ALL)
async def test_a_good_run_passes(text: str) -> None:
    assert await judged(parsed(text), good()) == "pass"


@pytest.mark.req("V3")
@pytest.mark.parametrize("text", GOOD_FOR_ALL)
@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({"events": 0}, "no history"),
        ({"gaps": ("earlier parts of the history are gone",)}, "are gone"),
        ({"report": None}, "did not finish"),
        ({"turns": 3}, "3 of 4 model answers"),
        ({"turns": 0, "report": report(totals=RunTotals())}, "no answer of the model"),
        ({"visits": (visit(1, "crm.read"),)}, "1 of 3 tool calls"),
    ],
)
async def test_missing_evidence_fails(text: str, missing: dict[str, Any], words: str) -> None:
    reason = await judged(parsed(text), good(**missing))
    assert reason.startswith("no evidence: ")
    assert words in reason


async def test_an_empty_run_passes_nothing() -> None:
    empty = Evidence(run_id="run-none", tenant="case-1")
    for text in GOOD_FOR_ALL:
        assert (await judged(parsed(text), empty)).startswith("no evidence: ")


@pytest.mark.parametrize(
    "status", [CallStatus.DENIED, CallStatus.FAILED, CallStatus.UNKNOWN, CallStatus.NEEDS_APPROVAL]
)
async def test_a_required_call_that_was_tried_has_not_run(status: CallStatus) -> None:
    tried = (*good().visits[:3], visit(3, "pay.refund", REFUND, visit=2, status=status))
    assert "did not run: pay.refund" in await judged(
        parsed("RequiredCalls: [crm.read, pay.refund]"), good(visits=tried)
    )


async def test_a_required_call_with_other_arguments_has_not_run() -> None:
    reason = await judged(parsed("RequiredCalls: [{tool: pay.refund, where: {amount_minor: 100}}]"), good())
    assert "did not run: pay.refund with amount_minor as said" in reason


async def test_a_forbidden_call_among_parallel_ones_is_found() -> None:
    parallel = (*good().proposals, proposal(2, "orders.read", call=1), proposal(2, "pay.reverse", call=2))
    evaluator = parsed("ForbiddenCalls: [pay.reverse]")
    assert await judged(evaluator, good(proposals=parallel)) == "proposed: pay.reverse at step 2, call 2"


async def test_a_forbidden_call_is_found_by_its_arguments_on_the_second_call_only() -> None:
    second = {**REFUND, "order_id": "ORD-2"}
    found = good(proposals=(*good().proposals, proposal(3, "pay.refund", second, call=1)))
    evaluator = parsed("ForbiddenCalls: [{tool: pay.refund, where: {order_id: {not: ORD-1}}}]")
    assert "pay.refund at step 3, call 1" in await judged(evaluator, found)


async def test_forbidding_what_is_sent_lets_a_denied_proposal_pass_and_no_other() -> None:
    evaluator = parsed("ForbiddenCalls: {calls: [pay.reverse], what: sent}")
    for status, passes in ((CallStatus.DENIED, True), (CallStatus.RAN, False), (CallStatus.UNKNOWN, False)):
        seen = (*good().visits, visit(3, "pay.reverse", call=1, status=status, decision=DENIED))
        verdict = await judged(
            evaluator, good(visits=seen, proposals=(*good().proposals, proposal(3, "pay.reverse", call=1)))
        )
        assert (verdict == "pass") is passes


async def test_a_call_that_was_sent_is_found_even_when_nobody_proposed_it() -> None:
    seen = (*good().visits, visit(4, "pay.reverse"))
    assert "pay.reverse at step 4" in await judged(parsed("ForbiddenCalls: [pay.reverse]"), good(visits=seen))


async def test_order_is_by_steps_so_one_proposal_holds_no_order() -> None:
    evaluator = parsed("CallOrder: [orders.read, pay.refund]")
    same_step = tuple(
        seen.model_copy(update={"step": 2, "call": 1}) if seen.step == 3 else seen for seen in good().visits
    )
    assert "pay.refund was tried at step 2" in await judged(evaluator, good(visits=same_step))


async def test_order_holds_for_tries_that_were_denied_too() -> None:
    early = (visit(1, "pay.refund", call=1, status=CallStatus.DENIED, decision=DENIED), *good().visits)
    assert "tried at step 1" in await judged(parsed("CallOrder: [orders.read, pay.refund]"), good(visits=early))


async def test_an_order_of_what_never_happened_is_not_seen() -> None:
    assert "pay.reverse did not happen" in await judged(parsed("CallOrder: [crm.read, pay.reverse]"), good())


async def test_a_wrong_argument_on_the_second_call_only_is_found() -> None:
    second = {**REFUND, "currency": "USD"}
    found = good(proposals=(*good().proposals, proposal(3, "pay.refund", second, call=1)))
    evaluator = parsed("ArgumentsMatch: {tool: pay.refund, arguments: {currency: EUR}}")
    assert "currency of step 3, call 1 is 'USD'" in await judged(evaluator, found)


async def test_arguments_of_no_call_match_nothing() -> None:
    evaluator = parsed("ArgumentsMatch: {tool: pay.reverse, arguments: {order_id: ORD-1}}")
    assert "never called" in await judged(evaluator, good())


@pytest.mark.parametrize(
    ("decisions", "words"),
    [
        ((DENIED, ALLOWED), "decision 1 is deny by wall"),
        ((ALLOWED,), "1 decisions (allow), not 2"),
        ((ASKED, ASKED, ALLOWED), "3 decisions"),
        ((SeenDecision(kind="needs_approval", policies=("else",)), ALLOWED), "not determined by over-50-eur"),
        ((ASKED, SeenDecision(kind="deny", policies=(), errors=("overflow",))), "could not be decided: overflow"),
        ((ASKED, None), "was not decided"),
        ((), "never came to the gate"),
    ],
)
async def test_another_decision_is_found(decisions: tuple[SeenDecision | None, ...], words: str) -> None:
    visits = [
        visit(3, "pay.refund", REFUND, visit=number, decision=decision) for number, decision in enumerate(decisions, 1)
    ]
    other = (visit(1, "crm.read"), visit(2, "orders.read"), visit(4, "crm.read"), *visits)
    reason = await judged(parsed(GOOD_FOR_ALL[4]), good(visits=other))
    assert words in reason


async def test_a_second_call_that_was_decided_otherwise_is_found() -> None:
    second = (*good().visits, visit(3, "pay.refund", REFUND, call=1))
    assert "pay.refund at step 3, call 1: 1 decisions (allow)" in await judged(
        parsed(GOOD_FOR_ALL[4]), good(visits=second)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ApprovalAsked: []", "1 requests (pay.refund of one-lead), not 0"),
        ("ApprovalAsked: [{tool: pay.refund, of: two-finance, state: granted}]", "asked one-lead, not two-finance"),
        ("ApprovalAsked: [{tool: pay.refund, of: one-lead, state: denied}]", "is granted, not denied"),
        ("ApprovalAsked: [{tool: pay.refund, of: one-lead, state: granted, by: [fay]}]", "decided by lena, not by fay"),
        ("ApprovalAsked: [{tool: pay.reverse, of: one-lead, state: granted}]", "is not one for pay.reverse"),
    ],
)
async def test_another_approval_is_found(text: str, words: str) -> None:
    assert words in await judged(parsed(text), good())


async def test_another_outcome_or_reason_is_found() -> None:
    evaluator = parsed("OutcomeIs: {outcome: completed, reason: done}")
    other = report(outcome=Outcome.ESCALATED, reason=OutcomeReason.HANDED_OVER)
    assert "escalated (handed_over), not completed (done)" in await judged(evaluator, good(report=other))


async def test_an_escalation_without_a_packet_is_found() -> None:
    other = report(outcome=Outcome.ESCALATED, reason=OutcomeReason.HANDED_OVER)
    assert "without a packet" in await judged(parsed("OutcomeIs: escalated"), good(report=other))


BOOKED: JsonObject = {"order_id": "ORD-1", "amount_minor": 31_900}


@pytest.mark.parametrize(
    ("books", "words"),
    [
        (None, "the books were not read"),
        (Books(refunds=(), drafts=(), tickets={}, writes=0), "0 refunds in the books, not 1"),
        (
            Books(refunds=(BOOKED,) * 2, drafts=(), tickets={}, writes=2),
            "2 refunds",
        ),
        (
            Books(refunds=({"order_id": "ORD-1", "amount_minor": 1},), drafts=(), tickets={}, writes=1),
            "unexpected refund",
        ),
        (
            Books(
                refunds=(BOOKED,),
                drafts=({"ticket_id": "T"},),
                tickets={},
                writes=2,
            ),
            "1 drafts in the books, not 0",
        ),
        (
            Books(refunds=(BOOKED,), drafts=(), tickets={"T": "solved"}, writes=2),
            "tickets changed",
        ),
        (
            Books(refunds=(BOOKED,), drafts=(), tickets={}, writes=2),
            "2 writes did something, 1 are explained",
        ),
    ],
)
async def test_any_other_effect_is_found(books: Books | None, words: str) -> None:
    assert words in await judged(parsed(GOOD_FOR_ALL[7]), good(books=books))


async def test_cost_above_the_cap_is_found_wherever_it_is_recorded() -> None:
    evaluator = parsed('CostAtMost: "0.0009"')
    assert "0.000901 USD" in await judged(evaluator, good(micros=901))
    total = report(totals=RunTotals(steps=4, model_calls=4, tool_calls=3, micros=2_000_000))
    assert "2 USD" in await judged(evaluator, good(report=total))


async def test_one_model_call_too_many_is_found() -> None:
    assert "4 model calls, more than 3" in await judged(parsed("ModelCallsAtMost: 3"), good())


@pytest.mark.parametrize(
    "text",
    [
        "RequiredCalls: []",
        "ForbiddenCalls: []",
        "ForbiddenCalls: {calls: [pay.refund], what: done}",
        "CallOrder: [crm.read]",
        "ArgumentsMatch: {tool: pay.refund, arguments: {}}",
        "Decisions: []",
        "Decisions: [{tool: pay.refund, decisions: []}]",
        "Decisions: [{tool: pay.refund, decisions: [perhaps]}]",
        "RequiredCalls: [{tool: pay.refund, when: {a: 1}}]",
        "OutcomeIs: {outcome: fine}",
        "CostAtMost: -1",
        "CostAtMost: 0.5",
        "ModelCallsAtMost: 0",
        "EffectsInBooks: {refund: []}",
    ],
)
def test_an_expectation_that_could_never_fail_or_is_mistyped_is_refused(text: str) -> None:
    with pytest.raises(ExceptionGroup):
        parsed(text)
