"""Whether a run goes in circles, judged on what its steps called and got. Pure, so that replay finds the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from contracts.agent import LoopLimits
from contracts.base import Record

__all__ = ["CallSeen", "LoopState", "LoopVerdict", "LoopWatch"]

_MARK_CHARACTERS = 16
_MAX_WINDOW = 64
_MAX_KNOWN = 512


@dataclass(frozen=True)
class CallSeen:
    """A call of a step and what became of it."""

    tool: str
    arguments_digest: str
    status: str
    """Of its last visit, such as `ran` or `denied`."""
    output_digest: str
    """Empty when there was no output."""
    wrote: bool
    """Whether it had an effect outside."""


class LoopState(Record):
    """What is remembered of the steps so far: marks, never values. At most 64 steps and 512 results."""

    steps: tuple[tuple[str, ...], ...] = Field(default=(), max_length=_MAX_WINDOW)
    """Marks of call and result together, per step, newest last."""
    known: tuple[str, ...] = Field(default=(), max_length=_MAX_KNOWN)
    """Marks of the outputs that were seen, newest last."""
    errors: int = 0
    """Steps in a row without a success."""
    no_news: int = 0
    """Steps in a row that succeeded and told only what was known."""
    no_progress: int = 0
    """Steps in a row that neither wrote nor learnt anything."""
    warned: bool = False


class LoopVerdict(Record):
    """The run goes in circles."""

    kind: Literal["identical", "alternating", "errors", "no_news", "no_progress"]
    detail: str = Field(max_length=300)
    """What repeated, in words. Tool names and counts: no personal data."""
    warn: bool
    """Tell the model, this once; else the run ends."""


class LoopWatch:
    """Fed with each step's calls, in order."""

    def __init__(self, limits: LoopLimits, state: LoopState | None = None) -> None:
        self._limits = limits
        self.state = state or LoopState()
        """To be carried on when the run continues in another execution."""

    def step(self, calls: Sequence[CallSeen]) -> LoopVerdict | None:
        """Take a step's calls; a verdict when they close a circle. After a warning the counts begin anew."""
        if not calls:
            return None
        before, known = self.state, dict.fromkeys(self.state.known)
        outputs = dict.fromkeys(_mark(call.output_digest) for call in calls if call.output_digest)
        succeeded = any(call.status == "ran" for call in calls)
        learnt = any(output not in known for output in outputs)
        moved = learnt or any(call.wrote for call in calls)
        steps = (*before.steps, tuple(dict.fromkeys(_pair(call) for call in calls)))[-self._window() :]
        self.state = LoopState(
            steps=steps,
            known=tuple({**known, **outputs})[-_MAX_KNOWN:],
            errors=0 if succeeded else before.errors + 1,
            no_news=before.no_news + 1 if succeeded and not moved else 0,
            no_progress=0 if moved else before.no_progress + 1,
            warned=before.warned,
        )
        verdict = self._verdict(calls)
        if verdict is not None and verdict.warn:
            self.state = LoopState(known=self.state.known, warned=True)
        return verdict

    def _window(self) -> int:
        """How many steps matter: twice what the longest pattern takes, so that other calls between do not hide it."""
        return min(2 * max(self._limits.identical, 2 * self._limits.alternating), _MAX_WINDOW)

    def _verdict(self, calls: Sequence[CallSeen]) -> LoopVerdict | None:
        found = self._identical(calls) or self._alternating(calls) or self._streak(calls)
        if found is None:
            return None
        kind, detail = found
        return LoopVerdict(kind=kind, detail=detail[:300], warn=self._limits.warn and not self.state.warned)

    def _identical(self, calls: Sequence[CallSeen]) -> tuple[Literal["identical"], str] | None:
        for call in calls:
            times = sum(_pair(call) in step for step in self.state.steps)
            # A write of the same words is the ledger's affair; here only what changes nothing can be a circle.
            if times >= min(self._limits.identical, _MAX_WINDOW) and not call.wrote:
                return "identical", f"{call.tool} was called {times} times with the same arguments and the same result"
        return None

    def _alternating(self, calls: Sequence[CallSeen]) -> tuple[Literal["alternating"], str] | None:
        length = 2 * self._limits.alternating
        last = self.state.steps[-length:]
        if len(last) < length or last[0] == last[1] or any(call.wrote for call in calls):
            return None
        if any(step != last[position % 2] for position, step in enumerate(last)):
            return None
        tools = ", ".join(dict.fromkeys(call.tool for call in calls))
        return "alternating", f"two steps took turns {self._limits.alternating} times, the last one calling {tools}"

    def _streak(self, calls: Sequence[CallSeen]) -> tuple[Literal["errors", "no_news", "no_progress"], str] | None:
        last = ", ".join(dict.fromkeys(f"{call.tool} {call.status}" for call in calls))
        state, limits = self.state, self._limits
        if state.errors >= limits.errors:
            return "errors", f"no call succeeded in {state.errors} steps in a row; the last: {last}"
        if state.no_news >= limits.no_news:
            return "no_news", f"{state.no_news} steps in a row told nothing new; the last: {last}"
        if state.no_progress >= limits.no_progress:
            return (
                "no_progress",
                f"{state.no_progress} steps in a row neither did nor learnt anything; the last: {last}",
            )
        return None


def _pair(call: CallSeen) -> str:
    return _mark(f"{call.tool}\0{call.arguments_digest}\0{call.status}\0{call.output_digest}")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_MARK_CHARACTERS]
