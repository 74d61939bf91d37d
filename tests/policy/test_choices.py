"""What an approver may say beside yes and no, to which request, and who may approve what people wrote."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.canonical import canonical_bytes, digest_bytes
from contracts.decision import GroupCount, Requirement
from contracts.run_activities import ApprovalOpened
from contracts.vote import PLAIN_CHOICES, Verdict, VoteRefusal
from policy.provenance import Origin, Trace, edited_by
from policy.votes import is_co_author, read_vote
from tests.policy.test_votes import KEYS, OPENED, judged, signed, vote_of
from workflows.ballot import Ballot

pytestmark = pytest.mark.req("A5")
ALL = OPENED.model_copy(update={"choices": tuple(Verdict)})
ONE = Requirement(id="one", needs=(GroupCount(group="leads", count=1),))
WRITTEN = digest_bytes(b"{}")
OTHERS = (Verdict.EDIT, Verdict.ASK, Verdict.HAND_OVER)


def opened(tier: int = 3, requirement: Requirement = ONE, **changes: object) -> ApprovalOpened:
    return ALL.model_copy(update={"tier": tier, "requirement": requirement, **changes})


@pytest.mark.parametrize("verdict", OTHERS)
def test_only_what_a_request_offers_is_taken(verdict: Verdict) -> None:
    vote = vote_of(verdict=verdict, reason="Because", edited=WRITTEN if verdict is Verdict.EDIT else None)
    assert judged(vote, opened=ALL) == "accepted"
    assert judged(vote, opened=ALL.model_copy(update={"choices": PLAIN_CHOICES})) is VoteRefusal.NOT_OFFERED


@pytest.mark.parametrize("verdict", OTHERS)
def test_each_needs_words_and_a_group_that_is_asked_and_no_interest(verdict: Verdict) -> None:
    edited = WRITTEN if verdict is Verdict.EDIT else None
    vote = vote_of(verdict=verdict, reason=" x ", edited=edited)
    assert judged(vote, opened=ALL) is VoteRefusal.REASON_MISSING
    stranger = vote_of("zoe", "hr", verdict=verdict, reason="Because", edited=edited)
    assert judged(stranger, opened=ALL) is VoteRefusal.NOT_ELIGIBLE
    mine = vote_of(verdict=verdict, reason="Because", edited=edited)
    assert judged(mine, opened=ALL, interested=("ANN",)) is VoteRefusal.INTERESTED_PARTY
    late = vote_of(verdict=verdict, reason="Because", edited=edited, authenticated_at=mine.voted_at - 16 * 60)
    assert judged(late, opened=opened(tier=4)) is VoteRefusal.STALE_SIGN_IN


def test_an_edit_names_arguments_and_nothing_else_does() -> None:
    for verdict, edited in ((Verdict.EDIT, None), (Verdict.APPROVE, WRITTEN), (Verdict.ASK, WRITTEN)):
        with pytest.raises(ValidationError):
            vote_of(verdict=verdict, edited=edited)
        payload = canonical_bytes({**vote_of().model_dump(mode="json", exclude_none=True), "verdict": verdict.value})
        if edited is None:
            assert read_vote(signed(payload), KEYS) is VoteRefusal.MALFORMED


def test_who_wrote_it_approves_it_only_where_one_approver_is_enough_below_the_highest_tier() -> None:
    both = OPENED.requirement
    for tier in range(5):
        for requirement in (ONE, both):
            asked = opened(tier, requirement, editors=("Ann",))
            barred = tier == 4 or requirement is both
            assert is_co_author(asked, ("ann",)) is barred
            vote = vote_of(reason="Because", strength="multi_factor")
            assert judged(vote, opened=asked) == (VoteRefusal.CO_AUTHOR if barred else "accepted")
            assert judged(vote_of("bob", reason="Because"), opened=asked) == "accepted"
            denial = vote_of(verdict=Verdict.DENY, reason="I was wrong")
            assert judged(denial, opened=asked) == "accepted"


@pytest.mark.parametrize("order", list(permutations(OTHERS)))
def test_of_several_answers_at_once_the_first_stands_and_a_denial_always(order: tuple[Verdict, ...]) -> None:
    ballot = Ballot("acme", vote_of().run_id, None)
    ballot.admit(KEYS, ())
    ballot.expect()
    ballot.open(opened(), vote_of().voted_at)
    for number, verdict in enumerate((*order, Verdict.APPROVE)):
        edited = WRITTEN if verdict is Verdict.EDIT else None
        vote = vote_of(f"p{number}", verdict=verdict, reason="Because", edited=edited)
        ballot.receive(signed(canonical_bytes(vote)), vote.voted_at)
        answer = ballot.answer(vote.decision_id)
        assert answer.kind == ("accepted" if number == 0 else "refused")
    ending = ballot.ending(OPENED.request_id)
    assert ending is not None
    assert (ending.verdict, ballot.verdict(OPENED.request_id)) == (order[0], "voided")
    denial = vote_of("dan", verdict=Verdict.DENY, reason="Because")
    ballot.receive(signed(canonical_bytes(denial)), denial.voted_at)
    assert ballot.verdict(OPENED.request_id) == "denied"


def test_an_answer_that_comes_with_the_last_approval_stops_the_call() -> None:
    ballot = Ballot("acme", vote_of().run_id, None)
    ballot.admit(KEYS, ())
    ballot.expect()
    ballot.open(opened(), vote_of().voted_at)
    for vote in (vote_of(), vote_of("bob", verdict=Verdict.ASK, reason="Why twice?")):
        ballot.receive(signed(canonical_bytes(vote)), vote.voted_at)
    assert ballot.verdict(OPENED.request_id) == "voided"


@given(
    labels=st.lists(st.sampled_from(list(Origin)), min_size=1, max_size=4),
    label=st.sampled_from(list(Origin)),
)
def test_that_a_person_wrote_a_value_proves_nothing_more_about_it(labels: list[Origin], label: Origin) -> None:
    parts = tuple(Trace(label=one) for one in labels)
    before = {"a": Trace(label=label, parts=parts), "b": Trace(label=label)}
    after = edited_by(before, {"a": "Ann"})
    assert after["b"] == before["b"]
    assert after["a"].by == "Ann"
    assert after["a"].proven == before["a"].proven
    if label is not Origin.MODEL:
        assert after["a"].label is label
    else:
        assert after["a"].label is (Origin.UNTRUSTED if Origin.UNTRUSTED in labels else Origin.PERSON)
