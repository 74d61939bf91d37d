"""The pause that a run is in, and whose command it was."""

from typing import Literal

from pydantic import Field

from contracts.base import Record

__all__ = ["OpenPause", "PauseCause", "Who"]

PauseCause = Literal["operator", "halted"]
"""`operator`: somebody's command. `halted`: a kill switch holds, or the agent is disabled."""


class Who(Record):
    """Whose command it was."""

    command_id: str
    person: str = Field(max_length=200)
    reason: str = Field(max_length=2_000)


class OpenPause(Record):
    """The pause that a run is in."""

    number: int = Field(ge=1)
    """Counts the run's pauses."""
    cause: PauseCause
    tool: str = Field(default="", max_length=80)
    """The call that the gate stopped; empty: the model call, or an operator's command."""
    detail: str = Field(default="", max_length=300)
    """What the gate said. No personal data."""
    by: Who | None = None
    """Of an operator's pause."""
