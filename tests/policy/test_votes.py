"""Votes are read, judged and counted: a stranger's input is refused, never an exception, and never a vote."""

import base64
import itertools
import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey, OKPKey

from contracts.canonical import canonical_bytes, digest_bytes, opaque_id, run_id_for
from contracts.decision import GroupCount, Requirement
from contracts.run_activities import ApprovalOpened
from contracts.vote import SignedVote, Verdict, Vote, VoteAccepted, VoteRefusal, VoteRefused
from policy.votes import VOTE_ALGORITHM, VOTE_TYPE, judge_vote, quorum, read_vote, satisfied
from tests.thorough import examples

pytestmark = pytest.mark.req("A1", "A4")
KEY = OKPKey.generate_key("Ed25519")
OTHER_KEY = OKPKey.generate_key("Ed25519")
KEYS = {"k1": json.dumps(KEY.as_dict(private=False))}
HEADER = {"alg": VOTE_ALGORITHM, "kid": "k1", "typ": VOTE_TYPE}
RUN = run_id_for("acme", "1")
NOW = 1_800_000_000
LEADS = GroupCount(group="leads", count=1)
FINANCE = GroupCount(group="finance", count=1)
OPENED = ApprovalOpened(
    request_id=opaque_id("apr", "1"),
    digest=digest_bytes(b"shown"),
    requirement=Requirement(id="both", needs=(LEADS, FINANCE)),
    tier=3,
    opened_at=NOW - 100,
    sla_at=NOW + 100,
    expires_at=NOW + 1_000,
)


def vote_of(person: str = "ann", *groups: str, **changes: object) -> Vote:
    vote = Vote(
        tenant="acme",
        run_id=RUN,
        request_id=OPENED.request_id,
        digest=OPENED.digest,
        verdict=Verdict.APPROVE,
        decision_id=opaque_id("dec", person),
        issuer="local",
        subject=person,
        person=person,
        display_name=person,
        groups=groups or ("leads",),
        authenticated_at=NOW - 60,
        strength="password",
        voted_at=NOW,
        expires_at=NOW + 1_000,
    )
    return Vote.model_validate({**vote.model_dump(), **changes})


def signed(payload: bytes, header: dict[str, object] | None = None, key: OKPKey = KEY) -> SignedVote:
    return SignedVote(jws=jws.serialize_compact(header or dict(HEADER), payload, key, [VOTE_ALGORITHM]))


def judged(vote: Vote, *accepted: Vote, opened: ApprovalOpened = OPENED, interested: tuple[str, ...] = ()) -> object:
    verdict = judge_vote(
        vote, opened=opened, run_id=RUN, tenant="acme", interested=interested, accepted=accepted, now_s=NOW
    )
    return verdict.refusal if isinstance(verdict, VoteRefused) else verdict.kind


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_signed_vote_reads_back() -> None:
    vote = vote_of()
    assert read_vote(signed(canonical_bytes(vote)), KEYS) == vote


def test_a_signature_of_another_key_does_not_count() -> None:
    assert read_vote(signed(canonical_bytes(vote_of()), key=OTHER_KEY), KEYS) is VoteRefusal.BAD_SIGNATURE


def test_an_unknown_key_does_not_count() -> None:
    header: dict[str, object] = {**HEADER, "kid": "k2"}
    assert read_vote(signed(canonical_bytes(vote_of()), header, OTHER_KEY), KEYS) is VoteRefusal.UNKNOWN_KEY


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k1", "typ": VOTE_TYPE},
        {"alg": "HS256", "kid": "k1", "typ": VOTE_TYPE},
        {"alg": "EdDSA", "kid": "k1", "typ": VOTE_TYPE},
        {"alg": VOTE_ALGORITHM, "typ": VOTE_TYPE},
        {"alg": VOTE_ALGORITHM, "kid": 1, "typ": VOTE_TYPE},
        {"alg": VOTE_ALGORITHM, "kid": "k1", "typ": "JWT"},
        {"alg": VOTE_ALGORITHM, "kid": "k1"},
        {**HEADER, "crit": ["b64"], "b64": False},
        {**HEADER, "jwk": OTHER_KEY.as_dict(private=False)},
        ["alg", "kid"],
        "alg",
        1,
        None,
    ],
)
def test_only_one_header_is_a_vote(header: object) -> None:
    text = f"{segment(json.dumps(header).encode())}.{segment(canonical_bytes(vote_of()))}.{segment(b'x' * 64)}"
    assert read_vote(SignedVote(jws=text), KEYS) is VoteRefusal.MALFORMED


def test_the_public_key_is_no_shared_secret() -> None:
    # The classic confusion: HMAC with the public key's bytes as the secret.
    forged = jws.serialize_compact(
        {"alg": "HS256", "kid": "k1"}, canonical_bytes(vote_of()), OctKey.import_key(KEYS["k1"].encode()), ["HS256"]
    )
    assert read_vote(SignedVote(jws=forged), KEYS) is VoteRefusal.MALFORMED


@pytest.mark.parametrize("change", [{"extra": 1}, {"voted_at": "now"}, {"run_id": "../x"}, {"verdict": "yes"}])
def test_a_signed_statement_of_another_shape_is_no_vote(change: dict[str, object]) -> None:
    payload = canonical_bytes({**vote_of().model_dump(mode="json"), **change})
    assert read_vote(signed(payload), KEYS) is VoteRefusal.MALFORMED


def test_one_statement_has_one_form() -> None:
    payload = canonical_bytes(vote_of())
    assert read_vote(signed(payload + b" "), KEYS) is VoteRefusal.MALFORMED
    assert read_vote(signed(json.dumps(json.loads(payload), indent=1).encode()), KEYS) is VoteRefusal.MALFORMED


_WHOLE = signed(canonical_bytes(vote_of())).jws
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_CHANGED_VOTE = st.dictionaries(st.sampled_from([*Vote.model_fields, "other"]), _JSON, max_size=3).map(
    lambda change: json.dumps({**vote_of().model_dump(mode="json"), **change}).encode()
)
_TAMPERED = st.tuples(st.integers(0, len(_WHOLE) - 1), st.characters(codec="utf-8")).map(
    lambda change: _WHOLE[: change[0]] + change[1] + _WHOLE[change[0] + 1 :]
)
_STITCHED = st.tuples(
    _JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60), _CHANGED_VOTE | st.binary(max_size=60)
).map(lambda parts: f"{segment(parts[0])}.{segment(parts[1])}.{segment(b's' * 64)}")


@settings(max_examples=examples(500), deadline=None)
@given(st.text(max_size=300) | _TAMPERED | _STITCHED)
@example("")
@example("a.b.c")
@example("..")
@example(segment(b"[" * 9_000) + ".YQ.YQ")
@example("A" * 16_384)
def test_any_text_is_refused_and_raises_nothing(text: str) -> None:
    found = read_vote(SignedVote(jws=text), KEYS)
    # A changed text can still be the same vote only if it decodes to the very bytes that were signed.
    assert isinstance(found, VoteRefusal) or (found == vote_of() and text == _WHOLE)


def mangled(chance: random.Random) -> str:
    """A signal that somebody without a key sends: cut, spliced and overwritten parts of a real one, or noise."""
    header, payload, signature = _WHOLE.split(".")
    body = bytearray(base64.urlsafe_b64decode(payload + "=="))
    for _ in range(chance.randint(0, 3)):
        at, length = chance.randrange(len(body)), chance.randint(0, 5)
        body[at : at + length] = chance.randbytes(chance.randint(0, 6))
    noise = segment(chance.randbytes(chance.randint(0, 80)))
    parts = [chance.choice((header, noise, segment(json.dumps({**HEADER, "kid": noise}).encode())))]
    parts.append(chance.choice((segment(bytes(body)), noise)))
    parts.append(chance.choice((signature, segment(chance.randbytes(64)), noise)))
    text = chance.choice((".", ".", ".", "..", "")).join(parts)
    if chance.random() < 0.3:
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chr(chance.randrange(0x3000)) + text[at + chance.randint(0, 2) :]
    return text


def test_10_000_mangled_signals_are_refused_and_raise_nothing() -> None:
    for seed in range(10_000):
        text = mangled(random.Random(seed))
        found = read_vote(SignedVote(jws=text), KEYS)
        assert isinstance(found, VoteRefusal) or text == _WHOLE, f"seed {seed}"


@settings(max_examples=examples(300), deadline=None)
@given(_CHANGED_VOTE | st.binary(max_size=100))
def test_whatever_our_own_key_signs_is_a_canonical_vote_or_refused(payload: bytes) -> None:
    found = read_vote(signed(payload), KEYS)
    assert found is VoteRefusal.MALFORMED or (isinstance(found, Vote) and canonical_bytes(found) == payload)


@pytest.mark.parametrize("key", ["", "{}", "[]", "null", '{"x": 1}', '{"x": "!!"}', '{"x": "AA"}'])
def test_a_damaged_key_is_an_unknown_key(key: str) -> None:
    assert read_vote(signed(canonical_bytes(vote_of())), {"k1": key}) is VoteRefusal.UNKNOWN_KEY


def test_a_vote_that_fits_is_accepted() -> None:
    assert judged(vote_of()) == "accepted"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"tenant": "other"}, VoteRefusal.WRONG_RUN),
        ({"run_id": run_id_for("acme", "2")}, VoteRefusal.WRONG_RUN),
        ({"request_id": opaque_id("apr", "2")}, VoteRefusal.UNKNOWN_REQUEST),
        ({"digest": digest_bytes(b"other")}, VoteRefusal.WRONG_DIGEST),
        ({"expires_at": NOW}, VoteRefusal.EXPIRED),
        ({"voted_at": NOW + 61}, VoteRefusal.MALFORMED),
        ({"authenticated_at": NOW + 61}, VoteRefusal.MALFORMED),
        ({"authenticated_at": NOW - 12 * 3_600 - 1}, VoteRefusal.STALE_SIGN_IN),
        ({"groups": ("sales",)}, VoteRefusal.NOT_ELIGIBLE),
        ({"groups": ()}, VoteRefusal.NOT_ELIGIBLE),
        ({"verdict": "deny"}, VoteRefusal.REASON_MISSING),
        ({"verdict": "deny", "reason": " no "}, VoteRefusal.REASON_MISSING),
        ({"verdict": "deny", "reason": "too much", "groups": ("sales",)}, VoteRefusal.NOT_ELIGIBLE),
    ],
)
def test_a_vote_that_does_not_fit_is_refused(change: dict[str, object], refusal: VoteRefusal) -> None:
    assert judged(Vote.model_validate({**vote_of().model_dump(), **change})) is refusal


def test_an_expired_request_takes_no_votes() -> None:
    late = OPENED.model_copy(update={"expires_at": NOW})
    assert judged(vote_of(), opened=late) is VoteRefusal.EXPIRED


def test_who_asked_may_not_decide_under_any_spelling() -> None:
    assert judged(vote_of("Ann"), interested=("ann",)) is VoteRefusal.INTERESTED_PARTY
    assert judged(vote_of("p-17", subject="ann"), interested=("Ann",)) is VoteRefusal.INTERESTED_PARTY


def test_who_is_of_the_group_that_owns_the_agent_may_not_decide() -> None:
    assert judged(vote_of("ann", "leads", "makers"), interested=("Makers",)) is VoteRefusal.INTERESTED_PARTY
    owned = OPENED.model_copy(update={"interested": ("makers",)})
    assert judged(vote_of("ann", "leads", "makers"), opened=owned) is VoteRefusal.INTERESTED_PARTY
    assert judged(vote_of("ann", "leads"), interested=("makers",)) == judged(vote_of("ann", "leads"))


def test_accounts_of_one_person_count_as_one() -> None:
    second = vote_of("ann", "finance", subject="ann-admin", decision_id=opaque_id("dec", "x"))
    assert judged(second, vote_of("ann", "leads")) is VoteRefusal.SAME_PERSON


def test_a_group_that_has_enough_takes_no_more_but_may_still_deny() -> None:
    first = vote_of("ann", "leads")
    assert judged(vote_of("bob", "leads"), first) is VoteRefusal.NOT_ELIGIBLE
    assert judged(vote_of("bob", "leads", verdict="deny", reason="wrong order"), first) == "accepted"


def test_the_highest_tier_wants_a_reason_and_a_fresh_sign_in() -> None:
    opened = OPENED.model_copy(update={"tier": 4})
    assert judged(vote_of(), opened=opened) is VoteRefusal.REASON_MISSING
    assert judged(vote_of(reason="checked"), opened=opened) == "accepted"
    stale = vote_of(reason="checked", authenticated_at=NOW - 901)
    assert judged(stale, opened=opened) is VoteRefusal.STALE_SIGN_IN


def test_a_member_of_two_groups_takes_the_seat_that_others_cannot() -> None:
    both, only = vote_of("ann", "leads", "finance"), vote_of("bob", "leads")
    assert judged(only, both) == "accepted"
    assert quorum(OPENED.requirement, (both, only))
    assert not quorum(OPENED.requirement, (both,))


GROUPS = ("a", "b", "c")
_PEOPLE = st.lists(st.sets(st.sampled_from(GROUPS)), max_size=6)
_NEEDS = st.lists(st.builds(GroupCount, group=st.sampled_from(GROUPS), count=st.integers(1, 2)), min_size=1, max_size=3)


@settings(max_examples=examples(300), deadline=None)
@given(_PEOPLE, _NEEDS)
def test_a_quorum_is_an_assignment_of_people_to_seats(people: list[set[str]], needs: list[GroupCount]) -> None:
    requirement = Requirement(id="r", needs=tuple(needs))
    votes = [vote_of(f"p{index}", groups=tuple(groups)) for index, groups in enumerate(people)]
    seats = [need.group for need in needs for _ in range(need.count)]
    by_brute_force = any(
        all(seat in people[person] for seat, person in zip(seats, chosen, strict=True))
        for chosen in itertools.permutations(range(len(people)), len(seats))
    )
    assert quorum(requirement, votes) == by_brute_force
    assert satisfied([requirement], votes) == (("r",) if by_brute_force else ())


@settings(max_examples=examples(300), deadline=None)
@given(_PEOPLE, _NEEDS)
def test_votes_accepted_one_by_one_never_exceed_the_need(people: list[set[str]], needs: list[GroupCount]) -> None:
    requirement = Requirement(id="r", needs=tuple(needs))
    opened = OPENED.model_copy(update={"requirement": requirement})
    accepted: list[Vote] = []
    for index, groups in enumerate(people):
        vote = vote_of(f"p{index}", groups=tuple(groups))
        was_met = quorum(requirement, accepted)
        verdict = judge_vote(
            vote, opened=opened, run_id=RUN, tenant="acme", interested=(), accepted=accepted, now_s=NOW
        )
        if isinstance(verdict, VoteAccepted):
            assert not was_met
            accepted.append(vote)
    everybody = [vote_of(f"p{index}", groups=tuple(groups)) for index, groups in enumerate(people)]
    # Taking votes as they come loses nothing against choosing among all of them.
    assert quorum(requirement, accepted) == quorum(requirement, everybody)
    assert len(accepted) <= requirement.persons


def test_denials_fill_no_seat() -> None:
    denial = vote_of("ann", "leads", verdict="deny", reason="no way")
    assert not quorum(OPENED.requirement, (denial, vote_of("bob", "finance")))


@pytest.mark.parametrize(
    ("issuer", "strength", "tier", "found"),
    [
        ("local", "password", 4, "accepted"),
        ("https://login.example", "password", 3, "accepted"),
        ("https://login.example", "password", 4, VoteRefusal.WEAK_SIGN_IN),
        ("https://login.example", "multi_factor", 4, "accepted"),
    ],
)
def test_at_the_highest_tier_a_provider_must_have_seen_more_than_a_password(
    issuer: str, strength: str, tier: int, found: str
) -> None:
    vote = vote_of("ann", "leads", issuer=issuer, strength=strength, reason="Checked with the bank.")
    assert judged(vote, opened=OPENED.model_copy(update={"tier": tier})) == found
