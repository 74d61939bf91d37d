"""When what happens to a request, and who may decide from when: the ladder's groups, calendars, delegates."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.agent import ApprovalTimes
from contracts.approval import Escalation
from contracts.decision import GroupCount, Requirement
from contracts.vote import Delegated, Verdict, Vote, VoteRefusal
from policy.calendars import ALWAYS, TenantHours, WorkCalendar
from policy.ladder import Ladder
from policy.moments import moments_of, still_declared
from policy.votes import quorum, seats_of
from tests.policy.test_votes import NOW, OPENED, judged, vote_of
from tests.thorough import examples

pytestmark = pytest.mark.req("A6")

DAY = 86_400
LEADS = Requirement(id="one-lead", needs=(GroupCount(group="leads", count=1),))
BOTH = Requirement(id="both", needs=(GroupCount(group="leads", count=1), GroupCount(group="finance", count=1)))
CHAIN = {
    "leads": {"escalates_to": "finance", "escalate_after_s": 3_600},
    "finance": {"escalates_to": "board", "escalate_after_s": 7_200},
}
TIMES = ApprovalTimes(sla_s=1_800, expires_s=DAY)


def ladder_of(**groups: Any) -> Ladder:  # noqa: ANN401 - rules as they stand in the file
    return Ladder.model_validate({"rungs": [LEADS.model_dump(), BOTH.model_dump()], "groups": groups})


def found(
    requirement: Requirement, ladder: Ladder, hours: TenantHours = ALWAYS, at: int = NOW
) -> list[tuple[str, str, int]]:
    moments = moments_of(TIMES, requirement, ladder, hours, at)
    return [(one.group, one.to, one.at - at) for one in moments.escalations]


def test_a_chain_hands_the_seats_of_a_group_on() -> None:
    assert found(LEADS, ladder_of(**CHAIN)) == [("leads", "finance", 3_600), ("leads", "board", 10_800)]
    assert found(BOTH, ladder_of(**CHAIN)) == [
        ("leads", "finance", 3_600), ("finance", "board", 7_200), ("leads", "board", 10_800),
    ]  # fmt: skip


def test_without_rules_nothing_escalates_and_the_ladder_reads_as_before() -> None:
    assert found(BOTH, ladder_of()) == []
    assert "groups" not in ladder_of().model_dump(mode="json")


def test_what_would_come_after_the_expiry_is_left_out() -> None:
    late = {"leads": {"escalates_to": "finance", "escalate_after_s": DAY}}
    assert found(LEADS, ladder_of(**late)) == []


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"leads": {"escalates_to": "leads", "escalate_after_s": 60}}, "in a circle: leads to leads"),
        ({**CHAIN, "board": {"escalates_to": "leads", "escalate_after_s": 60}}, "in a circle"),
        ({f"g{n}": {"escalates_to": f"g{n + 1}", "escalate_after_s": 60} for n in range(7)}, "more than 5 times"),
        ({"leads": {"escalates_to": "finance", "escalate_after_s": 0}}, "greater than or equal to 1"),
        ({"leads": {"escalates_to": "finance"}}, "Field required"),
    ],
)
def test_a_chain_that_ends_nowhere_is_a_mistake(groups: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ladder_of(**groups)


def test_moments_count_the_working_time_of_who_has_the_request() -> None:
    zone = ZoneInfo("Europe/Copenhagen")
    office = WorkCalendar(zone, (((540, 1_020),),) * 5 + ((), ()))
    nights = WorkCalendar(zone, (((1_320, 1_800),),) * 7)
    friday = int(datetime(2026, 11, 20, 16, 30, tzinfo=zone).timestamp())
    hours = TenantHours(usual=office, groups={"finance": nights})
    moments = moments_of(TIMES, LEADS, ladder_of(**CHAIN), hours, friday)
    local = [datetime.fromtimestamp(at, zone).strftime("%a %H:%M") for at in (moments.sla_at, moments.expires_at)]
    assert local == ["Fri 17:00", "Sat 16:30"]
    assert moments.escalations == ()  # on Monday at 9:30 it has expired
    patient = moments_of(
        TIMES, LEADS, ladder_of(**CHAIN), TenantHours(office, {"finance": nights}, expiry=True), friday
    )
    shown = [(one.to, datetime.fromtimestamp(one.at, zone).strftime("%a %H:%M")) for one in patient.escalations]
    # Half an hour on Friday and one on Monday; then two hours of finance's night.
    assert shown == [("finance", "Mon 09:30"), ("board", "Tue 00:00")]


def test_of_two_calendars_the_later_moment_counts() -> None:
    zone = ZoneInfo("UTC")
    office = WorkCalendar(zone, (((540, 1_020),),) * 7)
    moments = moments_of(TIMES, BOTH, ladder_of(), TenantHours(groups={"finance": office}), 0)
    assert moments.sla_at == 9 * 3_600 + 1_800


def test_an_escalation_that_is_no_longer_declared_gives_nobody_a_seat() -> None:
    kept = moments_of(TIMES, LEADS, ladder_of(**CHAIN), ALWAYS, NOW).escalations
    assert still_declared(kept, ladder_of(**CHAIN)) == kept
    assert [one.to for one in still_declared(kept, ladder_of(leads=CHAIN["leads"]))] == ["finance"]
    assert still_declared(kept, ladder_of()) == ()


# Votes

ESCALATED = OPENED.model_copy(
    update={
        "escalations": (
            Escalation(group="leads", to="finance", at=NOW - 50),
            Escalation(group="finance", to="board", at=NOW - 10),
            Escalation(group="leads", to="board", at=NOW + 100),
        )
    }
)


def test_the_next_group_is_told_to_wait_and_everybody_else_that_they_are_not_asked() -> None:
    early = vote_of("bo", "board", voted_at=NOW - 20)
    assert judged(early, opened=ESCALATED) is VoteRefusal.NOT_YET
    assert judged(vote_of("bo", "sales"), opened=ESCALATED) is VoteRefusal.NOT_ELIGIBLE
    assert judged(vote_of("bo", "board"), opened=ESCALATED) == "accepted"
    denial = {"verdict": Verdict.DENY, "reason": "not this one"}
    assert judged(vote_of("bo", "board", voted_at=NOW - 20, **denial), opened=ESCALATED) is VoteRefusal.NOT_YET


def test_a_seat_that_came_by_escalation_is_not_handed_on_before_its_time() -> None:
    # The board has finance's seat; that finance has the leads' gives the board nothing before its own moment.
    board, finance = vote_of("bo", "board"), vote_of("fay", "finance")
    assert seats_of(("board",), ESCALATED.escalations, NOW) == ("board", "finance")
    assert judged(vote_of("bea", "board"), board, opened=ESCALATED) is VoteRefusal.NOT_YET
    assert judged(finance, board, opened=ESCALATED) == "accepted"
    assert quorum(ESCALATED.requirement, (board, finance), ESCALATED.escalations)
    assert not quorum(ESCALATED.requirement, (board, finance))


def test_those_who_were_asked_first_lose_nothing() -> None:
    assert judged(vote_of("ann", "leads"), opened=ESCALATED) == "accepted"


def test_interested_parties_stay_so_across_escalation() -> None:
    assert judged(vote_of("bo", "board"), opened=ESCALATED, interested=("BO",)) is VoteRefusal.INTERESTED_PARTY


def for_ann(person: str = "dan", **changes: object) -> Vote:
    away = Delegated(delegation_id="dlg-" + "a" * 26, approver="ann.account", person="ann", display_name="Ann")
    return vote_of(person, "leads", delegated=away, **changes)


def test_a_delegate_takes_the_place_of_who_is_away() -> None:
    assert judged(for_ann()) == "accepted"
    assert quorum(OPENED.requirement, (for_ann(), vote_of("fay", "finance")))


@pytest.mark.parametrize("name", ["ann", "ANN.account", "dan"])
def test_neither_may_be_interested(name: str) -> None:
    assert judged(for_ann(), interested=(name,)) is VoteRefusal.INTERESTED_PARTY


def test_both_have_one_vote_between_them() -> None:
    own, away = vote_of("dan", "finance"), vote_of("ann", "finance")
    for first, second in ((for_ann(), own), (for_ann(), away), (own, for_ann()), (away, for_ann())):
        assert judged(second, first) is VoteRefusal.SAME_PERSON
        assert not quorum(OPENED.requirement, (first, second))
    assert judged(for_ann("eva"), for_ann()) is VoteRefusal.SAME_PERSON


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4)), max_size=7), st.integers(1, 3))
def test_no_human_being_counts_twice_however_they_delegate(votes: list[tuple[int, int]], seats: int) -> None:
    requirement = Requirement(id="r", needs=(GroupCount(group="leads", count=seats),))
    opened = OPENED.model_copy(update={"requirement": requirement})
    accepted: list[Vote] = []
    for caster, away in votes:
        delegated = None
        if away >= 0:
            delegated = Delegated(
                delegation_id="dlg-" + "a" * 26, approver=f"p{away}", person=f"p{away}", display_name="x"
            )
        vote = vote_of(f"p{caster}", "leads", delegated=delegated)
        if judged(vote, *accepted, opened=opened) == "accepted":
            accepted.append(vote)
    names = [name for vote in accepted for name in sorted(vote.persons)]
    assert len(names) == len(set(names))
    assert quorum(requirement, accepted) == (len(accepted) == seats)
