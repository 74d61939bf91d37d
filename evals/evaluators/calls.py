"""The trajectory: which calls were made, which were not, in which order, with which arguments."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from activities.models.conditions import Test
from contracts.base import Record, ToolName
from contracts.call import CallStatus
from evals.evaluators.base import STRICT, OfRun, fields_match
from evals.evidence import REACHED_OUTSIDE, Evidence, SeenProposal, SeenVisit

__all__ = ["ArgumentsMatch", "CallOrder", "CallPattern", "ForbiddenCalls", "Pattern", "RequiredCalls"]

CallT = TypeVar("CallT", SeenProposal, SeenVisit)


class CallPattern(Record):
    """Some calls of a tool."""

    tool: ToolName
    where: dict[str, Test] = Field(default_factory=dict)
    """Tests of the arguments, by dotted path; none: every call of the tool."""

    def among(self, calls: Iterable[CallT]) -> list[CallT]:
        """The calls that it means."""
        return [call for call in calls if call.tool == self.tool and fields_match(self.where, call.arguments)]

    def in_words(self) -> str:
        """For reasons."""
        return f"{self.tool} with {', '.join(self.where)} as said" if self.where else self.tool


def _pattern(value: object) -> object:
    return {"tool": value} if isinstance(value, str) else value


Pattern = Annotated[CallPattern, BeforeValidator(_pattern, json_schema_input_type=CallPattern | ToolName)]
"""A call pattern, or the name of a tool for all its calls."""
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=50)]


@dataclass(repr=False, config=STRICT)
class RequiredCalls(OfRun):
    """Each of these ran, at least once."""

    calls: Patterns

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        ran = [seen for seen in evidence.visits if seen.status is CallStatus.RAN]
        absent = [pattern.in_words() for pattern in self.calls if not pattern.among(ran)]
        return f"did not run: {'; '.join(absent)}" if absent else ""


@dataclass(repr=False, config=STRICT)
class ForbiddenCalls(OfRun):
    """None of these happened, wherever in the run, also not among parallel ones."""

    calls: Patterns
    what: Literal["proposed", "sent"] = "proposed"
    """`proposed`: the model must not even ask; `sent`: it may ask, the gate must not let it through."""

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        sent = [seen for seen in evidence.visits if seen.status in REACHED_OUTSIDE]
        found: list[str] = []
        for pattern in self.calls:
            # What was sent was proposed, even where the history of the proposals should not show it.
            proposed = pattern.among(evidence.proposals) if self.what == "proposed" else []
            found += [
                f"{call.tool} at step {call.step}, call {call.call}" for call in [*proposed, *pattern.among(sent)]
            ]
        return f"{self.what}: {'; '.join(dict.fromkeys(found))}" if found else ""


@dataclass(repr=False, config=STRICT)
class CallOrder(OfRun):
    """Each of these ran in an earlier step than the next one was tried.

    Calls of one step do not count as one before the other: the model asked for the second without having seen the
    answer to the first.
    """

    tools: Annotated[tuple[ToolName, ...], Field(min_length=2, max_length=20)]

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        for before, after in pairwise(self.tools):
            done = [seen.step for seen in evidence.visits if seen.tool == before and seen.status is CallStatus.RAN]
            tried = [seen.step for seen in evidence.visits if seen.tool == after]
            if not done or not tried:
                return f"{before if not done else after} did not happen, so there is no order to see"
            if min(tried) <= min(done):
                return f"{after} was tried at step {min(tried)}, {before} ran at step {min(done)} only"
        return ""


@dataclass(repr=False, config=STRICT)
class ArgumentsMatch(OfRun):
    """Every proposed call of the tool has such arguments, the second and the tenth too."""

    tool: ToolName
    arguments: Annotated[dict[str, Test], Field(min_length=1)]
    """Tests by dotted path."""

    def get_default_evaluation_name(self) -> str:
        """One name for each tool."""
        return f"ArgumentsMatch({self.tool})"

    def problem(self, evidence: Evidence) -> str:
        """See the class."""
        calls = [
            *CallPattern(tool=self.tool).among(evidence.proposals),
            *CallPattern(tool=self.tool).among(evidence.visits),
        ]
        if not calls:
            return f"no evidence: {self.tool} was never called"
        wrong = {
            f"{path} of step {call.step}, call {call.call} is {call.arguments.get(path.split('.')[0])!r}"
            for call in calls
            for path, test in self.arguments.items()
            if not fields_match({path: test}, call.arguments)
        }
        return "; ".join(sorted(wrong))
