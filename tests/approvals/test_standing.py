"""Standing approvals on their pages: proposed like a request, decided by two others, taken back by one."""

import re

import httpx
import pytest

from approvals.seen import seen_standing
from approvals.words import REFUSALS
from contracts.canonical import digest_bytes
from contracts.standing import AtMost, Equals, OfEvent, StandingTerms
from contracts.vote import SignedVote, Vote, VoteRefusal
from policy.votes import read_vote
from store.standing import StandingShown, list_standing, terms_of, votes_for
from tests.approvals.conftest import Office, csrf_of
from tests.approvals.scene import LENA, TENANT, Person, add_people, ask

pytestmark = pytest.mark.req("A9")

MIA = Person("mia", ("support-leads",))
NOA = Person("noa", ("support-leads",))
KIM = Person("kim", (), roles=("view", "kill"))
FORM = {
    "scope": "small-refunds", "max_uses": "5", "total": "1,000.00", "days": "7", "kind_order_id": "of_event",
    "reason": "A truck of <b>parcels</b> was lost.", "kind_amount_minor": "at_most", "value_amount_minor": "480.00",
    "kind_currency": "equals", "value_currency": "EUR", "kind_reason_code": "one_of",
    "value_reason_code": "late_delivery\nlost", "kind_note": "any", "unproven_note": "1",
}  # fmt: skip


async def posted(client: httpx.AsyncClient, address: str, **form: str) -> httpx.Response:
    return await client.post(address, data={"csrf": await csrf_of(client), **form})


async def terms_in(office: Office) -> tuple[StandingShown, StandingTerms]:
    async with office.db.tenant(TENANT) as cursor:
        shown = (await list_standing(cursor, TENANT))[0]
    terms = terms_of(shown.terms, shown.digest)
    assert terms is not None
    return shown, terms


def vote_on(office: Office, shown: StandingShown) -> dict[str, str]:
    """The hidden fields of an approval: what it is about, and the page on which it stands."""
    page = seen_standing(office.app.state.services.assets, shown)
    return {"verdict": "approve", "digest": shown.digest, "seen": digest_bytes(page.encode())}


async def proposed(office: Office, name: str, **changes: str) -> httpx.Response:
    request = await ask(office.db, name)
    async with office.signed_in(LENA) as client:
        return await posted(client, "/standing", like=request.request_id, **{**FORM, **changes})


async def test_it_is_proposed_like_a_request_and_decided_by_two_others(office: Office) -> None:
    await add_people(office.db, MIA, NOA, KIM)
    request = await ask(office.db, "like")
    async with office.signed_in(LENA) as client:
        assert f"/standing/new?like={request.request_id}" in (await client.get(f"/requests/{request.request_id}")).text
        form = (await client.get(f"/standing/new?like={request.request_id}")).text
        assert 'name="value_amount_minor" rows="1" maxlength="4000">480.00<' in form
        assert "2 people of support-leads" in form
    answer = await proposed(office, "like")
    assert answer.status_code == 303
    shown, terms = await terms_in(office)
    assert OfEvent(argument="order_id") in terms.bounds
    assert AtMost(argument="amount_minor", most=48_000) in terms.bounds
    assert Equals(argument="currency", value="EUR") in terms.bounds
    assert terms.money is not None
    assert (terms.money.total_minor, terms.max_uses, terms.rung.id) == (100_000, 5, "one-support-lead")
    where, form_of_vote = f"/standing/{shown.standing_id}", vote_on(office, shown)
    async with office.signed_in(LENA) as client:
        page = (await client.get(where)).text
        assert "You proposed it: others must decide" in page
        assert "at most EUR 480.00" in page
        assert "<b>parcels</b>" not in page
        assert "Also waiting for you" not in (await client.get("/requests")).text
        mine = await posted(client, f"{where}/decision", **form_of_vote, reason="I want it.")
        assert (mine.status_code, "somebody else must decide" in mine.text) == (409, True)
    async with office.signed_in(MIA) as client:
        assert 'waiting for you: <a href="/standing">1 standing approval</a>' in (await client.get("/requests")).text
        assert (await posted(client, f"{where}/decision", **form_of_vote, reason="")).status_code == 409
        wrong = {**form_of_vote, "digest": "sha256:" + "0" * 64}
        assert (await posted(client, f"{where}/decision", **wrong, reason="Agreed.")).status_code == 409
        assert (await posted(client, f"{where}/decision", **form_of_vote, reason="Agreed.")).status_code == 303
        assert "Also waiting for you" not in (await client.get("/requests")).text
        assert (await posted(client, f"{where}/decision", **form_of_vote, reason="Agreed.")).status_code == 409
    assert (await terms_in(office))[0].state == "proposed"
    async with office.signed_in(NOA) as client:
        assert (await posted(client, f"{where}/decision", **form_of_vote, reason="So do I.")).status_code == 303
        assert "holds" in (await client.get("/standing")).text
        assert "Holds" in (await client.get(where)).text
    # Stopping is always safe: who may stop needs no right to approve.
    async with office.signed_in(KIM) as client:
        assert "Revoke it now" in (await client.get(where)).text
        assert (await posted(client, f"{where}/revocation", reason="")).status_code == 409
        assert (await posted(client, f"{where}/revocation", reason="They were found.")).status_code == 303
        assert re.search(r"Revoked by.*They were found", (await client.get(where)).text, re.DOTALL)
        assert (await posted(client, f"{where}/revocation", reason="Again.")).status_code == 409


@pytest.mark.req("A3")
async def test_a_vote_binds_the_page_on_which_it_was_cast_and_the_page_is_kept(office: Office) -> None:
    await add_people(office.db, MIA)
    await proposed(office, "like")
    shown, _ = await terms_in(office)
    where, form = f"/standing/{shown.standing_id}", {**vote_on(office, shown), "reason": "Agreed."}
    async with office.signed_in(MIA) as client:
        assert (await client.get(where)).text.count(f'name="seen" value="{form["seen"]}"') == 2
        for other in ("", shown.digest):
            refused = await posted(client, f"{where}/decision", **{**form, "seen": other})
            assert (refused.status_code, REFUSALS[VoteRefusal.NOT_AS_SEEN] in refused.text) == (409, True)
        assert (await posted(client, f"{where}/decision", **form)).status_code == 303
        address = f"{where}/seen/{form['seen'].removeprefix('sha256:')}"
        assert f'href="{address}"' in (await client.get(where)).text
        kept = await client.get(address)
        assert (kept.status_code, digest_bytes(kept.content)) == (200, form["seen"])
        assert ("at most EUR 480.00" in kept.text, "waits for people" in kept.text, "Mia" in kept.text) == (
            True, True, False,
        )  # fmt: skip
        assert (await client.get(f"{where}/seen/{'0' * 64}")).status_code == 404
    async with office.db.tenant(TENANT) as cursor:
        [said] = await votes_for(cursor, TENANT, shown.standing_id)
    vote = read_vote(SignedVote(jws=said.jws), office.app.state.services.signer.public_keys)
    assert isinstance(vote, Vote)
    assert vote.seen == said.seen == form["seen"]


async def test_a_tool_whose_arguments_can_have_no_bounds_is_refused_in_words(office: Office) -> None:
    request = await ask(office.db, "odd", arguments={"order-id": "ORD-1"})
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
        assert ("Everything open, to print" in page, "/standing/new" in page) == (True, False), "nor is it offered"
        for answer in (
            await client.get(f"/standing/new?like={request.request_id}"),
            await posted(client, "/standing", like=request.request_id, **FORM),
        ):
            assert answer.status_code == 422
            assert "has an argument &#39;order-id&#39;, for which no bound can be given." in answer.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scope": "all-refunds"}, "no scope all-refunds"),
        ({"max_uses": "201"}, "200 times at most"),
        ({"days": "31"}, "30 days at most"),
        ({"total": "20000.01"}, "moves at most"),
        ({"total": "much"}, "how much all uses together"),
        ({"value_amount_minor": "all of it"}, "is no value like"),
        ({"kind_currency": "at_most", "value_currency": "5"}, "is no number"),
        ({"value_currency": "E\u0421R"}, "hide or imitate"),
        ({"value_reason_code": ""}, "Not proposed. reason_code: give at least 1."),
        ({"kind_order_id": "whatever"}, "Not proposed. order_id: it is one of "),
        ({"reason": "because"}, "at least 10 characters"),
        ({"reason": "x" * 2001}, "Not proposed. Why: write at most 2000 characters."),
        ({"max_uses": "0"}, "Not proposed. At most so many times: it is at least 1."),
        ({"max_uses": "2.5"}, "Not proposed. At most so many times: write a whole number."),
        ({"days": ""}, "Not proposed. For so many days: write a whole number."),
    ],
)
async def test_what_the_settings_or_the_argument_do_not_allow_is_not_proposed(
    office: Office, changes: dict[str, str], says: str
) -> None:
    answer = await proposed(office, "wide", **changes)
    assert (answer.status_code, says in answer.text) == (422, True), answer.text
    assert not re.search(r"Input should|String should|Value error|expected tags", answer.text)
    async with office.db.tenant(TENANT) as cursor:
        assert await list_standing(cursor, TENANT, every=True) == []


async def test_what_no_scope_is_about_cannot_be_proposed(office: Office) -> None:
    request = await ask(office.db, "other", tool="payments.reverse_refund")
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/standing/new?like={request.request_id}")).text
        assert "standing approvals are not allowed for it" in page
        answer = await posted(client, "/standing", like=request.request_id, **FORM)
    assert (answer.status_code, "is not about" in answer.text) == (422, True)


async def test_programs_read_and_people_decide_with_the_same_protocol(office: Office) -> None:
    await add_people(office.db, MIA)
    await proposed(office, "api")
    shown, _ = await terms_in(office)
    async with office.signed_in(MIA) as browser:
        token = browser.cookies["countersign"]
    async with office.visitor(authorization=f"Bearer {token}") as client:
        listed = (await client.get("/api/standing")).json()["standing"]
        assert [(one["state"], one["uses"]) for one in listed] == [("waits", "0 of 5")]
        where = f"/api/standing/{shown.standing_id}"
        read = (await client.get(where)).json()
        body = {"verdict": "approve", "digest": read["view"]["shown"]["digest"]}
        refused = (await client.post(f"{where}/decision", json=body)).json()
        assert (refused["refusal"], refused["view"]["votes"]) == ("reason_missing", [])
        kept = (await client.post(f"{where}/decision", json={**body, "reason": "Agreed."})).json()
        assert (kept["refusal"], kept["view"]["people_left"]) == (None, 1)
        assert (await client.post(f"{where}/decision", json={**body, "verdict": "edit"})).status_code == 422
        assert (await client.get("/api/standing/sta-" + "a" * 26)).status_code == 404
