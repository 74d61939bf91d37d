"""Delegates and escalation on the pages: naming one, deciding for somebody, what those see whose turn comes later."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from contracts.agent import ApprovalTimes
from contracts.approval import Escalation, Moments
from contracts.delegation import Delegation, NewDelegation
from contracts.vote import SignedVote, Vote
from policy.votes import read_vote
from store.approvals import StoredRequest, note_escalation
from store.delegations import add_delegation, list_delegations
from store.votes import StoredVote, votes_on
from tests.approvals.conftest import Office, csrf_of, form_on
from tests.approvals.scene import FIONA, FRED, LENA, ONE_LEAD, TENANT, Person, add_people, ask

pytestmark = pytest.mark.req("A6", "A4")

ADA = Person("ada", (), ("view", "administer"))
DAN = Person("dan", ("support",))


async def named(office: Office, approver: str, delegate: str) -> Delegation:
    new = NewDelegation(
        approver=approver, delegate=delegate, until_at=datetime.now(UTC) + timedelta(days=7), reason="vacation"
    )
    async with office.db.tenant(TENANT) as cursor:
        return await add_delegation(cursor, TENANT, new, by=approver)


async def listed(office: Office, *, past: bool = False) -> list[tuple[str, str, str]]:
    async with office.db.tenant(TENANT) as cursor:
        found = await list_delegations(cursor, TENANT, past=past)
    return [(one.approver, one.delegate, one.state) for one in found]


async def decided(office: Office, who: Person, request: StoredRequest, **form: str) -> tuple[int, str]:
    async with office.signed_in(who) as client:
        address = f"/requests/{request.request_id}"
        posted = {**await form_on(client, address), "verdict": "approve", "digest": request.digest, **form}
        answer = await client.post(f"{address}/decision", data=posted)
        return answer.status_code, answer.text


async def votes(office: Office, request: StoredRequest) -> tuple[StoredVote, ...]:
    async with office.db.tenant(TENANT) as cursor:
        return await votes_on(cursor, TENANT, request.request_id)


async def test_an_approver_names_a_delegate_who_then_ends_it(office: Office) -> None:
    await add_people(office.db, DAN)
    last_day = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    async with office.signed_in(LENA) as client:
        form = {"csrf": await csrf_of(client), "delegate": "Dan", "last_day": last_day, "reason": "<b>vacation</b>"}
        assert (await client.post("/delegations", data={**form, "csrf": "0" * 64})).status_code == 403
        assert await listed(office) == []
        assert (await client.post("/delegations", data=form)).status_code == 303
        page = (await client.get("/delegations")).text
        assert re.search(r"<h2>.*Dan.* decides for .*Lena.*</h2>", page)
        assert "<b>vacation</b>" not in page
        refused = await client.post("/delegations", data={**form, "delegate": "lena"})
        assert (refused.status_code, "both accounts are of one person" in refused.text) == (409, True)
        assert (await client.post("/delegations", data={**form, "last_day": "9999-12-31"})).status_code == 409
    assert await listed(office) == [("lena", "dan", "in_force")]
    async with office.db.tenant(TENANT) as cursor:
        (one,) = await list_delegations(cursor, TENANT)
    async with office.signed_in(FRED) as client:
        answer = await client.post(f"/delegations/{one.delegation_id}/end", data={"csrf": await csrf_of(client)})
        assert (answer.status_code, "somebody else" in answer.text) == (409, True)
    async with office.signed_in(DAN) as client:
        answer = await client.post(f"/delegations/{one.delegation_id}/end", data={"csrf": await csrf_of(client)})
        assert answer.status_code == 303
    assert await listed(office, past=True) == [("lena", "dan", "ended")]


async def test_an_administrator_names_one_for_others_and_an_approver_does_not(office: Office) -> None:
    await add_people(office.db, ADA, DAN)
    last_day = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()
    form = {"approver": "lena", "delegate": "dan", "last_day": last_day, "reason": "ill since Monday"}
    for who, status in ((FRED, 403), (ADA, 303)):
        async with office.signed_in(who) as client:
            answer = await client.post("/delegations/of-others", data={**form, "csrf": await csrf_of(client)})
            assert answer.status_code == status
    assert await listed(office) == [("lena", "dan", "in_force")]


async def test_a_delegate_decides_in_another_name_and_signs_with_their_own(office: Office) -> None:
    await add_people(office.db, DAN)
    request = await ask(office.db)
    async with office.signed_in(DAN) as client:
        before = (await client.get(f"/requests/{request.request_id}")).text
    assert "None of your groups is asked" in before
    one = await named(office, "lena", "dan")
    async with office.signed_in(DAN) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
    assert f'name="delegation" value="{one.delegation_id}"' in page
    assert "delegate</a> you are" in page
    assert (await decided(office, DAN, request))[0] == 403  # not in his own name
    assert (await decided(office, DAN, request, delegation="dlg-" + "a" * 26))[0] == 403
    assert (await decided(office, DAN, request, delegation=one.delegation_id))[0] == 303
    (stored,) = await votes(office, request)
    assert (stored.person, stored.for_person, stored.for_name) == ("dan", "lena", "Lena")
    keys = office.app.state.services.signer.public_keys
    vote = read_vote(SignedVote(jws=stored.jws), keys)
    assert isinstance(vote, Vote)
    assert vote.delegated is not None
    assert (vote.subject, vote.groups, vote.delegated.approver) == ("dan", ("support-leads",), "lena")
    async with office.signed_in(LENA) as client:
        seen = (await client.get(f"/requests/{request.request_id}")).text
        inbox = (await client.get("/requests")).text
    assert "has decided for you" in seen
    assert "Nothing waits for you." in inbox
    assert re.findall(r'class="count">([^<]+)<', inbox) == ["0", "1", "1"]
    assert 'value="approve"' not in seen


async def test_a_form_with_an_error_keeps_for_whom_somebody_decides(office: Office) -> None:
    mia = Person("mia", ("support-leads",))
    await add_people(office.db, mia)
    one = await named(office, "lena", "mia")
    request = await ask(office.db)
    address = f"/requests/{request.request_id}"
    for_lena = f'value="{one.delegation_id}" checked'
    async with office.signed_in(mia) as client:
        form = {**await form_on(client, address), "digest": request.digest, "delegation": one.delegation_id}
        for path in (address, f"{address}/edit"):
            page = (await client.get(path)).text
            assert (one.delegation_id in page, for_lena in page) == (True, False)
        edited = await client.post(f"{address}/edit", data={**form, "argument.amount_minor": "-5", "reason": "less"})
        denied = await client.post(f"{address}/decision", data={**form, "verdict": "deny", "reason": ""})
    for answer in (edited, denied):
        assert (answer.status_code, for_lena in answer.text) == (422, True)
        assert 'value="" checked' not in answer.text
    assert await votes(office, request) == ()


async def test_who_asked_is_not_helped_by_a_delegate(office: Office) -> None:
    await add_people(office.db, DAN)
    one = await named(office, "lena", "dan")
    for name in ("lena", "dan"):
        request = await ask(office.db, name, interested=(name,))
        status, text = await decided(office, DAN, request, delegation=one.delegation_id)
        assert (status, "somebody else must decide" in text) == (403, True)
        assert await votes(office, request) == ()


async def test_whose_turn_comes_later_sees_when_and_whose_has_come_decides(office: Office) -> None:
    now = int(datetime.now(UTC).timestamp())
    later = Moments(
        opened_at=now, sla_at=now + 3_600, expires_at=now + 86_400,
        escalations=(Escalation(group="support-leads", to="finance", at=now + 7_200),),
    )  # fmt: skip
    request = await ask(office.db, "later", times=later)
    async with office.signed_in(FRED) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
    assert "Your groups may decide from" in page
    assert "finance may decide as well, in place of support-leads" in page
    status, text = await decided(office, FRED, request)
    assert (status, "only once this request is escalated" in text) == (403, True)
    come = later.model_copy(update={"escalations": (Escalation(group="support-leads", to="finance", at=now - 1),)})
    request = await ask(office.db, "come", times=come)
    async with office.db.tenant(TENANT) as cursor:
        assert await note_escalation(cursor, TENANT, request.request_id, "finance")
        assert not await note_escalation(cursor, TENANT, request.request_id, "finance")
    async with office.signed_in(FIONA) as client:
        assert request.request_id in (await client.get("/requests?scope=groups")).text
        assert "since then" in (await client.get(f"/requests/{request.request_id}")).text
    assert (await decided(office, FIONA, request))[0] == 303
    assert ONE_LEAD.needs[0].group not in FIONA.groups


async def test_a_plain_request_shows_no_other_groups(office: Office) -> None:
    request = await ask(office.db, times=ApprovalTimes(sla_s=3_600, expires_s=86_400))
    async with office.signed_in(LENA) as client:
        page = (await client.get(f"/requests/{request.request_id}")).text
    assert "may decide as well" not in page
    assert "people are reminded" in page
