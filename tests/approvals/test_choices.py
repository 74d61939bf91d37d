"""Changing arguments, asking the agent and handing over, on the form and by the API, against a real store."""

import json

import httpx
import pytest

from contracts.canonical import canonical_bytes, digest
from contracts.vote import SignedVote, Verdict, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest
from store.vote_keys import vote_keys
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, form_on, hidden_in
from tests.approvals.scene import FIONA, FRED, LENA, PASSWORD, TENANT, TWO_FINANCE, VERA, ask

pytestmark = pytest.mark.req("A5")
TYPED = {
    "argument.order_id": "ord_2002",
    "argument.amount_minor": "200.00",
    "argument.currency": "EUR",
    "argument.reason_code": "goodwill",
    "argument.note": "Delivery 12 days late; customer asked for the whole price back.",
    "reason": "Half of it is fair",
}
TYPED_AS = {"order_id": "ord_2002", "amount_minor": 48_000, "currency": "EUR", "reason_code": "late_delivery"}


async def votes(office: Office, request: StoredRequest) -> tuple[StoredVote, ...]:
    async with office.db.tenant(TENANT) as cursor:
        return await votes_on(cursor, TENANT, request.request_id)


async def signed(office: Office, row: StoredVote) -> Vote:
    async with office.db.tenant(TENANT) as cursor:
        keys = await vote_keys(cursor)
    vote = read_vote(SignedVote(jws=row.jws), keys)
    assert isinstance(vote, Vote)
    return vote


async def post(client: httpx.AsyncClient, request: StoredRequest, path: str, **fields: str) -> httpx.Response:
    """Press a button: of an edit the second one, after the page that shows once more what changes."""
    address = f"/requests/{request.request_id}"
    form = {**await form_on(client, address), "digest": request.digest, **fields}
    if path == "edit" and "sure" in fields:
        shown = await client.post(f"{address}/edit", data={**form, "sure": ""})
        form |= hidden_in(shown.text) if "csrf" in shown.text else {}
    return await client.post(f"{address}/{path}", data={**form, **fields})


async def test_an_edit_is_shown_once_more_and_then_signed(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        page = await client.get(f"/requests/{request.request_id}/edit")
        assert 'name="argument.amount_minor" value="480.00"' in page.text
        shown = await post(client, request, "edit", **TYPED)
        assert "Is this what you mean?" in shown.text
        assert "EUR 200.00" in shown.text
        assert await votes(office, request) == ()
        for _ in range(2):  # a double click is one edit
            done = await post(client, request, "edit", **TYPED, sure="yes")
            assert (done.status_code, done.headers["location"]) == (303, f"/requests/{request.request_id}")
        after = await client.get(f"/requests/{request.request_id}")
        assert "Your edit is signed and stored" in after.text
        other = await post(client, request, "decision", verdict="approve")
        assert "You had already edited this request" in other.text
    [row] = await votes(office, request)
    vote = await signed(office, row)
    assert (vote.verdict, vote.reason) == (Verdict.EDIT, "Half of it is fair")
    assert row.edited is not None
    edited = json.loads(row.edited)
    assert (edited["amount_minor"], edited["reason_code"]) == (20_000, "goodwill")
    assert (digest(edited), canonical_bytes(edited).decode()) == (vote.edited, row.edited)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"argument.amount_minor": "-5"}, "Must be at least 1."),
        ({"argument.amount_minor": "2,000.00"}, "Write the amount in EUR, such as 1234.50."),
        ({"argument.order_id": "ord 1"}, "Must have the form"),
        ({"argument.reason_code": "because"}, "Must be one of"),
        ({"argument.amount_minor": "480.00", "argument.reason_code": "late_delivery"}, "Nothing was changed."),
        ({"reason": "no"}, "Say why"),
        ({"digest": "sha256:" + "0" * 64}, "What you saw is not what would run"),
    ],
)
async def test_what_is_wrong_with_an_edit_stands_beside_what_was_typed(
    office: Office, changes: dict[str, str], words: str
) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        answer = await post(client, request, "edit", **{**TYPED, **changes, "sure": "yes"})
    assert answer.status_code == 422
    assert words in answer.text
    assert changes.get("argument.amount_minor", "200.00") in answer.text
    assert await votes(office, request) == ()


async def test_characters_that_hide_are_seen_in_an_edit(office: Office) -> None:
    request = await ask(office.db, arguments={**TYPED_AS, "note": "Deliver\u200bed late"})
    async with office.signed_in(LENA) as client:
        form = (await client.get(f"/requests/{request.request_id}/edit")).text
        assert 'It reads: <span class="text"><bdi>Deliver<mark class="odd"' in form
        shown = await post(client, request, "edit", **{**TYPED, "argument.note": "as agreed \u202eyadot"})
    assert "Is this what you mean?" in shown.text
    assert "has characters that hide or imitate others, shown as codes" in shown.text
    assert ">U+202E<" in shown.text


async def test_who_may_not_decide_may_not_edit_either(office: Office) -> None:
    request = await ask(office.db, interested=("lena",))
    for person, words in ((LENA, "somebody else must decide"), (FRED, "None of your groups")):
        async with office.signed_in(person) as client:
            answer = await post(client, request, "edit", **TYPED, sure="yes")
            assert words in answer.text
            for verdict in ("ask", "hand_over"):
                answer = await post(client, request, "decision", verdict=verdict, reason="Let me see")
                assert (answer.status_code, words in answer.text) == (403, True)
    async with office.signed_in(VERA) as client:
        assert (await client.get(f"/requests/{request.request_id}/edit")).status_code == 403
    assert await votes(office, request) == ()


@pytest.mark.parametrize("verdict", [Verdict.ASK, Verdict.HAND_OVER])
async def test_a_question_and_a_hand_over_are_signed_with_their_words(office: Office, verdict: Verdict) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        empty = await post(client, request, "decision", verdict=verdict.value, reason="  ")
        assert empty.status_code == 422
        done = await post(client, request, "decision", verdict=verdict.value, reason="Was it insured? \u202etxt")
        assert done.status_code == 303
        assert "U+202E" in (await client.get(done.headers["location"])).text
    vote = await signed(office, (await votes(office, request))[0])
    assert (vote.verdict, vote.reason, vote.edited) == (verdict, "Was it insured? \u202etxt", None)


async def test_what_is_damaged_is_denied_or_handed_over_and_nothing_else(office: Office) -> None:
    request = await ask(office.db)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "update approval_requests set view = replace(view, '48000', '48001') where request_id = %s",
            (request.request_id,),
        )
    async with office.signed_in(LENA) as client:
        page = await client.get(f"/requests/{request.request_id}")
        assert 'value="deny"' in page.text
        assert 'value="hand_over"' in page.text
        for absent in ('value="approve"', 'value="ask"', "/edit"):
            assert absent not in page.text
        assert (await post(client, request, "edit", **TYPED, sure="yes")).status_code == 404
        assert (await post(client, request, "decision", verdict="ask", reason="What is this?")).status_code == 409
        assert await votes(office, request) == ()
        done = await post(client, request, "decision", verdict="hand_over", reason="I look into it myself")
        assert done.status_code == 303
    [vote] = await votes(office, request)
    assert vote.verdict is Verdict.HAND_OVER


async def test_who_wrote_it_is_told_that_others_must_approve(office: Office) -> None:
    request = await ask(office.db, requirement=TWO_FINANCE, editors=("fred",))
    async with office.signed_in(FRED) as client:
        page = await client.get(f"/requests/{request.request_id}")
        assert "You wrote a part of this" in page.text
        assert 'value="approve"' not in page.text
        refused = await post(client, request, "decision", verdict="approve")
        assert refused.status_code == 403
    async with office.signed_in(FIONA) as client:
        assert (await post(client, request, "decision", verdict="approve")).status_code == 303


async def test_the_api_edits_too_and_says_what_is_wrong_by_argument(office: Office) -> None:
    request = await ask(office.db)
    async with office.visitor() as client:
        credentials = {"tenant": TENANT, "username": "lena", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=credentials)).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        address = f"/api/approvals/{request.request_id}"
        shown = (await client.get(address)).json()
        assert shown["choices"] == ["approve", "deny", "edit", "ask", "hand_over"]
        assert shown["arguments_schema"]["properties"]["amount_minor"]["minimum"] == 1
        body = {"verdict": "edit", "digest": shown["digest"], "reason": "Half of it is fair"}
        wrong = await client.post(
            f"{address}/decision", json={**body, "arguments": {**shown["view"]["arguments"], "amount_minor": "x"}}
        )
        assert (wrong.json()["outcome"], wrong.json()["problems"]) == (
            "unusable",
            {"amount_minor": "Must be a whole number."},
        )
        assert (await client.post(f"{address}/decision", json=body)).status_code == 422
        right = await client.post(
            f"{address}/decision", json={**body, "arguments": {**shown["view"]["arguments"], "amount_minor": 20_000}}
        )
        assert (right.json()["outcome"], right.json()["vote"]["verdict"]) == ("decided", "edit")
    assert len(await votes(office, request)) == 1


async def test_a_request_that_offers_no_edit_takes_none(office: Office) -> None:
    request = await ask(office.db, choices=(Verdict.APPROVE, Verdict.DENY))
    async with office.signed_in(LENA) as client:
        page = await client.get(f"/requests/{request.request_id}")
        assert 'id="more"' not in page.text
        assert (await client.get(f"/requests/{request.request_id}/edit")).status_code == 404
        refused = await post(client, request, "decision", verdict="ask", reason="Why at all?")
        assert "cannot be answered so" in refused.text
    assert await votes(office, request) == ()
