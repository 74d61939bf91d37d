"""Review after the fact: what somebody says of an effect that nobody had been asked about."""

from typing import Literal

from pydantic import Field

from contracts.base import Record, ToolName

__all__ = ["EffectReviewed", "ReviewLabel"]

ReviewLabel = Literal["right", "wrong", "harmful", "cannot_tell"]
"""`wrong`: it should not have been done, or not so; `harmful`: and somebody was hurt by it."""


class EffectReviewed(Record):
    """Audit entry of a review, in the chain of the run that did it."""

    step: int
    call: int
    tool: ToolName
    label: ReviewLabel
    note: str = Field(max_length=2_000)
    expected: str = Field(max_length=2_000)
    """What should have happened instead; of wrong and harmful ones."""
    by: str
    """The person."""
