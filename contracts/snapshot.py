"""What a run says of itself while it runs."""

from typing import Literal

from pydantic import Field

from contracts.base import Record

__all__ = ["RunSnapshot"]


class RunSnapshot(Record):
    """Answer of the `snapshot` query."""

    phase: Literal["opening", "thinking", "acting", "waiting_for_people", "in_doubt", "closing", "closed"]
    step: int
    open_requests: tuple[str, ...]
    """Approval requests that wait for votes."""
    votes_counted: int
    refused_votes: int
    """How many votes the run refused."""
    refusals: tuple[str, ...] = Field(max_length=100)
    """Why, for the first hundred."""
