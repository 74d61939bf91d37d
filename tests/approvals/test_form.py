"""The form: nobody decides what they did not see, may not decide, or were tricked into."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from html import unescape

import httpx
import pytest

from approvals.signing import VoteSigner
from approvals.words import REFUSALS
from contracts.agent import ApprovalTimes
from contracts.canonical import digest_bytes
from contracts.vote import SignedVote, Vote, VoteRefusal, VoteRefused
from policy.votes import read_vote
from store.approvals import StoredRequest, settle_request
from store.run_reads import reads_of
from store.votes import StoredVote, record_answer, votes_on
from tests.approvals.conftest import ORIGIN, Office, csrf_of, form_on
from tests.approvals.scene import EVE, FIONA, FRED, LENA, TENANT, TWO_FINANCE, VERA, Person, add_people, ask

pytestmark = pytest.mark.req("A2", "A3", "A4")
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe{{7*7}}\u200b'


async def decide(
    client: httpx.AsyncClient, request: StoredRequest, verdict: str = "approve", **change: str
) -> httpx.Response:
    address = f"/requests/{request.request_id}"
    form = {**await form_on(client, address), "digest": request.digest, "verdict": verdict, "reason": "", **change}
    return await client.post(f"{address}/decision", data=form)


async def votes(office: Office, request: StoredRequest) -> tuple[StoredVote, ...]:
    async with office.db.tenant(request.tenant) as cursor:
        return await votes_on(cursor, request.tenant, request.request_id)


async def test_an_approval_is_signed_over_exactly_what_was_shown(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        assert (await decide(client, request)).status_code == 303
    [stored] = await votes(office, request)
    signer = VoteSigner.load(office.settings.vote_key_file)
    vote = read_vote(SignedVote(jws=stored.jws), {signer.kid: signer.public_jwk})
    assert isinstance(vote, Vote)
    assert (vote.digest, vote.run_id, vote.request_id) == (request.digest, request.run_id, request.request_id)
    assert (vote.person, vote.groups, vote.issuer) == ("lena", ("support-leads",), "local")


async def test_double_clicks_and_two_tabs_make_one_vote(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client, office.signed_in(LENA) as tab:
        answers = await asyncio.gather(*(decide(one, request) for one in (client, client, tab, tab)))
        assert {answer.status_code for answer in answers} == {303}
        other = await decide(tab, request, "deny", reason="changed my mind")
        assert other.status_code == 409
        assert "You had already approved this request" in other.text
    assert len(await votes(office, request)) == 1


async def test_another_digest_is_another_question(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        answer = await decide(client, request, digest=digest_bytes(b"other"))
        assert answer.status_code == 409
        assert REFUSALS[VoteRefusal.WRONG_DIGEST] in answer.text
        assert (await decide(client, request, digest="x")).status_code == 422
    assert await votes(office, request) == ()


async def test_a_stored_page_that_was_changed_can_only_be_denied(office: Office) -> None:
    request = await ask(office.db)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("update approval_requests set view = replace(view, '48000', '48')")
    async with office.signed_in(LENA) as client:
        page = await client.get(f"/requests/{request.request_id}")
        assert "It can only be denied" in page.text
        assert 'value="approve"' not in page.text
        assert (await decide(client, request)).status_code == 409
        assert (await decide(client, request, "deny", reason="damaged")).status_code == 303


async def test_another_tenants_request_does_not_exist(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(EVE) as client:
        assert (await client.get(f"/requests/{request.request_id}")).status_code == 404
        assert (await client.get(f"/runs/{request.run_id}")).status_code == 404
        form = {"csrf": await csrf_of(client), "digest": request.digest, "verdict": "approve", "reason": ""}
        assert (await client.post(f"/requests/{request.request_id}/decision", data=form)).status_code == 404
        assert request.request_id not in (await client.get("/requests?scope=all")).text
    assert await votes(office, request) == ()


@pytest.mark.parametrize(
    "path", ["/requests/apr-x", "/requests/../../etc/passwd", "/runs/1", "/requests/apr-" + "A" * 26]
)
async def test_an_id_that_cannot_exist_is_a_page_that_does_not(office: Office, path: str) -> None:
    async with office.signed_in(LENA) as client:
        assert (await client.get(path)).status_code == 404


async def test_only_members_of_an_asked_group_decide(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(FRED) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert "None of your groups is asked." in page
        assert 'value="approve"' not in page
        assert (await decide(client, request)).status_code == 403
    assert await votes(office, request) == ()


async def test_who_may_only_look_cannot_decide(office: Office) -> None:
    request = await ask(office.db, requirement=TWO_FINANCE)
    async with office.signed_in(VERA) as client:
        assert "Your account may look, not decide." in (await client.get(f"/requests/{request.request_id}")).text
        assert (await decide(client, request)).status_code == 403
    assert await votes(office, request) == ()


async def test_an_interested_party_does_not_decide(office: Office) -> None:
    request = await ask(office.db, interested=("lena",))
    async with office.signed_in(LENA) as client:
        answer = await decide(client, request)
        assert answer.status_code == 403
        assert "somebody else must decide" in answer.text
        assert request.request_id not in (await client.get("/requests")).text
    assert await votes(office, request) == ()


async def test_who_is_of_the_group_that_owns_the_agent_does_not_decide_with_any_account(office: Office) -> None:
    owner = Person("olga", ("support-leads", "makers"))
    other = Person("olga-2", ("support-leads",), person="olga")
    await add_people(office.db, owner, other)
    request = await ask(office.db, interested=("Makers",))
    for who in (owner, other):
        async with office.signed_in(who) as client:
            answer = await decide(client, request)
            assert answer.status_code == 403
            assert "or the agent is yours" in answer.text
    async with office.signed_in(owner) as client:
        assert request.request_id not in (await client.get("/requests")).text
    assert await votes(office, request) == ()
    async with office.signed_in(LENA) as client:
        assert (await decide(client, request)).status_code == 303


async def test_a_denial_needs_a_reason_and_keeps_what_was_typed(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        answer = await decide(client, request, "deny", reason="no")
        assert answer.status_code == 422
        assert REFUSALS[VoteRefusal.REASON_MISSING] in answer.text
        assert ">no</textarea>" in answer.text
        assert (await decide(client, request, "deny", reason="x" * 2_001)).status_code == 422
        assert (await decide(client, request, "deny", reason="a\0b")).status_code == 422


async def test_the_highest_tier_wants_a_reason_and_a_fresh_sign_in(office: Office) -> None:
    request = await ask(office.db, requirement=TWO_FINANCE, tier=4)
    async with office.signed_in(FRED) as client:
        assert (await decide(client, request)).status_code == 422
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        stale = await decide(client, request, reason="checked with the bank")
        assert stale.status_code == 403
        assert f"/sign-in?next=%2Frequests%2F{request.request_id}" in stale.text
    async with office.signed_in(FRED) as client:
        assert (await decide(client, request, reason="checked with the bank")).status_code == 303


async def test_a_request_that_is_over_takes_no_votes(office: Office) -> None:
    settled = await ask(office.db, "settled")
    expired = await ask(office.db, "expired", times=ApprovalTimes(sla_s=1, expires_s=1))
    async with office.db.tenant(TENANT) as cursor:
        await settle_request(cursor, tenant=TENANT, request_id=settled.request_id, state="voided", decision_ids=())
        await cursor.execute(
            "update approval_requests set expires_at = now() - interval '1 s' where request_id = %s",
            (expired.request_id,),
        )
    async with office.signed_in(LENA) as client:
        assert (await decide(client, settled)).status_code == 409
        answer = await decide(client, expired)
        assert answer.status_code == 403
        assert REFUSALS[VoteRefusal.EXPIRED] in answer.text
        assert 'value="approve"' not in answer.text
        history = (await client.get("/requests?state=history&scope=all")).text
        assert "Expired" in history
        assert "Void" in history


async def test_a_vote_that_the_run_refused_makes_room_for_another(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        await decide(client, request)
        [first] = await votes(office, request)
        refused = VoteRefused(refusal=VoteRefusal.STALE_SIGN_IN)
        async with office.db.tenant(TENANT) as cursor:
            await record_answer(cursor, tenant=TENANT, decision_id=first.decision_id, answer=refused)
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert "Your approval was not counted." in page
        assert (await decide(client, request)).status_code == 303
    first, second = await votes(office, request)
    assert (first.state, second.state) == ("refused", "pending")
    assert first.decision_id != second.decision_id


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ],
)
async def test_a_form_of_another_site_decides_nothing(office: Office, headers: dict[str, str]) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        form = {"csrf": await csrf_of(client), "digest": request.digest, "verdict": "approve"}
        if "sec-fetch-site" not in headers:
            del client.headers["sec-fetch-site"]
        answer = await client.post(f"/requests/{request.request_id}/decision", data=form, headers=headers)
        assert answer.status_code == 403
        assert (await client.post("/sign-in", data={"tenant": "acme"}, headers=headers)).status_code == 403
    assert await votes(office, request) == ()


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
async def test_a_form_without_the_sessions_token_decides_nothing(office: Office, token: str) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client, office.signed_in(FIONA) as other:
        assert (await decide(client, request, csrf=token)).status_code == 403
        assert (await decide(client, request, csrf=await csrf_of(other))).status_code == 403
    assert await votes(office, request) == ()


async def test_a_link_that_is_followed_decides_nothing(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        for path in ("", "/decision", "/decision?verdict=approve"):
            await client.get(f"/requests/{request.request_id}{path}")
        await client.head(f"/requests/{request.request_id}")
    assert await votes(office, request) == ()


async def test_every_answer_forbids_frames_scripts_and_caches(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        for path in ("/requests", f"/requests/{request.request_id}", "/sign-in", "/nowhere", "/api/approvals"):
            headers = (await client.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_an_unknown_host_and_a_large_body_are_turned_away(office: Office) -> None:
    async with office.signed_in(LENA) as client:
        assert (await client.get("/requests", headers={"host": "rebound.example"})).status_code == 421
        assert (await client.get("/healthz", headers={"host": "10.0.0.7"})).status_code == 200
        assert (await client.post("/sign-in", content=b"x" * 70_000)).status_code == 413

        async def dribble() -> AsyncGenerator[bytes]:
            for _ in range(80):
                yield b"x" * 1_000

        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/sign-in", content=dribble(), headers=kind)).status_code in {400, 413}


@pytest.mark.req("P8")
async def test_the_page_says_where_each_value_came_from_and_what_nothing_proves(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        page = unescape((await client.get(f"/requests/{request.request_id}")).text)
    assert "Asked for: crm.read_ticket#2 has it beside ticket_id" in page
    assert "Text of an outsider says the same (crm.read_ticket#2 body)" in page
    assert "www.example.test: only an outsider's text has it." in page
    assert "has parts that nothing proves" in page


async def test_hostile_text_in_every_field_is_shown_and_not_run(office: Office) -> None:
    hostile = {"note": HOSTILE, HOSTILE: HOSTILE, "list": [HOSTILE, {HOSTILE: HOSTILE}]}
    request = await ask(
        office.db,
        arguments=hostile,
        provenance={
            "note": {
                "label": HOSTILE,
                "source": HOSTILE,
                "path": HOSTILE,
                "how": HOSTILE,
                "via": HOSTILE,
                "also": HOSTILE,
                "parts": [{"label": "model", "part": HOSTILE}],
            }
        },
        before={HOSTILE: HOSTILE},
        after={HOSTILE: HOSTILE + "2"},
        agent=HOSTILE,
        agent_owner=HOSTILE,
        tool=HOSTILE,
        tool_description=HOSTILE,
        resource_type=HOSTILE,
        resource_id=HOSTILE,
        resource_version=HOSTILE,
        reversible_by=HOSTILE,
        asked_by=HOSTILE,
        on_behalf_of=HOSTILE,
        currency=HOSTILE,
        reasons=({"policy": HOSTILE, "text": HOSTILE},),
        model_reason=HOSTILE,
        served_model=HOSTILE,
        evidence=({"step": 1, "call": 0, "tool": HOSTILE, "label": "untrusted", "output": hostile},),
    )
    async with office.signed_in(LENA) as client:
        await decide(client, request, "deny", reason=HOSTILE)
        for path in (f"/requests/{request.request_id}", "/requests?scope=all"):
            page = (await client.get(path)).text
            assert not re.search(r'<script(?! src="/static/)|<img src=x|49\.exe', page)
            assert "\u202e" not in page
            assert "\u200b" not in page
            assert "U+202E" in page
            # Nothing that a stranger wrote stands in an attribute, so no quote can end one.
            assert not re.search(r'="[^"<>]*onerror', page)


async def test_the_page_shows_what_counts(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        inbox = (await client.get("/requests")).text
    plain = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for text in (
        "Refund an order to the customer&#39;s original payment method", "EUR 480.00", "Order ord_2002",
        "Cannot be undone", "Tier 3 · High impact", "A refund above 50.00 EUR needs a support lead.",
        "untrusted text", "Not verified", "1 person of support-leads", "23 h 59 min left",
        "support_refund", request.digest,
    ):  # fmt: skip
        assert text in plain
    assert "EUR 480.00" in inbox
    assert len(page) < 60_000


async def test_lists_page_without_gaps_or_repeats(office: Office) -> None:
    made = [await ask(office.db, str(index)) for index in range(55)]
    for state in ("open", "history"):
        seen: list[str] = []
        async with office.signed_in(LENA) as client:
            address = f"/requests?state={state}&scope=groups"
            while address:
                page = (await client.get(address)).text
                seen += re.findall(r'href="/requests/(apr-[a-z2-7]{26})"', page)
                more = re.search(r'href="(/requests\?[^"]*after=[^"]+)"', page)
                address = more[1].replace("&amp;", "&") if more else ""
            assert (await client.get("/requests?after=rubbish")).status_code == 400
        assert len(seen) == 55
        assert set(seen) == {request.request_id for request in made}
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("update approval_requests set state = 'denied', closed_at = now()")


@pytest.mark.req("A2", "I9")
async def test_evidence_leads_to_the_step_as_it_was_recorded_and_who_looked_is_kept(office: Office) -> None:
    request = await ask(office.db)
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            """insert into runs (tenant, run_id, agent, agent_version, definition, root_run_id, goal)
               values (%s, %s, 'support_refund', 3, '', %s, 'a ticket')""",
            (TENANT, request.run_id, request.run_id),
        )
        await cursor.execute(
            "insert into run_state (tenant, run_id, audit_head) values (%s, %s, '')", (TENANT, request.run_id)
        )
        await cursor.execute(
            "insert into messages (tenant, run_id, seq, step, call, tokens, content) values (%s, %s, 1, 2, 0, 9, %s)",
            (TENANT, request.run_id, json.dumps({"role": "tool", "tool": "orders.get_status", "text": HOSTILE})),
        )
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert f'href="/runs/{request.run_id}/steps?first=0#step-2"' in page
        steps = (await client.get(f"/runs/{request.run_id}/steps")).text
    assert 'id="step-2"' in steps
    assert "U+202E" in steps
    assert "<script>alert" not in steps
    async with office.db.tenant(TENANT) as cursor:
        assert [line.what for line in await reads_of(cursor, TENANT, request.run_id)] == ["steps"]
    async with office.signed_in(EVE) as client:
        assert (await client.get(f"/runs/{request.run_id}/steps")).status_code == 404
