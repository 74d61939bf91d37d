"""Whether a run goes in circles, judged on what its steps called and got. Pure, so that replay finds the same."""

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from contracts.agent import LoopLimits
from contracts.base import Record
from contracts.loops import MAX_KNOWN, MAX_STEPS, LoopState

__all__ = ["CallSeen", "LoopVerdict", "LoopWatch"]

_MARK_CHARACTERS = 16


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
        before = state or LoopState()
        # Twice what the longest pattern takes, so that other calls between do not hide it.
        window = min(2 * max(limits.identical, 2 * limits.alternating), MAX_STEPS)
        self._limits = limits
        self._steps = deque(before.steps, maxlen=window)
        self._known = dict.fromkeys(before.known)
        self._errors = before.errors
        self._no_news = before.no_news
        self._no_progress = before.no_progress
        self._warned = before.warned

    @property
    def state(self) -> LoopState:
        """To be carried on when the run continues in another execution."""
        return LoopState(
            steps=tuple(self._steps),
            known=tuple(self._known),
            errors=self._errors,
            no_news=self._no_news,
            no_progress=self._no_progress,
            warned=self._warned,
        )

    @property
    def stalled(self) -> bool:
        """Whether the newest step neither did nor learnt anything."""
        return self._no_progress > 0

    def step(self, calls: Sequence[CallSeen]) -> LoopVerdict | None:
        """Take a step's calls; a verdict when they close a circle. After a warning the counts begin anew."""
        if not calls:
            return None
        outputs = dict.fromkeys(_mark(call.output_digest) for call in calls if call.output_digest)
        succeeded = any(call.status == "ran" for call in calls)
        learnt = any(output not in self._known for output in outputs)
        moved = learnt or any(call.wrote for call in calls)
        self._steps.append(tuple(dict.fromkeys(_pair(call) for call in calls)))
        self._known |= outputs
        for oldest in list(self._known)[: max(len(self._known) - MAX_KNOWN, 0)]:
            del self._known[oldest]
        self._errors = 0 if succeeded else self._errors + 1
        self._no_news = self._no_news + 1 if succeeded and not moved else 0
        self._no_progress = 0 if moved else self._no_progress + 1
        verdict = self._verdict(calls)
        if verdict is not None and verdict.warn:
            self._steps.clear()
            self._errors = self._no_news = self._no_progress = 0
            self._warned = True
        return verdict

    def _verdict(self, calls: Sequence[CallSeen]) -> LoopVerdict | None:
        found = self._identical(calls) or self._alternating(calls) or self._streak(calls)
        if found is None:
            return None
        kind, detail = found
        return LoopVerdict(kind=kind, detail=detail[:300], warn=self._limits.warn and not self._warned)

    def _identical(self, calls: Sequence[CallSeen]) -> tuple[Literal["identical"], str] | None:
        for call in calls:
            times = sum(_pair(call) in step for step in self._steps)
            # A write of the same words is the ledger's affair; here only what changes nothing can be a circle.
            if times >= min(self._limits.identical, MAX_STEPS) and not call.wrote:
                return "identical", f"{call.tool} was called {times} times with the same arguments and the same result"
        return None

    def _alternating(self, calls: Sequence[CallSeen]) -> tuple[Literal["alternating"], str] | None:
        length = 2 * self._limits.alternating
        last = list(self._steps)[-length:]
        if len(last) < length or last[0] == last[1] or any(call.wrote for call in calls):
            return None
        if any(step != last[position % 2] for position, step in enumerate(last)):
            return None
        tools = ", ".join(dict.fromkeys(call.tool for call in calls))
        return "alternating", f"two steps took turns {self._limits.alternating} times, the last one calling {tools}"

    def _streak(self, calls: Sequence[CallSeen]) -> tuple[Literal["errors", "no_news", "no_progress"], str] | None:
        last = ", ".join(dict.fromkeys(f"{call.tool} {call.status}" for call in calls))
        if self._errors >= self._limits.errors:
            return "errors", f"no call succeeded in {self._errors} steps in a row; the last: {last}"
        if self._no_news >= self._limits.no_news:
            return "no_news", f"{self._no_news} steps in a row told nothing new; the last: {last}"
        if self._no_progress >= self._limits.no_progress:
            steps = self._no_progress
            return "no_progress", f"{steps} steps in a row neither did nor learnt anything; the last: {last}"
        return None


def _pair(call: CallSeen) -> str:
    return _mark(f"{call.tool}\0{call.arguments_digest}\0{call.status}\0{call.output_digest}")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_MARK_CHARACTERS]
