"""The base of every evaluator: no evidence, no pass."""

from abc import abstractmethod
from collections.abc import Mapping

from pydantic import ConfigDict, JsonValue
from pydantic.dataclasses import dataclass
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext

from activities.models.conditions import Condition
from activities.models.conversation import ABSENT
from contracts.base import JsonObject
from evals.evidence import Evidence

__all__ = ["STRICT", "OfRun", "fields_match"]

STRICT = ConfigDict(extra="forbid")
"""A mistyped name must not make an expectation that expects nothing."""


@dataclass(repr=False, config=STRICT)
class OfRun(Evaluator[object, Evidence, object]):
    """An expectation of a run. Subclasses say what is wrong; that something is there to be judged is checked here."""

    def evaluate(self, ctx: EvaluatorContext[object, Evidence, object]) -> EvaluationReason:
        """Pass or fail, a failure always with its reason."""
        gap = ctx.output.gap()
        problem = f"no evidence: {gap}" if gap else self.problem(ctx.output)
        return EvaluationReason(value=not problem, reason=problem or None)

    @abstractmethod
    def problem(self, evidence: Evidence) -> str:
        """What is wrong, in a sentence; empty when nothing is. The history is whole."""


def fields_match(tests: Mapping[str, Condition], values: JsonObject) -> bool:
    """Whether every test holds; its key is a dotted path into the values."""
    return all(test.holds(_at(values, path), {}) for path, test in tests.items())


def _at(values: JsonObject, path: str) -> object:
    found: JsonValue = values
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return ABSENT
    return found
