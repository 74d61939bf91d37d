"""The inbox: whose requests it shows, in which order, found by which words, in pages both ways, in its tenant."""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any

import httpx
import pytest

from contracts.agent import ApprovalTimes
from contracts.decision import GroupCount, Requirement
from contracts.vote import Verdict
from policy.votes import MIN_REASON_CHARACTERS
from store.approval_lists import Counts, Outcome, Reader, RequestPage, RequestQuery, count_open, list_requests
from store.approvals import StoredRequest, settle_request
from store.database import Database
from store.list_cursors import DAMAGED
from store.vote_lists import DecisionPage, DecisionQuery, list_decisions
from tests.approvals.conftest import Office, form_on
from tests.approvals.scene import EVE, FIONA, FRED, LENA, ONE_LEAD, TENANT, TWO_FINANCE, VERA, ask

pytestmark = pytest.mark.req("A2", "A7", "I5", "O5")
LEAD = Reader(person="lena", username="lena", groups=("support-leads",))
BOTH = Requirement(id="both", needs=(*ONE_LEAD.needs, GroupCount(group="finance", count=1)))


async def listed(database: Database, reader: Reader | None = None, tenant: str = TENANT, **asked: Any) -> RequestPage:  # noqa: ANN401 - any field of the query
    """A page of requests; of lena, unless somebody else is named."""
    async with database.tenant(tenant) as cursor:
        return await list_requests(cursor, tenant, RequestQuery.model_validate({"reader": reader or LEAD, **asked}))


async def counted(database: Database, reader: Reader, tenant: str = TENANT) -> Counts:
    """How many are open."""
    async with database.tenant(tenant) as cursor:
        return await count_open(cursor, tenant, reader)


def ids(page: RequestPage) -> list[str]:
    """The requests of a page."""
    return [line.request_id for line in page.lines]


async def settle(database: Database, request: StoredRequest, state: Outcome) -> None:
    """End a request, as its run does."""
    async with database.tenant(request.tenant) as cursor:
        await settle_request(cursor, tenant=request.tenant, request_id=request.request_id, state=state, decision_ids=())


async def vote(client: httpx.AsyncClient, request: StoredRequest, verdict: Verdict, reason: str = "as agreed") -> None:
    """Decide by the form."""
    assert len(reason) >= MIN_REASON_CHARACTERS
    address = f"/requests/{request.request_id}"
    form = {**await form_on(client, address), "verdict": verdict.value, "digest": request.digest, "reason": reason}
    answer = await client.post(f"{address}/decision", data=form)
    assert answer.status_code == 303, answer.text


async def test_mine_is_what_i_may_decide_and_have_not(office: Office) -> None:
    waits = await ask(office.db, "waits")
    of_others = await ask(office.db, "of finance", requirement=TWO_FINANCE)
    my_own = await ask(office.db, "asked by me", interested=("LENA",))
    decided = await ask(office.db, "decided")
    async with office.signed_in(LENA) as client:
        await vote(client, decided, Verdict.APPROVE)
    assert ids(await listed(office.db)) == [waits.request_id]
    assert set(ids(await listed(office.db, scope="groups"))) == {
        waits.request_id, my_own.request_id, decided.request_id
    }  # fmt: skip
    assert set(ids(await listed(office.db, scope="all"))) >= {of_others.request_id}
    assert await counted(office.db, LEAD) == Counts(mine=1, groups=3, all=4)
    viewer = Reader(person="vera", username="vera", groups=("finance",), may_decide=False)
    assert (ids(await listed(office.db, viewer)), (await counted(office.db, viewer)).mine) == ([], 0)
    assert ids(await listed(office.db, viewer, scope="groups")) == [of_others.request_id]


@pytest.mark.parametrize(("sort", "expected"), [("sla", "cab"), ("age", "abc"), ("risk", "bca")])
async def test_open_requests_come_by_what_is_due_by_age_or_by_risk(office: Office, sort: str, expected: str) -> None:
    made = {
        "a": await ask(office.db, "a", tier=2, money_minor=999_999, times=ApprovalTimes(sla_s=700, expires_s=9_000)),
        "b": await ask(office.db, "b", tier=3, money_minor=48_000, times=ApprovalTimes(sla_s=900, expires_s=1_000)),
        "c": await ask(office.db, "c", tier=3, money_minor=None, currency=None, times=ApprovalTimes(sla_s=60)),
    }
    assert ids(await listed(office.db, sort=sort)) == [made[name].request_id for name in expected]


@pytest.mark.parametrize("words", [
    "payments.issue_refund", "issue_ref", "REFUND", "ord_2002", "2002", "support_refund", "bob", "tck_77",
    "ord_20 refund",     "group:support-leads", "payments. ", "  ord_2002   bob ",
])  # fmt: skip
async def test_a_request_is_found_by_words_and_their_beginnings(office: Office, words: str) -> None:
    wanted = await ask(
        office.db, on_behalf_of="bob", asked_by="support_refund, started by Ticket about tck_77 from crm"
    )
    other = await ask(
        office.db,
        "other",
        tool="crm.close",
        resource_id="tic-9",
        agent="closer",
        requirement=TWO_FINANCE,
        asked_by="closer",
    )
    found = await listed(office.db, scope="all", search=words)
    assert (ids(found), found.is_cut) == ([wanted.request_id], False)
    assert ids(await listed(office.db, scope="all", search=other.run_id)) == [other.request_id]
    assert ids(await listed(office.db, scope="all", search=other.request_id.upper())) == [other.request_id]


@pytest.mark.parametrize(
    "words", ["sofa", "und_20", "%", "_", "ord%", "refund closer", "'; drop table votes; --", "\x00", "ß" * 200]
)
async def test_what_no_word_begins_with_is_not_found(office: Office, words: str) -> None:
    await ask(office.db)
    found = await listed(office.db, scope="all", search=words)
    assert ids(found) == [] or not words.strip("\x00 ")


async def test_what_ended_moves_from_the_inbox_to_the_history(office: Office) -> None:
    names: tuple[Outcome, ...] = ("granted", "denied", "voided", "expired")
    made: dict[Outcome, StoredRequest] = {state: await ask(office.db, state) for state in names}
    for state, request in made.items():
        await settle(office.db, request, state)
    lapsed = await ask(office.db, "lapsed", times=ApprovalTimes(sla_s=1, expires_s=1))
    async with office.db.tenant(TENANT) as cursor:  # the run has not said so yet
        await cursor.execute(
            "update approval_requests set expires_at = now() - interval '1 hour' where request_id = %s",
            (lapsed.request_id,),
        )
    assert ids(await listed(office.db, scope="all")) == []
    assert await counted(office.db, LEAD) == Counts(mine=0, groups=0, all=0)
    everything = await listed(office.db, scope="all", state="history")
    assert ids(everything)[-1] == lapsed.request_id  # the last ended first
    assert {line.state for line in everything.lines} == set(names)
    assert set(ids(await listed(office.db, scope="groups", state="history"))) == set(ids(everything))
    for outcome, expected in (("granted", 1), ("denied", 1), ("voided", 1), ("expired", 2)):
        page = await listed(office.db, scope="all", state="history", outcome=outcome)
        assert ({line.state for line in page.lines}, len(page.lines)) == ({outcome}, expected)
        assert set(
            ids(await listed(office.db, scope="all", state="history", search="ord_2002", outcome=outcome))
        ) == set(ids(page))


async def test_a_request_that_others_may_decide_as_well_is_found_by_them(office: Office) -> None:
    request = await ask(office.db)
    finance = Reader(person="fred", username="fred", groups=("finance",))
    assert ids(await listed(office.db, finance, scope="groups")) == []
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "update approval_requests set escalated_to = '{finance}' where request_id = %s", (request.request_id,)
        )
    assert ids(await listed(office.db, finance)) == ids(await listed(office.db)) == [request.request_id]


@pytest.mark.parametrize("asked", [
    {"scope": "all"}, {"scope": "groups", "sort": "risk"}, {"scope": "all", "sort": "age"}, {"search": "ord_2002"},
    {"scope": "all", "state": "history"}, {"scope": "groups", "state": "history", "outcome": "granted"},
])  # fmt: skip
async def test_pages_lead_through_the_whole_list_and_back(office: Office, asked: dict[str, Any]) -> None:
    for number in range(7):
        request = await ask(office.db, f"{number}")
        if asked.get("state") == "history":
            await settle(office.db, request, "granted")
    whole = ids(await listed(office.db, limit=100, **asked))
    assert len(whole) == 7
    forth: list[RequestPage] = [await listed(office.db, limit=3, **asked)]
    while forth[-1].next:
        forth.append(await listed(office.db, limit=3, after=forth[-1].next, **asked))
    assert [ids(page) for page in forth] == [whole[:3], whole[3:6], whole[6:]]
    back = [forth[-1]]
    while back[-1].previous:
        back.append(await listed(office.db, limit=3, before=back[-1].previous, **asked))
    assert [ids(page) for page in back] == [whole[6:], whole[3:6], whole[:3]]
    assert back[-1].next == forth[0].next


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "eyJ9", "WyJzbGEiLCAxLCAiYXByLWEiXQ", "WyJhZ2UiLCAiMjAyNi0xMS0wMSIsIDFd", "🙂", "[" * 300]
)
async def test_a_cursor_that_is_none_of_this_list_is_refused_in_words(office: Office, cursor: str) -> None:
    with pytest.raises(ValueError, match=DAMAGED):
        await listed(office.db, after=cursor[:300])
    with pytest.raises(ValueError, match=DAMAGED):
        await listed(office.db, before=cursor[:300])
    async with office.signed_in(LENA) as client:
        page = await client.get("/requests", params={"after": cursor[:300]})
        assert (page.status_code, "start again" in page.text) == (400, True)
    await ask(office.db)
    await ask(office.db, "2")
    other = (await listed(office.db, limit=1, sort="risk")).next
    with pytest.raises(ValueError, match=DAMAGED):
        await listed(office.db, sort="age", after=other)


async def test_another_tenant_sees_none_of_it(office: Office) -> None:
    await ask(office.db)
    eve = Reader(person="eve", username="eve", groups=EVE.groups)
    every: list[dict[str, Any]] = [{"scope": "all"}, {"scope": "groups"}, {}, {"scope": "all", "search": "ord_2002"}]
    for asked in every:
        assert ids(await listed(office.db, eve, EVE.tenant, **asked)) == []
        # Not even by a transaction of its own that names the other tenant.
        async with office.db.tenant(EVE.tenant) as cursor:
            query = RequestQuery.model_validate({"reader": eve, **asked})
            assert (await list_requests(cursor, TENANT, query)).lines == ()
    assert await counted(office.db, eve, EVE.tenant) == Counts(mine=0, groups=0, all=0)


async def decided(database: Database, **asked: object) -> DecisionPage:
    """A page of votes."""
    async with database.tenant(TENANT) as cursor:
        return await list_decisions(cursor, TENANT, DecisionQuery.model_validate(asked))


async def test_decisions_are_listed_by_person_and_verdict_both_ways(office: Office) -> None:
    made = [await ask(office.db, str(number), requirement=TWO_FINANCE) for number in range(3)]
    for who, verdict in ((FRED, Verdict.APPROVE), (FIONA, Verdict.DENY)):
        async with office.signed_in(who) as client:
            for request in made:
                await vote(client, request, verdict, f"{who.username} says so")
    everything = await decided(office.db)
    assert [line.person for line in everything.lines] == ["fiona"] * 3 + ["fred"] * 3
    assert everything.lines[0].reason == "fiona says so"
    denials = await decided(office.db, verdict="deny")
    assert denials.lines == (await decided(office.db, person="fiona")).lines == everything.lines[:3]
    assert (await decided(office.db, person="fiona", verdict="approve")).lines == ()
    first = await decided(office.db, limit=4)
    second = await decided(office.db, limit=4, after=first.next)
    assert (first.lines + second.lines, second.next) == (everything.lines, "")
    assert (await decided(office.db, limit=4, before=second.previous)).lines == first.lines
    mine = Reader(person="fred", username="fred", groups=("finance",))
    past = await listed(office.db, mine, state="history")
    assert past.lines == ()  # they are still open
    for request in made:
        await settle(office.db, request, "denied")
    assert len((await listed(office.db, mine, state="history")).lines) == 3


def links(page: str) -> Sequence[str]:
    """Where a page leads, as a browser reads it."""
    return [unescape(found) for found in re.findall(r'href="([^"]+)"', page)]


async def test_the_pages_say_how_many_wait_and_keep_what_was_chosen(office: Office) -> None:
    for number in range(27):
        await ask(office.db, str(number))
    async with office.signed_in(LENA) as client:
        chosen = {"sort": "risk", "search": "refund ord_2002"}
        page = (await client.get("/requests", params=chosen)).text
        assert re.findall(r'class="count">([^<]+)<', page) == ["27", "27", "27"]
        assert page.count('class="line"') == 25
        assert 'value="refund ord_2002"' in page
        assert '<option value="risk" selected>' in page
        (following,) = [link for link in links(page) if "after=" in link]
        assert {"sort=risk", "search=refund+ord_2002"} <= set(following.partition("?")[2].split("&"))
        rest = (await client.get(following)).text
        assert rest.count('class="line"') == 2
        (back,) = [link for link in links(rest) if "before=" in link]
        assert (await client.get(back)).text.count('class="line"') == 25
        nothing = (await client.get("/requests", params={"search": "sofa"})).text
        assert "Nothing matches." in nothing
        assert (await client.get("/requests", params={"sort": "love"})).status_code == 422
    async with office.signed_in(VERA) as client:
        assert "Nothing waits for you." in (await client.get("/requests")).text


async def test_the_page_of_decisions_says_who_did_what_and_what_came_of_it(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        assert "You have decided nothing yet." in (await client.get("/decisions")).text
        await vote(client, request, Verdict.DENY, "<b>no</b> proof of delivery")
        page = (await client.get("/decisions")).text
        assert "denied: <bdi>Issue refund</bdi>" in page
        assert "&lt;b&gt;no&lt;/b&gt; proof of delivery" in page
    async with office.signed_in(FRED) as client:
        assert "Lena" not in (await client.get("/decisions")).text
        assert "Lena" in (await client.get("/decisions", params={"scope": "all", "person": "lena"})).text
        assert (
            "No such decision." in (await client.get("/decisions", params={"scope": "all", "verdict": "approve"})).text
        )
