"""What cannot be undone is signed with the passkey of who has one, for exactly this decision; all else is refused."""

import psycopg
import pytest

from activities.grants import Counted, count_votes
from contracts.decision import GroupCount, Requirement
from contracts.passkey import Assertion
from contracts.vote import SignedVote, Vote
from policy.passkeys import evidence_problem
from policy.votes import read_vote
from store.approvals import StoredRequest
from store.passkey_challenges import assertions_on
from store.passkeys import passkeys_of, remove_passkey
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import Office, form_on, sign_in
from tests.approvals.passkey_scene import (
    REASON,
    arm,
    challenge,
    decided,
    decision,
    halfway,
    irreversible,
    refusals,
    votes,
    with_passkey,
)
from tests.approvals.scene import FIONA, FRED, TENANT, TWO_FINANCE, Person, add_people, ask
from tests.approvals.test_standing import proposed, terms_in

pytestmark = pytest.mark.req("A4")


async def test_what_cannot_be_undone_is_signed_with_the_passkey_and_shown_without_us(office: Office) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert "You sign this with your passkey" in page
        form = await decision(client, request)
        answer = await decided(client, request, form, key.use(await challenge(client, request, form)))
        assert answer.status_code == 303, answer.text
        token = client.cookies["countersign"]
        headers = {"authorization": f"Bearer {token}"}
        shown = await client.get(f"/api/approvals/{request.request_id}/assertions", headers=headers)
    [vote] = await votes(office, request)
    [kept] = shown.json()["assertions"]
    assert vote.strength == "multi_factor"
    assert evidence_problem(kept["body"], vote) == ""
    assert Assertion.model_validate_json(kept["body"]).statement.reason == "Checked with the bank.\nTwice."
    assert read_vote(SignedVote(jws=kept["jws"]), office.app.state.services.signer.public_keys) == vote
    for name, other in (("verdict", "deny"), ("seen", "sha256:" + "0" * 64), ("person", "fiona"), ("assertion", None)):
        assert evidence_problem(kept["body"], vote.model_copy(update={name: other})) != ""
    assert evidence_problem(kept["body"].replace("Twice", "Thrice"), vote) != ""


async def test_a_password_alone_decides_nothing_that_cannot_be_undone(office: Office) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        without = await decided(client, request, form, "")
        headers = {"authorization": f"Bearer {client.cookies['countersign']}"}
        body = {"verdict": "deny", "digest": request.digest, "reason": "By a program."}
        address = f"/api/approvals/{request.request_id}/decision"
        program = (await client.post(address, json=body, headers=headers)).json()
        forged = await client.post(address, json={**body, "answer": "{}"}, headers=headers)
        lower = await ask(office.db, "lower", requirement=TWO_FINANCE)
        below = await decision(client, lower)
        assert (await decided(client, lower, below, "")).status_code == 303
    assert without.status_code == 403
    assert "signed with your passkey" in without.text
    assert REASON.partition("\r")[0] in without.text  # what was written is not lost
    assert (program["outcome"], program["refusal"]) == ("refused", "passkey_missing")
    assert program["message"].endswith(f"Open http://127.0.0.1:8400/requests/{request.request_id}")
    assert forged.status_code == 422
    assert await votes(office, request) == []


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "deny"},
        {"reason": "Something else."},
        {"delegation": "dlg-" + "a" * 26},
        {"seen": "sha256:" + "0" * 64},
        {"digest": "sha256:" + "0" * 64},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_an_answer_to_another_decision_is_refused_and_written_down(
    office: Office, change: dict[str, str]
) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        answer = key.use(await challenge(client, request, {**form, **change}))
        refused = await decided(client, request, form, answer)
        again = await decided(client, request, form, answer)
    assert (refused.status_code, again.status_code) == (403, 403)
    assert await votes(office, request) == []
    latest, first = await refusals(office, FRED)
    assert "another decision was signed" in first
    assert "no challenge" in latest  # taken by the first try


async def test_an_answer_to_another_request_is_refused(office: Office) -> None:
    key, request, other = Authenticator(), await irreversible(office), await irreversible(office, "2")
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        answer = key.use(await challenge(client, other, await decision(client, other)))
        assert (await decided(client, request, form, answer)).status_code == 403
    assert await votes(office, request) == []


async def test_an_old_answer_is_refused_when_it_comes_again(office: Office) -> None:
    key, request, other = Authenticator(), await irreversible(office), await irreversible(office, "2")
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        answer = key.use(await challenge(client, request, form))
        assert (await decided(client, request, form, answer)).status_code == 303
        anew = await decision(client, other)
        await challenge(client, other, anew)
        assert (await decided(client, other, anew, answer)).status_code == 403
    assert await votes(office, other) == []
    [found] = await refusals(office, FRED)
    assert "challenge was not expected" in found


async def test_an_answer_of_another_session_is_refused(office: Office) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client, office.visitor() as elsewhere:
        await elsewhere.post("/sign-in/passkey", data={"answer": key.use(await halfway(elsewhere, FRED))})
        form, theirs = await decision(client, request), await decision(elsewhere, request)
        answer = key.use(await challenge(client, request, form))
        assert (await decided(elsewhere, request, theirs, answer)).status_code == 403
    assert await votes(office, request) == []


async def test_somebody_elses_passkey_signs_for_nobody_but_them(office: Office) -> None:
    mine, theirs, request = Authenticator(), Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, mine) as fred, with_passkey(office, FIONA, theirs):
        form = await decision(fred, request)
        answer = theirs.use(await challenge(fred, request, form))
        assert (await decided(fred, request, form, answer)).status_code == 403
    [found] = await refusals(office, FRED)
    assert "none of this person's passkeys" in found


async def test_an_answer_that_comes_too_late_is_refused(office: Office, owner: psycopg.Connection) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        answer = key.use(await challenge(client, request, form))
        owner.execute("update passkey_challenges set expires_at = now()")
        assert (await decided(client, request, form, answer)).status_code == 403
    assert await votes(office, request) == []


@pytest.mark.parametrize("answer", ["x", "{}", '{"credential_id":"AA"}', "[" * 9_000, "null", "\x00"])
async def test_an_answer_that_is_none_is_refused_in_one_line(office: Office, answer: str) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        await challenge(client, request, form)
        assert (await decided(client, request, form, answer)).status_code == 403
    assert await votes(office, request) == []


async def test_where_a_passkey_is_demanded_nobody_decides_without_one(office: Office) -> None:
    request = await irreversible(office)
    office.app.state.services.passkeys.is_demanded = True
    async with office.signed_in(FRED) as client:
        form = await decision(client, request)
        answer = await decided(client, request, form, "")
        assert answer.status_code == 403
        assert "add one under Passkeys" in answer.text
    assert await votes(office, request) == []


async def test_without_a_name_it_fails_closed_and_says_what_to_do(office: Office) -> None:
    key, request = Authenticator(), await irreversible(office)
    async with with_passkey(office, FRED, key) as client:
        office.app.state.services.passkeys.site = None
        form = await decision(client, request)
        assert (await decided(client, request, form, "{}")).status_code == 403
        async with office.visitor() as other:
            answer = await sign_in(other, FRED)
            assert (answer.status_code, "COUNTERSIGN_WEB_URL" in answer.text) == (401, True)
    assert await votes(office, request) == []


ONE_OF_FINANCE = Requirement(id="one-finance", needs=(GroupCount(group="finance", count=1),))


async def used(office: Office, request: StoredRequest, vote: Vote) -> Counted | str:
    """What the gate says of a grant with this vote, signed by whoever holds the vote key."""
    signer = office.app.state.services.signer
    async with office.db.tenant(TENANT) as cursor:
        return await count_votes(
            cursor, [signer.sign(vote)], opened=request.opened(), keys=signer.public_keys, tenant=TENANT,
            run_id=request.run_id, interested=(), now_s=vote.voted_at,
        )  # fmt: skip


async def test_the_gate_asks_for_the_evidence_again(office: Office, owner: psycopg.Connection) -> None:
    key, request = Authenticator(), await ask(office.db, tier=4, requirement=ONE_OF_FINANCE)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        assert (await decided(client, request, form, key.use(await challenge(client, request, form)))).is_redirect
    [vote] = await votes(office, request)
    assert isinstance(await used(office, request, vote), Counted)
    bare = vote.model_copy(update={"assertion": None})
    assert await used(office, request, bare) == "a vote lacks the passkey of its person"
    other = vote.model_copy(update={"reason": "Something else was decided."})
    assert await used(office, request, other) == (
        "what the passkey of a vote signed does not hold: another decision was signed"
    )
    elsewhere = vote.model_copy(update={"decision_id": "dec-" + "a" * 26})
    assert await used(office, request, elsewhere) == "what the passkey of a vote signed is not there"
    owner.execute("update passkeys set public_key = 'x'")
    assert await used(office, request, vote) == "the passkey of a vote is not its person's"
    owner.execute("update passkeys set rp_id = 'x'")
    assert await used(office, request, vote) == "the passkey of a vote is not its person's"


@pytest.mark.parametrize("lost", [True, False])
async def test_what_a_lost_passkey_signed_is_void_and_what_a_removed_one_signed_stands(
    office: Office, *, lost: bool
) -> None:
    key, request = Authenticator(), await ask(office.db, tier=4, requirement=ONE_OF_FINANCE)
    async with with_passkey(office, FRED, key) as client:
        form = await decision(client, request)
        assert (await decided(client, request, form, key.use(await challenge(client, request, form)))).is_redirect
        async with office.db.tenant(TENANT) as cursor:
            [found] = await passkeys_of(cursor, TENANT, "fred")
            await remove_passkey(cursor, TENANT, "fred", found.passkey_id, by="operator", reason="Lost.", lost=lost)
        assert (await client.get("/requests")).status_code == (303 if lost else 200)
    [vote] = await votes(office, request)
    assert isinstance(await used(office, request, vote), str) is lost


async def test_votes_from_before_a_passkey_count_without_it(office: Office) -> None:
    request = await ask(office.db, tier=4, requirement=ONE_OF_FINANCE)
    async with office.signed_in(FRED) as client:
        form = await decision(client, request)
        assert (await decided(client, request, form, "")).is_redirect
        [vote] = await votes(office, request)
        await arm(client, FRED, Authenticator())
    assert isinstance(await used(office, request, vote.model_copy(update={"voted_at": vote.voted_at - 1})), Counted)
    later = vote.model_copy(update={"voted_at": vote.voted_at + 30})
    assert await used(office, request, later) == "a vote lacks the passkey of its person"


async def test_standing_approvals_are_signed_as_well(office: Office) -> None:
    key, mia = Authenticator(), Person("mia", ("support-leads",))
    await add_people(office.db, mia)
    assert (await proposed(office, "like")).status_code == 303
    shown, _ = await terms_in(office)
    where, request_id = f"/standing/{shown.standing_id}", shown.standing_id.replace("sta-", "apr-")
    async with with_passkey(office, mia, key) as client:
        assert "You sign this with your passkey" in (await client.get(where)).text
        form = {**await form_on(client, where), "digest": shown.digest, "verdict": "approve", "reason": REASON}
        without = await client.post(f"{where}/decision", data=form)
        assert (without.status_code, "signed with your passkey" in without.text) == (409, True)
        other = key.use(
            (await client.post(f"/passkeys/challenge/{request_id}", data={**form, "verdict": "deny"})).json()
        )
        assert (await client.post(f"{where}/decision", data={**form, "answer": other})).status_code == 409
        answer = key.use((await client.post(f"/passkeys/challenge/{request_id}", data=form)).json())
        assert (await client.post(f"{where}/decision", data={**form, "answer": answer})).status_code == 303
    async with office.db.tenant(TENANT) as cursor:
        [kept] = await assertions_on(cursor, TENANT, request_id)
    vote = read_vote(SignedVote(jws=kept.jws), office.app.state.services.signer.public_keys)
    assert isinstance(vote, Vote)
    assert evidence_problem(kept.body, vote) == ""
