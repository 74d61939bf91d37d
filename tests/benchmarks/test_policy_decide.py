"""A decision costs about one call of the policy engine, the whole ladder a few: measured as ratios, machines differ."""

import pytest

from benchmarks.policy_decide import figures


@pytest.mark.req("P1")
def test_a_decision_is_nearly_as_cheap_as_the_engine_and_the_ladder_costs_less_than_its_rungs() -> None:
    found = figures(rounds=60)
    assert found.evaluation < 3 * found.bare
    # Four evaluations: what was held, and three rungs.
    assert found.ladder < 6 * found.bare
    assert found.two_principals < 3 * found.ladder
    assert "whole ladder" in found.in_words()
