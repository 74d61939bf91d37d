"""What a run says of itself while it runs."""

from typing import Literal

from pydantic import Field

from contracts.base import Record
from contracts.pause_state import OpenPause

__all__ = ["RunSnapshot"]


class RunSnapshot(Record):
    """Answer of the `snapshot` query."""

    phase: Literal[
        "opening", "thinking", "acting", "checking", "waiting_for_people", "in_doubt", "paused", "closing", "closed"
    ]
    step: int
    open_requests: tuple[str, ...]
    """Approval requests that wait for votes."""
    votes_counted: int
    refused_votes: int
    """How many votes the run refused."""
    refusals: tuple[str, ...] = Field(max_length=100)
    """Why, for the first hundred."""
    pause: OpenPause | None = None
    """The pause that it is in."""
    refused_commands: int = 0
    """How many operators' commands the run refused."""
    command_refusals: tuple[str, ...] = Field(default=(), max_length=100)
    """Why, for the first hundred."""
