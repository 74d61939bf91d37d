"""Evidence made by hand: what one good run shows, and that run with one thing changed."""

from typing import Any

from pydantic_evals import Case, Dataset
from pydantic_evals.reporting import ReportCase

from contracts.call import CallStatus
from contracts.outcome import Outcome, OutcomeReason, ReportContent, RunReport, RunTotals
from evals.cases import AgentDataset, CaseEvent, CaseInput, CaseNotes
from evals.evaluators import OfRun
from evals.evidence import Books, Evidence, SeenApproval, SeenDecision, SeenProposal, SeenVisit

RUN = "run-" + "a" * 26
REFUND = {"order_id": "ORD-1", "amount_minor": 31_900, "currency": "EUR"}
ASKED = SeenDecision(kind="needs_approval", policies=("over-50-eur", "may-refund"))
ALLOWED = SeenDecision(kind="allow", policies=("may-refund",))


def visit(step: int, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> SeenVisit:  # noqa: ANN401 - any field
    values: dict[str, Any] = {"call": 0, "visit": 1, "status": CallStatus.RAN, "decision": ALLOWED, **more}
    return SeenVisit(step=step, tool=tool, arguments=arguments or {}, **values)


def proposal(step: int, tool: str, arguments: dict[str, Any] | None = None, call: int = 0) -> SeenProposal:
    return SeenProposal(step=step, call=call, tool=tool, arguments=arguments or {})


def report(**changes: Any) -> RunReport:  # noqa: ANN401 - any field
    values: dict[str, Any] = {
        "run_id": RUN,
        "outcome": Outcome.COMPLETED,
        "reason": OutcomeReason.DONE,
        "totals": RunTotals(steps=4, model_calls=4, tool_calls=3, effects=1, micros=900),
        "content": ReportContent(summary="Refunded."),
    }
    return RunReport.model_validate({**values, **changes})


def good(**changes: Any) -> Evidence:  # noqa: ANN401 - any field
    """A ticket and an order are read, a refund is approved by lena and made."""
    values: dict[str, Any] = {
        "run_id": RUN,
        "tenant": "case-1",
        "events": 80,
        "turns": 4,
        "micros": 900,
        "models": ("scripted:script.yaml",),
        "proposals": (proposal(1, "crm.read"), proposal(2, "orders.read"), proposal(3, "pay.refund", REFUND)),
        "visits": (
            visit(1, "crm.read"),
            visit(2, "orders.read"),
            visit(3, "pay.refund", REFUND, status=CallStatus.NEEDS_APPROVAL, decision=ASKED),
            visit(3, "pay.refund", REFUND, visit=2),
        ),
        "approvals": (
            SeenApproval(
                request_id="apr-1",
                step=3,
                call=0,
                tool="pay.refund",
                requirement="one-lead",
                state="granted",
                by=("lena",),
            ),
        ),
        "report": report(),
        "books": Books(refunds=({"order_id": "ORD-1", "amount_minor": 31_900},), drafts=(), tickets={}, writes=1),
    }
    return Evidence.model_validate({**values, **changes})


async def judged(evaluator: OfRun, evidence: Evidence) -> str:
    """What the evaluator says, as the runner hears it: `pass`, or the reason of a failure."""
    case: Case[CaseInput, Evidence, CaseNotes] = Case(
        name="case", inputs=CaseInput(event=CaseEvent(data={})), evaluators=(evaluator,)
    )
    dataset: Dataset[CaseInput, Evidence, CaseNotes] = AgentDataset(name="scene", cases=[case])

    async def shown(_inputs: CaseInput) -> Evidence:
        return evidence

    found = await dataset.evaluate(shown, progress=False)
    assert not found.failures
    [result] = found.cases
    assert isinstance(result, ReportCase)
    assert not result.evaluator_failures, result.evaluator_failures
    [(_name, verdict)] = result.assertions.items()
    assert verdict.value is True or verdict.reason
    return "pass" if verdict.value else str(verdict.reason)
