"""The ladder of approvals: a finite, ordered list of requirements, lowest first."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from contracts.base import Record
from contracts.decision import GroupCount, Requirement

__all__ = ["Ladder"]


class Ladder(Record):
    """Every requirement that policies can name, in the order in which they are tried."""

    rungs: tuple[Requirement, ...] = Field(max_length=20)
    """A denial tries every one of them."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for position, rung in enumerate(self.rungs):
            for lower in self.rungs[:position]:
                if lower.id == rung.id:
                    msg = f"the rung {rung.id} stands there twice: give each an id of its own"
                    raise ValueError(msg)
                if rung.id in self.implied_by(lower):
                    msg = f"the rung {rung.id} is never asked: who meets {lower.id} meets it. Put it before {lower.id}"
                    raise ValueError(msg)
        return self

    def implied_by(self, held: Requirement) -> tuple[str, ...]:
        """Ids of the rungs that any approvers who meet `held` meet as well, in ladder order.

        Sound for every choice of persons: a rung is implied only where each of its needs is covered by a need of
        `held` for the same group with at least that count.
        """
        return tuple(rung.id for rung in self.rungs if _covers(held.needs, rung.needs))

    def rung(self, rung_id: str) -> Requirement | None:
        """The rung of that id."""
        return next((rung for rung in self.rungs if rung.id == rung_id), None)


def _covers(held: Sequence[GroupCount], needed: Sequence[GroupCount]) -> bool:
    counts = _by_group(held)
    return all(counts[group] >= count for group, count in _by_group(needed).items())


def _by_group(needs: Sequence[GroupCount]) -> Counter[str]:
    """Seats per group: a group that is named twice has as many seats as both together."""
    counts: Counter[str] = Counter()
    for need in needs:
        counts[need.group] += need.count
    return counts
