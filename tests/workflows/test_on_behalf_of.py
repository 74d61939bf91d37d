"""A run on behalf of a user does what the agent and the user both may, by the accounts as they are at each call."""

import pytest

from contracts.decision import DecisionRecord
from contracts.outcome import Outcome, RunReport
from incidents.history import fetch_history
from incidents.story import StoryVisit
from incidents.tell import tell
from tests.installation import Installation

pytestmark = pytest.mark.req("I2", "I1", "P2")
SMALL = {"ticket_id": "TIC-2001"}


async def worked(installation: Installation, user: str) -> tuple[RunReport, dict[str, StoryVisit]]:
    """The report of a run for a user, and the last visit of each tool that policy decided."""
    handle = await installation.start({**SMALL}, on_behalf_of=user)
    report = await handle.result()
    story = tell(await fetch_history(installation.client, handle.id))
    decisions = {
        call.tool: visit
        for step in story.steps
        for call in step.calls
        for visit in call.visits
        if visit.decision is not None
    }
    return report, decisions


def record(visits: dict[str, StoryVisit], tool: str) -> DecisionRecord:
    found = visits[tool].decision
    assert found is not None
    return found


async def test_for_a_user_who_may_the_refund_is_made_and_the_record_shows_both(installation: Installation) -> None:
    report, visits = await worked(installation, "lena")
    assert report.outcome is Outcome.COMPLETED
    refund = record(visits, "payments.issue_refund")
    assert refund.request.user == 'User::"acme/lena"'
    assert [(one.principal, one.allowed, one.policies) for one in refund.principals] == [
        ('Agent::"acme/support_refund"', True, ("support-refund-issue",)),
        ('User::"acme/lena"', True, ("support-refund-for-users",)),
    ]
    assert len(installation.refunds()) == 1


async def test_for_a_user_who_may_not_nothing_is_paid(installation: Installation) -> None:
    _, visits = await worked(installation, "eve")
    assert record(visits, "crm.read_ticket").decision.kind == "allow"
    refund = record(visits, "payments.issue_refund")
    assert refund.decision.kind == "deny"
    assert [one.allowed for one in refund.principals] == [True, False]
    assert visits["payments.issue_refund"].message.endswith("no policy permits this call to acme/eve.")
    assert installation.refunds() == []


async def test_for_a_user_whom_no_account_knows_nothing_is_even_read(installation: Installation) -> None:
    _, visits = await worked(installation, "nobody")
    assert visits
    assert {record(visits, tool).decision.kind for tool in visits} == {"deny"}
    assert [reason.policy for reason in record(visits, "crm.read_ticket").decision.reasons] == ["base-disabled"]
    assert installation.refunds() == []
