"""Which effects people look at again. Pure, and the same for whoever asks: seed, effect and rate say it.

The seed is a secret of the store. An agent, a model or a sender of events that knows everything else about an effect
cannot tell whether it will be drawn, and so cannot behave for those that are.
"""

import hashlib
import hmac
from typing import Literal

from contracts.base import Record

__all__ = ["Draw", "draw", "lot"]

_BITS = 64


class Draw(Record):
    """The effect is to be reviewed."""

    because: Literal["first", "rate"]
    """`first`: it is among the first of a new version of its agent; `rate`: its lot was drawn."""
    share: float
    """Share of such effects that is drawn: what a count of labels is weighed by."""


def lot(seed: bytes, *parts: str | int) -> float:
    """A number in [0, 1) that only the seed's holder can foretell."""
    drawn = hmac.new(seed, "/".join(str(part) for part in parts).encode(), hashlib.sha256).digest()
    return int.from_bytes(drawn[: _BITS // 8]) / 2**_BITS


def draw(seed: bytes, run_id: str, step: int, call: int, *, share: float, before: int, first: int) -> Draw | None:
    """Whether an effect is drawn. `before`: how many of its agent's version were drawn as first ones already."""
    if before < first:
        return Draw(because="first", share=1.0)
    return Draw(because="rate", share=share) if lot(seed, run_id, step, call) < share else None
