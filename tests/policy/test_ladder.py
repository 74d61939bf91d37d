"""The ladder is in order, and a rung implies another only where every choice of people that meets it meets that too."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from activities.bundles import load_ladder
from contracts.decision import GroupCount, Requirement
from contracts.vote import Vote
from policy.ladder import Ladder
from policy.votes import quorum, satisfied
from settings import get_settings
from tests.policy.test_votes import vote_of

pytestmark = pytest.mark.req("P4", "A4")
GROUPS = ("finance", "leads", "legal")
SETS = [frozenset(chosen) for count in (1, 2, 3) for chosen in itertools.combinations(GROUPS, count)]

needs = st.lists(st.builds(GroupCount, group=st.sampled_from(GROUPS), count=st.integers(1, 2)), min_size=1, max_size=3)
requirements = st.builds(Requirement, id=st.just("rung"), needs=needs.map(tuple))


def voters(choice: tuple[frozenset[str], ...]) -> list[Vote]:
    return [vote_of(f"person{number}", *sorted(groups)) for number, groups in enumerate(choice)]


CROWDS = [voters(choice) for size in range(5) for choice in itertools.combinations_with_replacement(SETS, size)]
"""Every crowd of up to four people by the groups that they are in."""


def implied(held: Requirement, other: Requirement) -> bool:
    # Built without the check of the order, which is what is being tested here.
    return other.id in Ladder.model_construct(rungs=(other,)).implied_by(held)


@settings(max_examples=60, deadline=None)
@given(requirements, requirements)
def test_who_meets_a_rung_meets_each_that_it_implies(held: Requirement, other: Requirement) -> None:
    if not implied(held, other):
        return
    for crowd in CROWDS:
        if quorum(held, crowd):
            assert quorum(other, crowd), [vote.groups for vote in crowd]


@given(requirements)
def test_every_rung_implies_itself(rung: Requirement) -> None:
    assert implied(rung, rung)


def test_a_group_named_twice_takes_as_many_people_as_both() -> None:
    one = GroupCount(group="finance", count=1)
    twice = Requirement(id="twice", needs=(one, one))
    once = Requirement(id="once", needs=(one,))
    assert not implied(once, twice)
    assert implied(twice, once)
    assert implied(twice, Requirement(id="two", needs=(GroupCount(group="finance", count=2),)))


def test_a_larger_crowd_of_another_group_implies_nothing() -> None:
    finance = Requirement(id="finance", needs=(GroupCount(group="finance", count=5),))
    assert not implied(finance, Requirement(id="lead", needs=(GroupCount(group="leads", count=1),)))


@given(st.lists(st.sampled_from(SETS), max_size=4).map(tuple))
def test_the_rungs_that_policy_was_told_of_are_among_those_that_the_approvers_meet(
    choice: tuple[frozenset[str], ...],
) -> None:
    ladder = load_ladder(get_settings().ladder_file)
    crowd = [
        vote.model_copy(update={"groups": tuple(group.replace("leads", "support-leads") for group in vote.groups)})
        for vote in voters(choice)
    ]
    met = satisfied(ladder.rungs, crowd)
    for rung in ladder.rungs:
        if quorum(rung, crowd):
            assert set(ladder.implied_by(rung)) <= set(met)


def test_a_ladder_names_each_rung_once_and_puts_the_lower_first() -> None:
    one = {"id": "one", "needs": [{"group": "leads", "count": 1}]}
    two = {"id": "two", "needs": [{"group": "leads", "count": 2}]}
    assert [rung.id for rung in Ladder.model_validate({"rungs": [one, two]}).rungs] == ["one", "two"]
    with pytest.raises(ValidationError, match="one is never asked"):
        Ladder.model_validate({"rungs": [two, one]})
    with pytest.raises(ValidationError, match="stands there twice"):
        Ladder.model_validate({"rungs": [one, {**two, "id": "one"}]})
    with pytest.raises(ValidationError):
        Ladder.model_validate({"rungs": [{**one, "id": f"r{number}"} for number in range(21)]})
