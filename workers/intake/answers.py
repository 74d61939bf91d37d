"""What a sender can be told."""

from typing import Literal

from pydantic import Field

from contracts.base import Record, RunId

__all__ = ["Problem", "Receipt", "Refusal"]


class Receipt(Record):
    """The event is stored, for good."""

    run_id: RunId
    """The run that the event starts; the same one for every delivery of it."""
    status: Literal["accepted", "duplicate"]
    """`accepted`: with this delivery; `duplicate`: with an earlier one."""


class Problem(Record):
    """Why nothing was stored."""

    code: str = Field(pattern=r"^[a-z][a-z_]{2,40}$")
    """Stable name, for programs."""
    message: str = Field(max_length=400)
    """One line for people, with what to do."""


class Refusal(Record):
    """A problem with the HTTP status that says it."""

    status: int = Field(ge=400, le=599)
    problem: Problem
    retry_after_s: int | None = None
    """When the same delivery may succeed; None: never."""

    @classmethod
    def of(cls, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> "Refusal":
        """A refusal in one line; the message is cut to what a sender reads."""
        return cls(status=status, problem=Problem(code=code, message=message[:400]), retry_after_s=retry_after_s)
