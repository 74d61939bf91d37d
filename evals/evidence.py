"""What a case is scored on: what the run's history shows, and what the world's books show. Nothing else counts."""

from typing import Literal

from pydantic import Field

from contracts.base import JsonObject, Micros, Record
from contracts.call import CallStatus
from contracts.outcome import RunReport
from contracts.run_activities import ApprovalState

__all__ = ["REACHED_OUTSIDE", "Books", "Evidence", "SeenApproval", "SeenDecision", "SeenProposal", "SeenVisit"]

REACHED_OUTSIDE = frozenset({CallStatus.RAN, CallStatus.FAILED, CallStatus.UNKNOWN})
"""What became of calls that the gate let through."""


class SeenProposal(Record):
    """A call that the model proposed, whatever became of it."""

    step: int
    call: int
    """Position among the calls of the step."""
    tool: str
    arguments: JsonObject
    """Canonical."""


class SeenDecision(Record):
    """A decision of policy."""

    kind: Literal["allow", "deny", "needs_approval", "needs_check"]
    policies: tuple[str, ...]
    """Ids of the determining policies."""
    errors: tuple[str, ...] = ()


class SeenVisit(Record):
    """One passage of a call through the gate."""

    step: int
    call: int
    visit: int
    tool: str
    arguments: JsonObject
    status: CallStatus
    decision: SeenDecision | None
    """None: it was refused before policy was asked."""


class SeenApproval(Record):
    """A request for approval."""

    request_id: str
    step: int
    call: int
    tool: str
    requirement: str
    """Rung of the ladder that was asked."""
    state: ApprovalState | Literal["open", "abandoned"]
    by: tuple[str, ...]
    """Persons whose votes counted, in the order of counting."""


class Books(Record):
    """What the world shows of the case's tenant at the end."""

    refunds: tuple[JsonObject, ...]
    """Made since the case began."""
    drafts: tuple[JsonObject, ...]
    """Replies drafted since the case began."""
    tickets: dict[str, str]
    """Status of each ticket whose status was set since the case began."""
    writes: int = Field(ge=0)
    """Writes that did something: everything above, and whatever else there may be."""


class Evidence(Record):
    """All of it. What cannot be seen here has not been shown."""

    run_id: str
    tenant: str
    events: int = Field(default=0, ge=0)
    """Events of the history, all its executions together."""
    gaps: tuple[str, ...] = ()
    """What of the history is gone, or contradicts the rest of it, in words."""
    turns: int = Field(default=0, ge=0)
    """Answers of the model."""
    micros: Micros = 0
    """Cost of the model's answers in micro-dollars."""
    models: tuple[str, ...] = ()
    """Identities of the models that answered."""
    proposals: tuple[SeenProposal, ...] = ()
    visits: tuple[SeenVisit, ...] = ()
    """In the order of the history."""
    approvals: tuple[SeenApproval, ...] = ()
    report: RunReport | None = None
    """Result of the run; None while it has none."""
    books: Books | None = None
    duration_s: float = Field(default=0, ge=0)
    """From the delivery of the event to the end of the run."""

    def gap(self) -> str:
        """What is missing for any judgement; empty when the history is whole."""
        if self.gaps:
            return self.gaps[0]
        if not self.events:
            return "the run has no history"
        if self.report is None:
            return "the history has no end: the run did not finish in time"
        if self.turns < self.report.totals.steps:
            return f"the history shows {self.turns} of {self.report.totals.steps} model answers"
        if not self.turns:
            return "the history has no answer of the model"
        admitted = len({(seen.step, seen.call) for seen in self.visits})
        if admitted < self.report.totals.tool_calls:
            return f"the history shows {admitted} of {self.report.totals.tool_calls} tool calls"
        return ""
