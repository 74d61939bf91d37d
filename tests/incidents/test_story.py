"""A story tells what a history holds, and nothing else."""

import json

import pytest

from contracts.call import CallStatus, EffectState
from contracts.outcome import Outcome, OutcomeReason
from contracts.vote import Verdict
from incidents.export import parse_history
from incidents.story import Story, StoryCall
from incidents.tell import tell
from tests.incidents.recordings import APPROVED, CANCELLED, DENIED, FORGED, INJECTED, LONG, SMALL, plain, recorded


def told(name: str) -> Story:
    return tell(recorded(name))


def refund(story: Story) -> StoryCall:
    return next(call for step in story.steps for call in step.calls if call.tool == "payments.issue_refund")


@pytest.mark.req("H1")
def test_a_small_refund_is_told_from_event_to_effect() -> None:
    story = told(SMALL)
    assert story.pinned is not None
    assert story.pinned.name == "support_refund"
    assert story.goal
    assert [step.number for step in story.steps] == list(range(1, len(story.steps) + 1))
    assert [call.tool for step in story.steps for call in step.calls] == [
        "crm.read_ticket", "orders.get_status", "payments.issue_refund", "tickets.reply_draft", "tickets.set_status"
    ]  # fmt: skip
    (visit,) = refund(story).visits
    assert (visit.status, visit.effect) == (CallStatus.RAN, EffectState.SUCCEEDED)
    assert visit.decision is not None
    assert visit.decision.decision.reasons
    assert visit.decision.bundle_digest.startswith("sha256:")
    assert refund(story).why
    assert all(turn.served_model and turn.tokens for step in story.steps for turn in step.turns)
    assert story.report is not None
    assert story.report.outcome is Outcome.COMPLETED
    assert story.findings == ()


@pytest.mark.req("H1")
def test_an_approval_is_told_with_names_reasons_and_refused_votes() -> None:
    call = refund(told(APPROVED))
    (approval,) = call.approvals
    assert approval.state == "granted"
    assert approval.requirement.id == "two-finance"
    assert [(vote.person, vote.counted, vote.refusal) for vote in approval.votes] == [
        ("lena", False, "not_eligible"), ("fay", True, ""), ("finn", True, "")
    ]  # fmt: skip
    assert approval.votes[1].reason == "The photograph shows the crack"
    asked, granted = call.visits
    assert asked.status is CallStatus.NEEDS_APPROVAL
    assert granted.granted_by == approval.request_id
    assert granted.decision is not None
    assert "two-finance" in granted.decision.granted


def test_a_denial_is_told_with_its_reason() -> None:
    story = told(DENIED)
    (approval,) = refund(story).approvals
    assert approval.state == "denied"
    assert [(vote.person, vote.verdict) for vote in approval.votes] == [("fay", Verdict.DENY)]
    assert all(visit.effect is None for visit in refund(story).visits)


@pytest.mark.req("P8")
def test_a_contained_injection_tells_which_policy_stopped_it_and_where_the_order_came_from() -> None:
    (visit,) = refund(told(INJECTED)).visits
    assert visit.status is CallStatus.DENIED
    assert visit.decision is not None
    assert "support-refund-own-order" in [reason.policy for reason in visit.decision.decision.reasons]
    origins = visit.decision.request.context["provenance"]
    assert isinstance(origins, dict)
    assert origins["order_id"] == "untrusted"


def test_a_cancelled_run_leaves_its_request_open_and_says_who_asked() -> None:
    story = told(CANCELLED)
    assert [approval.state for approval in refund(story).approvals] == ["abandoned"]
    assert "cancellation was asked" in story.notes[-1].text
    assert story.report is not None
    assert story.report.outcome is Outcome.CANCELLED


def test_a_run_that_was_not_admitted_says_why() -> None:
    story = told(FORGED)
    assert story.pinned is None
    assert story.steps == ()
    assert story.fault is not None
    assert story.fault.kind == "NotAdmitted"
    assert story.report is not None
    assert story.report.reason is OutcomeReason.NOT_ADMITTED


def test_a_run_of_several_executions_is_one_story() -> None:
    story = told(LONG)
    assert story.links > 1
    assert [step.number for step in story.steps] == list(range(1, len(story.steps) + 1))
    assert all(len(step.turns) == 1 for step in story.steps)
    assert [note.text for note in story.notes] == ["the run went on in another Temporal execution"] * (story.links - 1)
    assert story.findings == ()


@pytest.mark.req("H1")
@pytest.mark.parametrize("name", [APPROVED, DENIED, CANCELLED, FORGED])
def test_an_open_run_can_be_told_at_every_event(name: str) -> None:
    events = plain(name)["events"]
    seen = 0
    for count in range(1, len(events)):
        story = tell(parse_history(json.dumps({"events": events[:count]})))
        assert story.ending == "open"
        assert story.report is None
        assert story.findings == ()
        assert len(story.steps) >= seen
        seen = len(story.steps)
        if name == APPROVED:
            assert all(
                approval.state != "abandoned"
                for step in story.steps
                for call in step.calls
                for approval in call.approvals
            )
