"""How a run ends: the fault or the fact that ends it, as a value."""

from dataclasses import dataclass

from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as ActivityTimeoutError

from contracts.agent import OnExceeded
from contracts.outcome import EscalationPacket, Outcome, OutcomeReason, ReportContent, RunReport, RunTotals
from contracts.run_activities import MODEL_REJECTED, MODEL_UNAVAILABLE, NOT_ADMITTED, STORE_DOWN

__all__ = ["End", "end_of_fault", "end_of_limit", "is_model_fault", "report_without_store"]

_FAULTS = {
    STORE_DOWN: (Outcome.FAILED_SAFE, OutcomeReason.STORE_DOWN),
    MODEL_UNAVAILABLE: (Outcome.ESCALATED, OutcomeReason.NO_MODEL),
    MODEL_REJECTED: (Outcome.ESCALATED, OutcomeReason.NO_MODEL),
    NOT_ADMITTED: (Outcome.FAILED_SAFE, OutcomeReason.NOT_ADMITTED),
}


@dataclass(frozen=True)
class End:
    """Why and how a run ends. `detail` holds no personal data."""

    outcome: Outcome
    reason: OutcomeReason
    detail: str = ""


def end_of_limit(limit: str, on_exceeded: OnExceeded) -> End:
    """A limit was met."""
    outcome = Outcome.FAILED_SAFE if on_exceeded is OnExceeded.STOP else Outcome.ESCALATED
    return End(outcome, OutcomeReason.LIMIT_REACHED, f"limit {limit}")


def end_of_fault(error: FailureError) -> End:
    """An activity failed for good."""
    fault = _root(error)
    if isinstance(fault, ApplicationError) and fault.type in _FAULTS:
        outcome, reason = _FAULTS[fault.type]
        return End(outcome, reason, fault.message[:500])
    words = fault.message if isinstance(fault, FailureError) else str(fault)
    where = f"{error.activity_type}: " if isinstance(error, ActivityError) else ""
    return End(Outcome.FAILED_SAFE, OutcomeReason.ENGINE_FAULT, f"{where}{words}"[:500])


def is_model_fault(error: FailureError) -> bool:
    """Whether it failed because no model could be had, for now."""
    fault = _root(error)
    return isinstance(fault, ApplicationError) and fault.type == MODEL_UNAVAILABLE


def report_without_store(run_id: str, end: End, goal: str, totals: RunTotals, steps: tuple[str, ...]) -> RunReport:
    """The report of a run that cannot be written down: all that is known goes into the workflow's result."""
    return RunReport(
        run_id=run_id,
        outcome=Outcome.FAILED_SAFE if end.outcome is Outcome.COMPLETED else end.outcome,
        reason=end.reason,
        totals=totals,
        content=ReportContent(
            packet=EscalationPacket(
                goal=goal,
                why=end.detail or end.reason.value,
                needed="Restore the store, look at the effects ledger for what is in doubt, then go on by hand.",
                steps=steps[-200:],
                effects=(),
                blocked_by=(),
            )
        ),
    )


def _root(error: FailureError) -> BaseException:
    """The fault itself. Regular activities wrap it, local ones do not; a timeout carries the last one."""
    cause: BaseException = error
    while isinstance(cause, ActivityError | ActivityTimeoutError) and cause.cause is not None:
        cause = cause.cause
    return cause
