"""The ballot under every order of signals: each vote has one answer, and nothing but real votes count."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from approvals.signing import VoteSigner
from contracts.decision import GroupCount, Requirement
from contracts.event import Carried
from contracts.run_activities import ApprovalOpened
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VotePending, VoteRefusal, VoteRefused
from tests.thorough import examples
from workflows.ballot import MAX_EARLY_VOTES, MAX_REFUSALS_KEPT, Ballot

pytestmark = pytest.mark.req("A1", "A4")
NOW_S = 1_800_000_000
RUN, OTHER_RUN = "run-" + "a" * 26, "run-" + "b" * 26
REQUEST, OTHER_REQUEST = "apr-" + "a" * 26, "apr-" + "b" * 26
DIGEST = "sha256:" + "1" * 64
TWO = Requirement(id="two-finance", needs=(GroupCount(group="finance", count=2),))
SIGNER, STRANGER = (VoteSigner(OKPKey.generate_key("Ed25519")) for _ in range(2))
OPENED = ApprovalOpened(
    request_id=REQUEST, digest=DIGEST, requirement=TWO, tier=3, opened_at=NOW_S - 10, sla_at=NOW_S + 60,
    expires_at=NOW_S + 600, interested=("olga",),
)  # fmt: skip


def vote(number: int, account: str = "fay", /, **changes: object) -> Vote:
    return Vote.model_validate(
        {
            "tenant": "acme", "run_id": RUN, "request_id": REQUEST, "digest": DIGEST, "verdict": "approve",
            "decision_id": "dec-" + "abcdefghijklmnopqrstuvwxyz234567"[number % 32] * 26, "issuer": "local",
            "subject": account, "person": account, "display_name": account, "groups": ("finance",),
            "authenticated_at": NOW_S - 20, "strength": "password", "voted_at": NOW_S - 5,
            "expires_at": NOW_S + 600, **changes,
        }
    )  # fmt: skip


def ballot(carried: Carried | None = None) -> Ballot:
    made = Ballot("acme", RUN, carried)
    made.admit({SIGNER.kid: SIGNER.public_jwk}, ("otto",))
    return made


@dataclasses.dataclass(frozen=True)
class Sent:
    """A signal, and whether a run may ever count it."""

    signed: SignedVote
    vote: Vote | None
    real: bool


REAL = [vote(0, "fay"), vote(1, "finn"), vote(2, "fred"), vote(3, "fay"), vote(4, "gus", verdict="deny", reason="No.")]
FALSE = [
    vote(8, "fay", request_id=OTHER_REQUEST),
    vote(9, "fay", run_id=OTHER_RUN),
    vote(10, "fay", tenant="globex"),
    vote(11, "fay", digest="sha256:" + "2" * 64),
    vote(12, "otto"),
    vote(13, "olga"),
    vote(14, "other-account", person="OLGA"),
    vote(15, "zoe", groups=("support-leads",)),
    vote(16, "fay", expires_at=NOW_S - 1),
    vote(17, "fay", voted_at=NOW_S + 3_600),
    vote(18, "fay", authenticated_at=NOW_S - 86_400),
    vote(19, "fay", verdict="deny"),
    vote(20, "fay", verdict="ask", reason="Why?"),
]
SIGNALS = st.lists(
    st.one_of(
        st.sampled_from([Sent(SIGNER.sign(one), one, real=True) for one in REAL]),
        st.sampled_from([Sent(SIGNER.sign(one), one, real=False) for one in FALSE]),
        st.sampled_from([Sent(STRANGER.sign(one), None, real=False) for one in (*REAL, *FALSE)]),
        st.text(max_size=80).map(lambda text: Sent(SignedVote(jws=text), None, real=False)),
    ),
    max_size=40,
)


@settings(max_examples=examples(200), deadline=None)
@given(before=SIGNALS, early=SIGNALS, late=SIGNALS)
def test_signals_in_any_order_have_one_answer_each_and_only_real_votes_count(
    before: list[Sent], early: list[Sent], late: list[Sent]
) -> None:
    run = ballot()
    for sent in before:
        run.receive(sent.signed, NOW_S)
    run.expect()
    for sent in early:
        run.receive(sent.signed, NOW_S)
    run.open(OPENED, NOW_S)
    answers = {one.decision_id: run.answer(one.decision_id) for one in (*REAL, *FALSE)}
    for sent in late:
        run.receive(sent.signed, NOW_S)
    for decision_id, answer in answers.items():  # what was answered once is never answered otherwise
        assert isinstance(answer, VotePending) or run.answer(decision_id) == answer
    counted = [one for one in REAL if isinstance(run.answer(one.decision_id), VoteAccepted)]
    assert len(counted) == run.votes_counted
    assert {one.decision_id for one in counted} == set(run.decision_ids(REQUEST))
    assert len({one.person for one in counted}) == len(counted)
    assert not any(isinstance(run.answer(one.decision_id), VoteAccepted) for one in FALSE)
    assert len(run.refusals) == min(run.refused, MAX_REFUSALS_KEPT)
    denied = any(one.verdict is Verdict.DENY for one in counted)
    enough = len([one for one in counted if one.verdict is Verdict.APPROVE]) == TWO.persons
    assert run.verdict(REQUEST) == ("denied" if denied else "granted" if enough else "open")


def test_a_vote_that_comes_twice_before_its_request_counts_once_and_stays_accepted() -> None:
    run = ballot()
    run.expect()
    for _ in range(3):
        run.receive(SIGNER.sign(vote(0)), NOW_S)
    run.open(OPENED, NOW_S)
    assert run.answer(vote(0).decision_id) == VoteAccepted()
    assert (run.votes_counted, run.refused) == (1, 0)


def test_votes_of_other_runs_and_old_ones_take_no_room_from_early_ones() -> None:
    run = ballot()
    run.expect()
    for _ in range(MAX_EARLY_VOTES * 2):
        run.receive(SIGNER.sign(vote(9, run_id=OTHER_RUN)), NOW_S)
        run.receive(SIGNER.sign(vote(8, request_id=OTHER_REQUEST)), NOW_S)
    run.receive(SIGNER.sign(vote(0)), NOW_S)
    run.open(OPENED, NOW_S)
    assert run.answer(vote(0).decision_id) == VoteAccepted()
    assert run.answer(vote(9).decision_id) == VoteRefused(refusal=VoteRefusal.WRONG_RUN)


def test_a_decision_is_answered_the_same_after_the_run_was_continued_as_new() -> None:
    first = ballot()
    first.expect()
    first.open(OPENED, NOW_S)
    first.receive(SIGNER.sign(vote(0)), NOW_S)
    first.receive(SIGNER.sign(vote(12, "otto")), NOW_S)
    carried = Carried(step=1, malformed=0, waited_s=0, decisions=first.decisions, refused_votes=first.refused)
    second = ballot(carried)
    for again in (vote(0), vote(12, "otto")):
        second.receive(SIGNER.sign(again), NOW_S)
        assert second.answer(again.decision_id) == first.answer(again.decision_id)
    assert (second.votes_counted, second.refused) == (0, first.refused)
    second.receive(SIGNER.sign(vote(1, "finn")), NOW_S)  # its request ended with the part of the run before
    assert second.answer(vote(1).decision_id) == VoteRefused(refusal=VoteRefusal.UNKNOWN_REQUEST)


def test_an_account_that_became_another_persons_has_no_second_vote() -> None:
    run = ballot()
    run.expect()
    run.open(OPENED, NOW_S)
    run.receive(SIGNER.sign(vote(0, "fay")), NOW_S)
    run.receive(SIGNER.sign(vote(1, "fay", person="somebody-else")), NOW_S)
    assert run.answer(vote(1).decision_id) == VoteRefused(refusal=VoteRefusal.SAME_PERSON)
