"""Several decisions in one submission: each its own, none of a high tier, nothing twice."""

import re

import httpx
import pytest

from approvals.batch import MAX_ITEMS
from approvals.signing import VoteSigner
from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, hidden_in
from tests.approvals.scene import FRED, LENA, TENANT, ask

pytestmark = pytest.mark.req("A2", "A3")
_DIGEST = re.compile(r'name="(digest-apr-[a-z2-7]{26})" value="(sha256:[0-9a-f]{64})"')


async def low(office: Office, name: str) -> StoredRequest:
    return await ask(office.db, name, tier=2, tool="crm.change_address", money_minor=None, resource_id=f"cus_{name}")


async def send(
    client: httpx.AsyncClient, *chosen: tuple[StoredRequest, str], reason: str = "", **change: str
) -> httpx.Response:
    """Fill in the list as it is shown, every request of it, and send it."""
    form = list_in((await client.get("/requests/batch")).text)
    for request, verdict in chosen:
        form |= {
            f"verdict-{request.request_id}": verdict,
            f"digest-{request.request_id}": request.digest,
            f"reason-{request.request_id}": reason,
        }
    return await client.post("/requests/batch", data=form | change)


def list_in(page: str) -> dict[str, str]:
    """The hidden fields of the list's form, in the order of the page."""
    return {**hidden_in(page), **dict(_DIGEST.findall(page))}


async def votes(office: Office, request: StoredRequest) -> list[StoredVote]:
    async with office.db.tenant(TENANT) as cursor:
        return list(await votes_on(cursor, TENANT, request.request_id))


async def test_each_decision_is_signed_over_its_own_request(office: Office) -> None:
    first, second, third = [await low(office, name) for name in "abc"]
    async with office.signed_in(LENA) as client:
        open_tab = list_in((await client.get("/requests/batch")).text)
        answer = await send(client, (first, "approve"), (second, "deny"), (third, "leave"), reason="Wrong street.")
        assert answer.status_code == 200
        again = await send(client, (first, "deny"), (second, "deny"), reason="Changed my mind.", **open_tab)
    assert "that decision stands" in again.text
    signer = VoteSigner.load(office.settings.vote_key_file)
    for request, verdict in ((first, "approve"), (second, "deny")):
        [stored] = await votes(office, request)
        vote = read_vote(SignedVote(jws=stored.jws), {signer.kid: signer.public_jwk})
        assert isinstance(vote, Vote)
        assert (vote.verdict, vote.request_id, vote.digest) == (verdict, request.request_id, request.digest)
    assert await votes(office, third) == []


async def test_a_high_tier_in_the_form_and_nothing_is_decided(office: Office) -> None:
    one, high = await low(office, "a"), await ask(office.db, "b")
    async with office.signed_in(LENA) as client:
        assert high.request_id not in (await client.get("/requests/batch")).text
        answer = await send(client, (one, "approve"), (high, "approve"))
    assert answer.status_code == 403
    assert "From tier 3 on each request is decided on its own page" in answer.text
    assert await votes(office, one) == await votes(office, high) == []


async def test_a_digest_of_another_request_decides_nothing(office: Office) -> None:
    one, other = await low(office, "a"), await low(office, "b")
    async with office.signed_in(LENA) as client:
        changed = {f"digest-{one.request_id}": other.digest}
        answer = await send(client, (one, "approve"), (other, "approve"), **changed)
    assert answer.status_code == 409
    assert await votes(office, one) == []
    assert len(await votes(office, other)) == 1


async def test_a_denial_needs_its_reason_and_what_was_chosen_is_kept(office: Office) -> None:
    one, other = await low(office, "a"), await low(office, "b")
    async with office.signed_in(LENA) as client:
        answer = await send(client, (one, "approve"), (other, "deny"))
    assert answer.status_code == 422
    assert f'name="verdict-{one.request_id}" value="approve" checked' in answer.text
    assert await votes(office, one) == await votes(office, other) == []


async def test_a_damaged_request_is_not_approved_among_others(office: Office) -> None:
    damaged = await low(office, "a")
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("update approval_requests set view = replace(view, 'cus_a', 'cus_b')")
    async with office.signed_in(LENA) as client:
        page = (await client.get("/requests/batch")).text
        assert f'name="verdict-{damaged.request_id}" value="approve"' not in page
        assert f'name="verdict-{damaged.request_id}" value="deny"' in page
        assert (await send(client, (damaged, "approve"))).status_code == 409
    assert await votes(office, damaged) == []


async def test_a_submission_is_bounded_and_empty_ones_are_named(office: Office) -> None:
    one = await low(office, "a")
    async with office.signed_in(LENA) as client:
        assert "Nothing was chosen" in (await send(client, (one, "leave"))).text
        many = {f"verdict-apr-{'a' * 24}{a}{b}": "approve" for a in "abcde" for b in "abcde"}
        many |= {name.replace("verdict", "digest"): one.digest for name in many}
        assert f"At most {MAX_ITEMS} requests" in (await send(client, **many)).text
        assert (await send(client, (one, "approve"), csrf="0" * 64)).status_code == 403
    async with office.signed_in(FRED) as client:
        assert one.request_id not in (await client.get("/requests/batch")).text
        assert (await send(client, (one, "approve"))).status_code == 409
    assert await votes(office, one) == []
