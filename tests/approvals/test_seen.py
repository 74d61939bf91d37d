"""What an approver saw is kept byte for byte, bound by their vote, and opens again as it was."""

import re

import httpx
import psycopg
import pytest

from approvals.batch_rows import batch_row
from approvals.seen import seen_digest, seen_page
from contracts.agent import ApprovalTimes
from contracts.canonical import digest_bytes
from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest
from store.seen import SeenPage, seen_pages
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, form_on, hidden_in
from tests.approvals.scene import EVE, FIONA, FRED, LENA, PASSWORD, TENANT, TWO_FINANCE, VERA, ask
from tests.approvals.test_batch import list_in

pytestmark = pytest.mark.req("A3")
_FORM = re.compile(r'<form method="post" action="/requests/[^"]+/decision".*?</form>', re.DOTALL)
_SEEN = re.compile(r'name="seen" value="(sha256:[0-9a-f]{64})"')
_MOVES = re.compile(r"<(p|div|section)\b[^<>]*data-part[^<>]*>.*?</\1>", re.DOTALL)


def facts(page: str) -> str:
    """The facts of a page, without what moves and what was asked before."""
    inside = page.split('<div class="facts">', 1)[1].split('<aside class="decide', 1)[0]
    return re.sub(r"\s+", " ", _MOVES.sub("", inside))


async def kept(office: Office, request: StoredRequest) -> tuple[SeenPage, ...]:
    async with office.db.tenant(TENANT) as cursor:
        return await seen_pages(cursor, TENANT, request.request_id)


async def votes(office: Office, request: StoredRequest) -> tuple[StoredVote, ...]:
    async with office.db.tenant(TENANT) as cursor:
        return await votes_on(cursor, TENANT, request.request_id)


async def decide(client: httpx.AsyncClient, request: StoredRequest, **change: str) -> httpx.Response:
    address = f"/requests/{request.request_id}"
    form = {**await form_on(client, address), "digest": request.digest, "verdict": "approve", **change}
    return await client.post(f"{address}/decision", data=form)


async def test_every_form_that_decides_names_the_page_that_it_stands_on(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        forms = _FORM.findall((await client.get(f"/requests/{request.request_id}")).text)
    assert {verdict for form in forms for verdict in re.findall(r'name="verdict" value="(\w+)"', form)} == {
        "approve", "deny", "ask", "hand_over",
    }  # fmt: skip
    assert {tuple(_SEEN.findall(form)) for form in forms} == {
        (digest_bytes(seen_page(office.app.state.services.assets, request).encode()),)
    }


async def test_the_page_is_kept_with_the_vote_that_is_signed_over_it(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        live = (await client.get(f"/requests/{request.request_id}")).text
        assert (await decide(client, request)).status_code == 303
    [page] = await kept(office, request)
    [stored] = await votes(office, request)
    vote = read_vote(SignedVote(jws=stored.jws), office.app.state.services.signer.public_keys)
    assert isinstance(vote, Vote)
    assert vote.seen == stored.seen == page.digest == digest_bytes(page.body.encode())
    assert page.seen_by == ("lena",)
    assert facts(live) == facts(page.body)
    assert "480.00" in page.body


async def test_two_who_see_the_same_share_one_page_whenever_they_look(office: Office) -> None:
    request = await ask(office.db, requirement=TWO_FINANCE, times=ApprovalTimes(sla_s=60, expires_s=600))
    for who in (FRED, FIONA):
        async with office.signed_in(who) as client:
            assert (await decide(client, request)).status_code == 303
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("update approval_requests set escalated_to = array['finance']")
    [page] = await kept(office, request)
    assert page.seen_by == ("fiona", "fred")


UNSEEN = {"of another version": digest_bytes(b"yesterday's page"), "no digest": "x", "none": ""}


@pytest.mark.parametrize("verdict", ["approve", "deny", "ask", "hand_over"])
async def test_a_form_that_does_not_name_the_page_is_refused_and_nothing_typed_is_lost(
    office: Office, verdict: str
) -> None:
    request = await ask(office.db)
    again = ""
    async with office.signed_in(LENA) as client:
        for what, seen in UNSEEN.items():
            answer = await decide(client, request, seen=seen, verdict=verdict, reason="Wrong & late, I say.")
            assert (what, answer.status_code) == (what, 409)
            assert answer.text.count("Nothing was signed: your form does not say which page you saw") == 1
            # An approval at this tier has no words: the field of the denial keeps them for no other button.
            assert (verdict == "approve") or "Wrong &amp; late, I say.</textarea>" in answer.text
            assert await kept(office, request) == ()
            assert await votes(office, request) == ()
            again = answer.text
        # What came back is a page to decide on.
        form = {**hidden_in(again), "digest": request.digest, "verdict": verdict, "reason": "Wrong & late."}
        assert (await client.post(f"/requests/{request.request_id}/decision", data=form)).status_code == 303
    [page] = await kept(office, request)
    assert [vote.seen for vote in await votes(office, request)] == [page.digest]


async def test_an_edit_is_bound_to_the_page_that_showed_what_changes(office: Office) -> None:
    request = await ask(office.db)
    address = f"/requests/{request.request_id}/edit"
    typed = {
        "digest": request.digest, "argument.order_id": "ord_2002", "argument.amount_minor": "200.00",
        "argument.currency": "EUR", "argument.reason_code": "goodwill", "argument.note": "Half.\r\nNo more.",
        "reason": " Half of it\r\nis fair ",
    }  # fmt: skip
    async with office.signed_in(LENA) as client:
        first = await client.post(address, data={**await form_on(client, address), **typed})
        form = {**typed, **hidden_in(first.text), "sure": "yes"}
        for changed in ({"seen": ""}, {"argument.amount_minor": "300.00"}, {"reason": "Another one."}):
            answer = await client.post(address, data={**form, **changed})
            assert answer.status_code == 422
            assert "Nothing was signed: your form does not say which page you saw" in answer.text
            assert "Is this what you mean?" in answer.text
        assert await votes(office, request) == ()
        assert (await client.post(address, data=form)).status_code == 303
    [vote], [page] = await votes(office, request), await kept(office, request)
    assert vote.seen == form["seen"] == page.digest
    assert page.is_intact()
    for text in ("EUR 480.00", "EUR 200.00", "Half of it", "goodwill"):
        assert text in page.body
        assert text in first.text


async def test_a_list_is_kept_once_and_each_vote_leads_to_its_row(office: Office) -> None:
    low = [await ask(office.db, name, tier=2, resource_id=f"ord_{name}") for name in "abc"]
    async with office.signed_in(LENA) as client:
        form = list_in((await client.get("/requests/batch")).text)
        chosen = {f"verdict-{one.request_id}": "approve" for one in low[:2]}
        # Somebody else decided one of them meanwhile, and one is new: the list that was seen is still that list.
        await ask(office.db, "d", tier=2)
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute(
                "update approval_requests set escalated_to = '{finance}' where request_id = %s", (low[2].request_id,)
            )
        assert (await client.post("/requests/batch", data=form | chosen)).status_code == 200
    first, second = [(await votes(office, one), await kept(office, one)) for one in low[:2]]
    assert first[1] == second[1]
    assert await kept(office, low[2]) == ()
    [page] = first[1]
    assert {vote.seen for vote in (*first[0], *second[0])} == {form["seen"], page.digest} == {form["seen"]}
    for one in low:
        assert f'id="{one.request_id}"' in page.body
    assert "/static/" not in page.body
    async with office.signed_in(VERA) as auditor:
        shown = (await auditor.get(f"/requests/{low[0].request_id}")).text
        [address] = re.findall(r'href="([^"]+)">the page they saw', shown)
        assert address.endswith(f"#{low[0].request_id}")
        assert (await auditor.get(address)).text == page.body
        other = address.replace(low[0].request_id, low[2].request_id)
        assert (await auditor.get(other)).status_code == 404


async def test_a_list_that_is_not_the_one_that_was_seen_decides_nothing_and_keeps_what_was_chosen(
    office: Office,
) -> None:
    low = [await ask(office.db, name, tier=2) for name in "ab"]
    ids = [one.request_id for one in low]
    async with office.signed_in(LENA) as client:
        page = (await client.get("/requests/batch")).text
        form = list_in(page) | {f"verdict-{ids[0]}": "deny", f"reason-{ids[0]}": "Wrong street."}
        first, second = [f"digest-{one}" for one in re.findall(r'name="digest-(apr-\w+)"', page)]
        shorter = {name: value for name, value in form.items() if name != f"digest-{ids[1]}"}
        turned = {name: value for name, value in form.items() if name != first} | {first: form[first]}
        assert list(turned).index(second) < list(turned).index(first)
        for sent in (form | {"seen": ""}, form | {"seen": digest_bytes(b"another list")}, shorter, turned):
            answer = await client.post("/requests/batch", data=sent)
            assert answer.status_code == 409
            assert "Nothing was signed: your form does not say which page you saw" in answer.text
            assert f'name="verdict-{ids[0]}" value="deny" checked' in answer.text
            assert 'value="Wrong street."' in answer.text
    assert [await votes(office, one) for one in low] == [(), ()]


async def test_what_a_list_shows_is_what_is_kept_to_the_byte(office: Office) -> None:
    low = [await ask(office.db, name, tier=1) for name in "ab"]
    async with office.signed_in(LENA) as client:
        live = (await client.get("/requests/batch")).text
        form = list_in(live) | {f"verdict-{low[0].request_id}": "approve"}
        assert (await client.post("/requests/batch", data=form)).status_code == 200
    [page] = await kept(office, low[0])
    for one in low:
        row = batch_row(office.app.state.services.assets, one).facts
        assert one.request_id in row
        assert row in live
        assert row in page.body


async def test_another_front_end_cannot_say_which_page_of_ours_was_seen(office: Office) -> None:
    request = await ask(office.db)
    async with office.visitor() as client:
        credentials = {"tenant": TENANT, "username": "lena", "password": PASSWORD}
        token = (await client.post("/api/sign-in", json=credentials)).json()["token"]
        client.headers["authorization"] = f"Bearer {token}"
        body = {"verdict": "approve", "digest": request.digest}
        path = f"/api/approvals/{request.request_id}"
        seen = seen_digest(office.app.state.services.assets, request)
        assert (await client.post(f"{path}/decision", json={**body, "seen": seen})).status_code == 422
        assert (await client.post(f"{path}/decision", json=body)).json()["outcome"] == "decided"
        assert (await client.get(f"{path}/seen")).json() == {"pages": []}
    [vote] = await votes(office, request)
    assert vote.seen == ""
    async with office.signed_in(VERA) as auditor:
        shown = (await auditor.get(f"/requests/{request.request_id}")).text
    assert "not on a page of ours" in shown
    assert "the page they saw" not in shown


async def test_an_auditor_opens_the_kept_page_and_nobody_of_another_tenant_does(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        await decide(client, request)
        shown = (await client.get(f"/requests/{request.request_id}")).text
    [page] = await kept(office, request)
    address = f"/requests/{request.request_id}/seen/{page.digest.removeprefix('sha256:')}"
    assert address in shown
    async with office.signed_in(VERA) as auditor, office.signed_in(EVE) as stranger:
        answer = await auditor.get(address)
        assert answer.content == page.body.encode()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert policy.endswith("; sandbox")
        assert "unsafe" not in policy
        assert (await stranger.get(address)).status_code == 404
        assert (await auditor.get(address[:-1] + "g")).status_code == 404


async def test_a_kept_page_cannot_be_changed_and_a_forged_one_does_not_open(office: Office) -> None:
    request = await ask(office.db)
    seen = seen_digest(office.app.state.services.assets, request)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "insert into seen_pages (tenant, digest, body) values (%s, %s, '<h1>Fine</h1>')", (TENANT, seen)
        )
    async with office.signed_in(LENA) as client:
        await decide(client, request)
    address = f"/requests/{request.request_id}/seen/{seen.removeprefix('sha256:')}"
    async with office.signed_in(VERA) as auditor:
        answer = await auditor.get(address)
    assert answer.status_code == 409
    assert "Fine" not in answer.text
    for change in ("update seen_pages set body = ''", "delete from seen_pages"):
        with pytest.raises(psycopg.Error):
            async with office.db.tenant(TENANT) as cursor:
                await cursor.execute(change)
