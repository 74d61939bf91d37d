"""A run on behalf of a user does what the agent and the user both may, by the accounts as they are at each call."""

import pytest

from contracts.decision import DecisionRecord
from contracts.outcome import Outcome, RunReport
from incidents.history import fetch_history
from incidents.tell import tell
from tests.installation import Installation

pytestmark = pytest.mark.req("I2", "I1", "P2")
SMALL = {"ticket_id": "TIC-2001"}


async def worked(installation: Installation, user: str) -> tuple[RunReport, dict[str, DecisionRecord]]:
    """The report of a run for a user, and the last decision about each tool."""
    handle = await installation.start({**SMALL}, on_behalf_of=user)
    report = await handle.result()
    story = tell(await fetch_history(installation.client, handle.id))
    decisions = {
        call.tool: visit.decision
        for step in story.steps
        for call in step.calls
        for visit in call.visits
        if visit.decision is not None
    }
    return report, decisions


async def test_for_a_user_who_may_the_refund_is_made_and_the_record_shows_both(installation: Installation) -> None:
    report, decisions = await worked(installation, "lena")
    assert report.outcome is Outcome.COMPLETED
    refund = decisions["payments.issue_refund"]
    assert refund.request.user == 'User::"acme/lena"'
    assert [(one.principal, one.allowed, one.policies) for one in refund.principals] == [
        ('Agent::"acme/support_refund"', True, ("support-refund-issue",)),
        ('User::"acme/lena"', True, ("support-refund-for-users",)),
    ]
    assert len(installation.refunds()) == 1


async def test_for_a_user_who_may_not_nothing_is_paid(installation: Installation) -> None:
    _, decisions = await worked(installation, "eve")
    assert decisions["crm.read_ticket"].decision.kind == "allow"
    refund = decisions["payments.issue_refund"]
    assert refund.decision.kind == "deny"
    assert [one.allowed for one in refund.principals] == [True, False]
    assert installation.refunds() == []


async def test_for_a_user_whom_no_account_knows_nothing_is_even_read(installation: Installation) -> None:
    _, decisions = await worked(installation, "nobody")
    assert decisions
    assert {record.decision.kind for record in decisions.values()} == {"deny"}
    assert [reason.policy for reason in decisions["crm.read_ticket"].decision.reasons] == ["base-disabled"]
    assert installation.refunds() == []
