"""The ladder of approvals: a finite, ordered list of requirements, lowest first; and which groups escalate to which."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

from pydantic import Field, model_validator

from contracts.base import GroupName, Record, is_empty
from contracts.decision import GroupCount, Requirement

__all__ = ["GroupRule", "Ladder"]

_MAX_CHAIN = 5


class GroupRule(Record):
    """What happens when a group does not decide."""

    escalates_to: GroupName
    """Group whose members may then decide in its place."""
    escalate_after_s: int = Field(ge=1, le=2_592_000)
    """When, in seconds after the group was asked or the request was escalated to it."""


class Ladder(Record):
    """Every requirement that policies can name, in the order in which they are tried."""

    rungs: tuple[Requirement, ...] = Field(max_length=20)
    """A denial tries every one of them."""
    groups: dict[GroupName, GroupRule] = Field(default_factory=dict, max_length=100, exclude_if=is_empty)
    """Groups that escalate; the others wait until the request expires."""

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

    @model_validator(mode="after")
    def _escalates_to_an_end(self) -> Self:
        for group in self.groups:
            chain = [to for to, _ in self.escalations_of(group)]
            if group in chain or len(chain) > len(set(chain)):
                msg = f"the group {group} escalates in a circle: {' to '.join([group, *chain])}"
                raise ValueError(msg)
            if len(chain) > _MAX_CHAIN:
                msg = f"the group {group} escalates more than {_MAX_CHAIN} times: shorten the chain"
                raise ValueError(msg)
        return self

    def escalations_of(self, group: str) -> Iterator[tuple[str, int]]:
        """To whom a group's requests go on, one after another: the group, and its seconds after the one before."""
        for _ in range(_MAX_CHAIN + 1):
            rule = self.groups.get(group)
            if rule is None:
                return
            yield rule.escalates_to, rule.escalate_after_s
            group = rule.escalates_to

    @property
    def deciding_groups(self) -> tuple[str, ...]:
        """Groups whose members can decide something: those that a rung asks, and those that it escalates to."""
        asked = dict.fromkeys(need.group for rung in self.rungs for need in rung.needs)
        later = (to for group in asked for to, _ in self.escalations_of(group))
        return tuple(dict.fromkeys((*asked, *later)))

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
