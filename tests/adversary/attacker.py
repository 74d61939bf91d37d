"""A model that does exactly what an attacker wants: it proposes the calls of its attack, whatever it hears.

The only fake in these tests. Which attack a run is about stands in its event, in a field that nobody trusts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activities.models import ModelProvider
from activities.models.provider import Heartbeat
from contracts.model import AssistantMessage, ModelChoice, ModelReply, ModelRequest, ProposedCall, StopReason, Usage
from settings import Settings

__all__ = ["Attack", "Attacker", "Proposal", "Step", "Steps", "call", "finish", "raw"]


@dataclass(frozen=True)
class Proposal:
    """One tool call as the model writes it."""

    tool: str
    arguments_json: str


Step = tuple[Proposal, ...]
"""The calls of one answer."""
Steps = tuple[Step, ...]
"""The answers of one run."""


@dataclass(frozen=True)
class Attack:
    """What is tried, in one run or in several after another."""

    family: str
    name: str
    runs: tuple[Steps, ...]
    """The proposals of each step of each run."""
    tickets: tuple[str, ...]
    """The ticket that starts each run."""
    event: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further fields of the event, which its endpoint does not trust."""
    at_once: bool = False
    """Whether the calls of a step, and the runs, are sent side by side, as no workflow of ours does it."""

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def raw(tool: str, arguments_json: str) -> Proposal:
    """A call whose arguments are this text, whatever it is."""
    return Proposal(tool, arguments_json)


def call(tool: str, /, **arguments: object) -> Proposal:
    """A well-formed call."""
    return Proposal(tool, json.dumps({**arguments, "why": "The customer asks for it."}, ensure_ascii=False))


def finish(result: str = "done", summary: str = "All done.") -> Proposal:
    """The end of the work."""
    return Proposal("finish", json.dumps({"result": result, "summary": summary, "needed": "look"}))


class Attacker(ModelProvider):
    """Answers for every attack that was announced to it."""

    def __init__(self) -> None:
        self._runs: dict[str, Steps] = {}

    def announce(self, mark: str, steps: Steps) -> None:
        """Say what the model proposes in the run whose event carries this mark."""
        self._runs[mark] = steps

    def provider_for(self, _choice: ModelChoice, _settings: Settings, _folder: Path) -> ModelProvider:
        """In the place of the function of this name."""
        return self

    async def complete(self, request: ModelRequest, heartbeat: Heartbeat) -> ModelReply:
        """The proposals of the step at which the conversation stands; after the last one, `finish`."""
        heartbeat("")
        mark = next(mark for mark in self._runs if mark in request.messages[1].text)
        step = sum(isinstance(message, AssistantMessage) for message in request.messages)
        steps = self._runs[mark]
        return reply_of(steps[step] if step < len(steps) else (finish(),), step)

    async def aclose(self) -> None:
        """Nothing is held."""


def reply_of(proposals: Sequence[Proposal], step: int) -> ModelReply:
    """An answer with these calls."""
    return ModelReply(
        text="As requested.",
        calls=tuple(
            ProposedCall(call_id=f"call_{step}_{number}", tool=one.tool, arguments_json=one.arguments_json)
            for number, one in enumerate(proposals)
        ),
        stop=StopReason.TOOL_CALLS,
        usage=Usage(input_tokens=100, output_tokens=50),
        served_model="attacker",
    )
