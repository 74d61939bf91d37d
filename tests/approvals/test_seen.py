"""What an approver saw is kept byte for byte, bound by their vote, and opens again as it was."""

import re

import httpx
import pytest

from approvals.seen import seen_page
from contracts.agent import ApprovalTimes
from contracts.canonical import digest_bytes
from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest, find_request
from store.seen import SeenPage, seen_pages
from store.votes import votes_on
from tests.approvals.conftest import Office, csrf_of
from tests.approvals.scene import EVE, FIONA, FRED, LENA, TENANT, TWO_FINANCE, VERA, ask

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


async def decide(client: httpx.AsyncClient, request: StoredRequest, **change: str) -> httpx.Response:
    page = (await client.get(f"/requests/{request.request_id}")).text
    found = _SEEN.search(page)
    assert found is not None
    form = {"csrf": await csrf_of(client), "digest": request.digest, "verdict": "approve", "seen": found[1], **change}
    return await client.post(f"/requests/{request.request_id}/decision", data=form)


async def test_every_form_that_decides_names_the_page_that_it_stands_on(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        forms = _FORM.findall((await client.get(f"/requests/{request.request_id}")).text)
    assert len(forms) >= 2
    assert {tuple(_SEEN.findall(form)) for form in forms} == {
        (digest_bytes(seen_page(office.app.state.services.assets, request).encode()),)
    }


async def test_the_page_is_kept_with_the_vote_that_is_signed_over_it(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        live = (await client.get(f"/requests/{request.request_id}")).text
        assert (await decide(client, request)).status_code == 303
    [page] = await kept(office, request)
    async with office.db.tenant(TENANT) as cursor:
        [stored] = await votes_on(cursor, TENANT, request.request_id)
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


async def test_a_vote_on_a_page_of_another_version_is_refused_and_the_page_shown_anew(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        assert (await decide(client, request, seen=digest_bytes(b"yesterday's page"))).status_code == 409
        assert (await decide(client, request, seen="x")).status_code == 422
    assert await kept(office, request) == ()


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
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "insert into seen_pages (tenant, request_id, digest, body) values (%s, %s, %s, '<h1>Fine</h1>')",
            (TENANT, request.request_id, digest_bytes(b"something else")),
        )
        again = await find_request(cursor, TENANT, request.request_id)
    assert again is not None
    name = digest_bytes(b"something else").removeprefix("sha256:")
    async with office.signed_in(VERA) as auditor:
        answer = await auditor.get(f"/requests/{request.request_id}/seen/{name}")
    assert answer.status_code == 409
    assert "Fine" not in answer.text
