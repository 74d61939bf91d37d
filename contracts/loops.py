"""What a run remembers of its steps, to notice that it goes in circles."""

from pydantic import Field

from contracts.base import Record

__all__ = ["LoopState"]

MAX_STEPS = 64
MAX_KNOWN = 512


class LoopState(Record):
    """Marks of steps and results, never values."""

    steps: tuple[tuple[str, ...], ...] = Field(default=(), max_length=MAX_STEPS)
    """Marks of call and result together, per step, newest last."""
    known: tuple[str, ...] = Field(default=(), max_length=MAX_KNOWN)
    """Marks of the outputs that were seen, newest last."""
    errors: int = 0
    """Steps in a row without a success."""
    no_news: int = 0
    """Steps in a row that succeeded and told only what was known."""
    no_progress: int = 0
    """Steps in a row that neither wrote nor learnt anything."""
    warned: bool = False
    """Whether the model was told."""
