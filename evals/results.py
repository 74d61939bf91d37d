"""What came of the cases."""

from typing import Literal

from pydantic import Field

from contracts.base import Micros, Record

__all__ = ["CaseResult", "Check", "EvalReport", "State"]

State = Literal["passed", "failed", "could_not_run"]


class Check(Record):
    """What one evaluator says of one run."""

    name: str
    passed: bool
    reason: str
    """Why not; empty when passed."""


class CaseResult(Record):
    """One case, run once."""

    agent: str
    case: str
    family: str
    state: State
    """`could_not_run`: the stack failed twice, nothing was shown either way."""
    checks: tuple[Check, ...]
    error: str = ""
    """Of `could_not_run`."""
    attempts: int = Field(default=1, ge=1)
    """More than one: the stack failed under the first. A case that ran is never run again."""
    run_id: str = ""
    duration_s: float = Field(default=0, ge=0)
    """From the delivery of the event to the end of the run."""
    model_calls: int = 0
    models: tuple[str, ...] = ()
    """Identities of the models that answered; `scripted:…` says nothing about a real one."""
    micros: Micros = 0
    """Cost of the model's answers in micro-dollars."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it did not pass, a line each."""
        failed = tuple(f"{check.name}: {check.reason}" for check in self.checks if not check.passed)
        return (*failed, self.error) if self.error else failed


class EvalReport(Record):
    """All of them."""

    results: tuple[CaseResult, ...]
    duration_s: float = Field(ge=0)

    @property
    def models(self) -> tuple[str, ...]:
        """Identities of all models that answered."""
        return tuple(dict.fromkeys(model for result in self.results for model in result.models))

    def count(self, state: State) -> int:
        """How many cases came out so."""
        return sum(result.state == state for result in self.results)

    @property
    def verdict(self) -> State:
        """A failure is known whatever could not run; nothing at all has not passed."""
        if self.count("failed"):
            return "failed"
        return "passed" if self.results and not self.count("could_not_run") else "could_not_run"
