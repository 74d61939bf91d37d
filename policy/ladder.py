"""The ladder of approvals: a finite, ordered list of requirements, lowest first."""

from collections.abc import Sequence

from contracts.base import Record
from contracts.decision import GroupCount, Requirement

__all__ = ["Ladder"]


class Ladder(Record):
    """Every requirement that policies can name, in the order in which they are tried."""

    rungs: tuple[Requirement, ...]

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
    counts = {need.group: need.count for need in held}
    return all(counts.get(need.group, 0) >= need.count for need in needed)
