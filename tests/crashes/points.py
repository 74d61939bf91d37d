"""The boundaries of a run at which something can die, and what the statement under way there comes to."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ASKING", "SMALL", "CrashPoint", "Kind", "Victims", "drawn"]

Kind = Literal["small", "large"]
Victims = Literal["worker", "temporal", "postgres"]


@dataclass(frozen=True)
class CrashPoint:
    """Where one run stands when the victim dies."""

    kind: Kind
    """A refund that runs alone, or one that waits for a person."""
    point: str
    """A hold of `holds.py`, with the step; `sending`, `waiting` and `voted` are no statements."""
    commits: bool = False
    """Whether the statement commits although its answer arrives nowhere. Without meaning when Postgres dies."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.point}" + ("+commit" if self.commits else "")


# Steps on a small refund: 1 read the ticket, 2 read the order, 3 refund, 4 draft, 5 status, 6 done.
SMALL: Sequence[str] = (
    "open",
    *(f"{phase}/{step}" for step in range(1, 7) for phase in ("reserve", "settle")),
    *(f"{phase}/{step}" for step in range(1, 6) for phase in ("admit", "finish")),
    *(f"start/{step}" for step in range(3, 6)),
    "sending",
    "close",
)
ASKING: Sequence[str] = (
    "record/3",  # the gate wrote down that people must be asked
    "ask/3",
    "waiting",
    "voted",
    "answer/3",  # the quorum is there, the request is about to close
    "admit/3",  # with the grant
    "start/3",
    "finish/3",
)
NO_STATEMENT = frozenset({"sending", "waiting", "voted"})


def drawn(seed: int, victim: Victims, count: int) -> list[CrashPoint]:
    """That many points for one kill, at most one in the middle of sending."""
    chance = random.Random(f"{seed}/{victim}")
    every = [CrashPoint("small", point) for point in SMALL] + [CrashPoint("large", point) for point in ASKING]
    return [
        CrashPoint(one.kind, one.point, commits=one.point not in NO_STATEMENT and chance.random() < 0.5)
        for one in chance.sample(every, count)
    ]
