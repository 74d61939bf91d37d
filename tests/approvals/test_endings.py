"""What made a request void, wherever requests are listed: who edited, asked or took over, and what came after."""

import pytest

from approvals.presenting import state_words
from contracts.vote import Verdict
from store.approval_lists import Reader, RequestQuery, list_requests
from store.approvals import StoredRequest, settle_request
from store.endings import Ending
from store.switches import release_switch, throw_switch
from store.vote_lists import DecisionQuery, list_decisions
from store.votes import votes_on
from tests.approvals.conftest import Office, form_on
from tests.approvals.scene import LENA, TENANT, ask

pytestmark = pytest.mark.req("A5", "A2")
EVERYTHING = RequestQuery(reader=Reader(person="fred"), state="history", scope="all")


async def voided(office: Office, request: StoredRequest) -> None:
    """End it as its run does, which has counted every vote on it."""
    async with office.db.tenant(TENANT) as cursor:
        ids = tuple(vote.decision_id for vote in await votes_on(cursor, TENANT, request.request_id))
        await settle_request(cursor, tenant=TENANT, request_id=request.request_id, state="voided", decision_ids=ids)


async def endings(office: Office) -> dict[str, Ending | None]:
    """Of everything that is over, by request."""
    async with office.db.tenant(TENANT) as cursor:
        page = await list_requests(cursor, TENANT, EVERYTHING)
    return {line.request_id: line.ending for line in page.lines}


@pytest.mark.parametrize(
    ("verdict", "badge", "link"),
    [(Verdict.ASK, "Asked back", "The agent asked again"), (Verdict.HAND_OVER, "Handed over", "")],
)
async def test_lists_say_what_an_approver_did_and_where_it_goes_on(
    office: Office, verdict: Verdict, badge: str, link: str
) -> None:
    request = await ask(office.db)
    address = f"/requests/{request.request_id}"
    async with office.signed_in(LENA) as client:
        form = {**await form_on(client, address), "verdict": verdict.value, "digest": request.digest}
        answer = await client.post(f"{address}/decision", data={**form, "reason": "Is the sofa scratched?"})
        assert answer.status_code == 303
        await voided(office, request)
        following = await ask(office.db, visit=2) if link else None
        goes_on = following.request_id if following else ""
        expected = Ending.model_validate({"how": verdict, "display_name": "Lena", "followed_by": goes_on})
        assert await endings(office) == {request.request_id: expected}
        for path in ("/requests?state=history&scope=all", "/decisions"):
            page = (await client.get(path)).text
            assert f'state-voided">{badge}<' in page
            assert "Void<" not in page
            assert (f'<a href="/requests/{goes_on}">{link}</a>' in page) is bool(link)
    async with office.db.tenant(TENANT) as cursor:
        (line,) = (await list_decisions(cursor, TENANT, DecisionQuery())).lines
    assert line.ending == expected
    assert state_words(line.state, line.ending) == f"{badge.lower()} by Lena"


async def test_what_changed_by_itself_and_what_was_a_test_say_so(office: Office) -> None:
    request = await ask(office.db)
    await voided(office, request)
    again = await ask(office.db, visit=2)
    changed = Ending(how="changed", display_name="", followed_by=again.request_id)
    assert await endings(office) == {request.request_id: changed}
    async with office.signed_in(LENA) as client:
        page = (await client.get("/requests?state=history&scope=all")).text
        assert "what was asked had changed" in page
        assert f'<a href="/requests/{again.request_id}">See the new request</a>' in page
    assert state_words("voided", changed) == "voided"
    assert state_words("voided", Ending(how="test", display_name="", followed_by="")) == "test request"


async def written(office: Office, request: StoredRequest, state: str) -> None:
    """The run sent the call under its approval; this is what is known of it."""
    values = {"tenant": request.tenant, "run": request.run_id, "request": request.request_id, "state": state}
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            """insert into runs (tenant, run_id, agent, agent_version, definition, root_run_id, goal)
               values (%(tenant)s, %(run)s, 'support_refund', 3, 'sha256:0', %(run)s, '') on conflict do nothing""",
            values,
        )
        await cursor.execute(
            """insert into effects as e (tenant, run_id, step, call, tool, tool_version, service, arguments_digest,
                   arguments, natural_key, state, request_id)
               values (%(tenant)s, %(run)s, 3, 0, 'payments.issue_refund', 1, 'backoffice', 'sha256:0', '{}', '',
                   %(state)s, %(request)s)
               on conflict (tenant, run_id, step, call) do update set state = excluded.state""",
            values,
        )


@pytest.mark.req("A2", "H2")
async def test_the_page_of_an_approved_call_says_what_became_of_it(office: Office) -> None:
    request = await ask(office.db)
    async with office.db.tenant(TENANT) as cursor:
        await settle_request(cursor, tenant=TENANT, request_id=request.request_id, state="granted", decision_ids=())
    async with office.signed_in(LENA) as client:

        async def page() -> str:
            return (await client.get(f"/requests/{request.request_id}")).text

        assert "The call is checked once more before it runs." in await page()
        link = f'<a href="/doubts/{request.run_id}/3/0">'
        for state, words, is_known in (
            ("in_flight", "It is being sent.", False),
            ("unknown", "nobody knows yet whether it happened", True),
            ("failed_final", "without an effect", True),
            ("succeeded", "It was done", True),
        ):
            await written(office, request, state)
            shown = await page()
            assert words in shown
            assert link in shown
            assert "checked once more" not in shown
            assert ("data-again" not in shown) is is_known  # the open page looks again until it is known
        assert (await client.get(f"/doubts/{request.run_id}/3/0")).status_code == 200


@pytest.mark.req("A2", "H8")
async def test_the_page_of_a_stopped_call_says_that_it_would_wait(office: Office) -> None:
    request = await ask(office.db, tool="payments.pay_out")
    words = "Stopped</a>: <bdi>tool payments.pay_out</bdi>."
    async with office.signed_in(LENA) as client:

        async def page() -> str:
            return (await client.get(f"/requests/{request.request_id}")).text

        assert words not in await page()
        thrown = await throw_switch(
            office.db,
            tenant=TENANT,
            scope="tool",
            target="payments.pay_out",
            reason="a drill",
            by="otto",
            tenants=[TENANT],
        )
        assert words in await page()
        async with office.db.tenant(TENANT) as cursor:
            await release_switch(cursor, tenant=TENANT, switch_id=thrown.switch_id, by="otto", reason="it is over")
        assert words not in await page()
