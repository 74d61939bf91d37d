"""What policy said, call by call."""

from collections import defaultdict
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from contracts.base import Record
from evals.evaluators.base import STRICT, OfRun
from evals.evaluators.calls import CallPattern
from evals.evidence import Evidence, SeenVisit

__all__ = ["DecidedCall", "Decisions", "ExpectedDecision"]


Kind = Literal["allow", "deny", "needs_approval", "needs_check"]


class ExpectedDecision(Record):
    """One decision."""

    kind: Kind
    policies: tuple[str, ...] = Field(default=(), max_length=20)
    """Policies that must be among the determining ones, by `@id`; none: whichever."""

    def difference(self, seen: SeenVisit) -> str:
        """What is otherwise; empty when nothing is."""
        if seen.decision is None:
            return f"was not decided ({seen.status.value})"
        if seen.decision.errors:
            return f"could not be decided: {seen.decision.errors[0]}"
        if seen.decision.kind != self.kind:
            return f"is {seen.decision.kind} by {', '.join(seen.decision.policies) or 'no policy'}, not {self.kind}"
        absent = [policy for policy in self.policies if policy not in seen.decision.policies]
        return f"was not determined by {', '.join(absent)}" if absent else ""


def _decision(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Decided = Annotated[ExpectedDecision, BeforeValidator(_decision, json_schema_input_type=ExpectedDecision | Kind)]


class DecidedCall(CallPattern):
    """Every call that the pattern means is decided so."""

    decisions: Annotated[tuple[Decided, ...], Field(min_length=1, max_length=10)]
    """One for each visit of the gate, in order: two for a call that waited for people. A word stands for its kind."""


@dataclass(repr=False, config=STRICT)
class Decisions(OfRun):
    """The gate decided these calls so: each matching call, each of its visits."""

    calls: Annotated[tuple[DecidedCall, ...], Field(min_length=1, max_length=50)]

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        return "; ".join(filter(None, (self._problem_of(expected, evidence) for expected in self.calls)))

    @staticmethod
    def _problem_of(expected: DecidedCall, evidence: Evidence) -> str:
        visits = defaultdict[tuple[int, int], list[SeenVisit]](list)
        for seen in expected.among(evidence.visits):
            visits[seen.step, seen.call].append(seen)
        if not visits:
            return f"no evidence: {expected.in_words()} never came to the gate"
        for (step, call), decided in visits.items():
            place = f"{expected.tool} at step {step}, call {call}"
            if len(decided) != len(expected.decisions):
                kinds = ", ".join(seen.decision.kind if seen.decision else seen.status.value for seen in decided)
                return f"{place}: {len(decided)} decisions ({kinds}), not {len(expected.decisions)}"
            for number, (wanted, seen) in enumerate(zip(expected.decisions, decided, strict=True), start=1):
                difference = wanted.difference(seen)
                if difference:
                    return f"{place}: decision {number} {difference}"
        return ""
