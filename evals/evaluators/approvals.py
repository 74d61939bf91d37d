"""Of whom approval was asked, and who gave it."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from contracts.base import Record, ToolName
from contracts.run_activities import ApprovalState
from evals.evaluators.base import STRICT, OfRun
from evals.evidence import Evidence, SeenApproval

__all__ = ["ApprovalAsked", "Asked"]


class Asked(Record):
    """One request for approval."""

    tool: ToolName
    of: str
    """Rung of the ladder, such as `one-support-lead`."""
    state: ApprovalState
    """How it ended."""
    by: tuple[str, ...] | None = None
    """Persons whose votes counted, in any order; null: whoever."""

    def difference(self, seen: SeenApproval) -> str:
        """What is otherwise; empty when nothing is."""
        place = f"the request for {seen.tool} at step {seen.step}"
        if seen.tool != self.tool:
            return f"{place} is not one for {self.tool}"
        if seen.requirement != self.of:
            return f"{place} asked {seen.requirement}, not {self.of}"
        if seen.state != self.state:
            return f"{place} is {seen.state}, not {self.state}"
        if self.by is not None and sorted(seen.by) != sorted(self.by):
            return f"{place} was decided by {', '.join(seen.by) or 'nobody'}, not by {', '.join(self.by) or 'nobody'}"
        return ""


@dataclass(repr=False, config=STRICT)
class ApprovalAsked(OfRun):
    """Exactly these requests were opened, in this order; an empty list: nobody was asked."""

    requests: Annotated[tuple[Asked, ...], Field(max_length=20)]

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        if len(evidence.approvals) != len(self.requests):
            asked = ", ".join(f"{seen.tool} of {seen.requirement}" for seen in evidence.approvals) or "none"
            return f"{len(evidence.approvals)} requests ({asked}), not {len(self.requests)}"
        pairs = zip(self.requests, evidence.approvals, strict=True)
        return "; ".join(filter(None, (expected.difference(seen) for expected, seen in pairs)))
