"""Checks as policy sees them: tried like rungs, asked for before people, and never more than what was asked."""

import itertools

import pytest

from contracts.decision import Allowed, Denied, NeedsApproval, NeedsCheck
from policy.bundle import Bundle
from policy.cedar_text import CedarPolicy, cedar_policies
from policy.checks import decide_with_checks
from policy.rungs import named_checks
from tests.policy.desk import LADDER, PERMIT_ALL, bundle_of, request_for

pytestmark = pytest.mark.req("P9")

CHECKED = """
@id("desk-checked") @reason("A second look comes first.")
forbid (principal, action, resource) unless { context.checked.contains("second-look") };
"""
BOTH = """
@id("desk-both") @reason("Two looks come first.")
forbid (principal, action, resource) unless { context.checked.containsAll(["second-look", "sums"]) };
"""
LEAD = """
@id("desk-lead") @reason("A lead agrees.")
forbid (principal, action, resource) unless { context.granted.contains("one-lead") };
"""
EITHER = """
@id("desk-either") @reason("A second look or a lead.")
forbid (principal, action, resource)
unless { context.checked.contains("second-look") || context.granted.contains("one-lead") };
"""
NEVER = """
@id("desk-never") @reason("Never.")
forbid (principal, action, resource);
"""
DECLARED = ("second-look", "sums", "unused")


def bundle(*texts: str) -> Bundle:
    named = {f"file{index}": text for index, text in enumerate(texts)}
    return bundle_of(LADDER, base=PERMIT_ALL, **named)


def decision(made: Bundle, **changes: object) -> Allowed | Denied | NeedsApproval | NeedsCheck:
    return decide_with_checks(made, request_for(), **{"declared": DECLARED, **changes}).decision  # pyright: ignore[reportArgumentType] - the cases name what they change


def test_the_fewest_checks_that_help_are_asked_for() -> None:
    found = decision(bundle(CHECKED))
    assert isinstance(found, NeedsCheck)
    assert found.checks == ("second-look",)
    assert [reason.policy for reason in found.reasons] == ["desk-checked"]
    found = decision(bundle(CHECKED, BOTH))
    assert isinstance(found, NeedsCheck)
    assert found.checks == ("second-look", "sums")


def test_a_passed_check_lifts_what_asked_for_it_and_nothing_else() -> None:
    assert decision(bundle(CHECKED), passed=("second-look",)).kind == "allow"
    found = decision(bundle(BOTH), passed=("second-look",))
    assert isinstance(found, NeedsCheck)
    assert found.checks == ("sums",)
    assert decision(bundle(CHECKED, NEVER), passed=("second-look",)).kind == "deny"


def test_checks_come_before_people_and_replace_none() -> None:
    assert decision(bundle(CHECKED, LEAD)).kind == "needs_check"
    found = decision(bundle(CHECKED, LEAD), passed=("second-look",))
    assert isinstance(found, NeedsApproval)
    assert found.requirement.id == "one-lead"
    granted = {"granted": ("one-lead",), "approvers": 1}
    assert decision(bundle(CHECKED, LEAD), passed=("second-look",), **granted).kind == "allow"
    assert decision(bundle(CHECKED, LEAD), **granted).kind == "needs_check"
    assert decision(bundle(EITHER)).kind == "needs_check"


@pytest.mark.parametrize("texts", [(CHECKED,), (CHECKED, LEAD), (BOTH,), (EITHER,)])
def test_a_no_denies_with_its_reason(texts: tuple[str, ...]) -> None:
    found = decision(bundle(*texts), failed={"second-look": "The sums are wrong."})
    assert isinstance(found, Denied)
    assert (found.reasons[0].policy, found.reasons[0].text) == ("check:second-look", "The sums are wrong.")


def test_a_check_that_policy_does_not_ask_for_changes_nothing() -> None:
    for texts in ((), (LEAD,), (NEVER,)):
        plain = decision(bundle(*texts), declared=())
        for done in ({}, {"passed": ("unused",)}, {"failed": {"unused": "no"}}):
            assert decision(bundle(*texts), **done) == plain


def test_an_undeclared_check_is_a_wall() -> None:
    assert decision(bundle(CHECKED), declared=("sums",)).kind == "deny"


def test_a_verdict_only_narrows() -> None:
    """Whatever was said, no call is allowed that all checks passed would not allow."""
    for texts in itertools.chain.from_iterable(
        itertools.combinations((CHECKED, BOTH, LEAD, EITHER, NEVER), count) for count in range(4)
    ):
        made = bundle(*texts)
        best = decision(made, passed=DECLARED).kind
        for count in range(3):
            for passed in itertools.combinations(DECLARED, count):
                if decision(made, passed=passed).kind == "allow":
                    assert best == "allow"


def test_the_names_of_checks_are_read_from_policies() -> None:
    found = [
        named_checks(policy) for policy in cedar_policies(CHECKED + BOTH + LEAD) if isinstance(policy, CedarPolicy)
    ]
    assert found == [("second-look",), ("second-look", "sums"), ()]
