"""Emergencies on the page: two persons, a banner that nobody misses, and nothing open without its timer."""

import psycopg
import pytest

from contracts.emergency import Emergency, WatchEmergency
from store.emergencies import list_emergencies, request_emergency
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import Office, csrf_of
from tests.approvals.passkey_scene import halfway, registered
from tests.approvals.scene import TENANT, Person, add_people

pytestmark = pytest.mark.req("I4")

ASKER = Person("asker", ("support-leads",), ("view", "approve", "kill"))
FIRST = Person("first", ("support-leads",))
SECOND = Person("second", ("support-leads",))
OUTSIDER = Person("outsider", ("finance",), ("view", "approve", "kill"))
SCOPE = {
    "agent": "support_refund", "tools": ["payments.issue_refund"], "lifts": ["stage"], "max_minutes": 30,
    "approvers": "support-leads",
}  # fmt: skip


async def asked(office: Office, scope: str) -> Emergency:
    await add_people(office.db, ASKER, FIRST, SECOND, OUTSIDER)
    async with office.db.tenant(TENANT) as cursor:
        return await request_emergency(
            cursor, TENANT, scope, SCOPE, minutes=20, reason="The <b>queue</b> is down.", person="asker"
        )


async def state(office: Office, emergency: Emergency) -> str:
    async with office.db.tenant(TENANT) as cursor:
        found = await list_emergencies(cursor, TENANT, every=True)
    return next(one.state for one in found if one.emergency_id == emergency.emergency_id)


async def post(office: Office, who: Person, emergency: Emergency, verb: str, **more: str) -> tuple[int, str]:
    async with office.signed_in(who) as client:
        form = {"csrf": await csrf_of(client), **more}
        answer = await client.post(f"/emergencies/{emergency.emergency_id}/{verb}", data=form)
        return answer.status_code, answer.text


async def test_two_persons_open_it_and_every_page_says_so(office: Office) -> None:
    emergency = await asked(office, "first-incident")
    started: list[WatchEmergency] = []

    async def watch(request: WatchEmergency) -> None:
        started.append(request)

    office.app.state.services.runs.watch_emergency = watch
    assert (await post(office, ASKER, emergency, "approval"))[0] == 409
    assert (await post(office, OUTSIDER, emergency, "approval"))[0] == 409
    assert (await post(office, FIRST, emergency, "approval"))[0] == 303
    assert (await post(office, FIRST, emergency, "approval"))[0] == 409
    assert started == []
    for who, is_told in ((FIRST, False), (ASKER, False), (OUTSIDER, False), (SECOND, True)):
        async with office.signed_in(who) as client:
            inbox = (await client.get("/requests")).text
        assert ('<a href="/emergencies">1 emergency</a>' in inbox) is is_told, who.username
        assert "is open until" not in inbox
    assert (await post(office, SECOND, emergency, "approval"))[0] == 303
    assert [one.emergency_id for one in started] == [emergency.emergency_id]
    async with office.signed_in(FIRST) as client:
        for page in ("/requests", "/stop", "/emergencies"):
            text = (await client.get(page)).text
            assert "is open until" in text, page
            assert "<b>queue</b>" not in text
    assert (await post(office, OUTSIDER, emergency, "end"))[0] == 303
    assert await state(office, emergency) == "ended"
    status, text = await post(office, SECOND, emergency, "review", note="I opened it, and it was right.")
    assert (status, "does not review" in text) == (409, True)
    assert (await post(office, OUTSIDER, emergency, "review", note="One refund was made, rightly."))[0] == 303
    assert await state(office, emergency) == "reviewed"


async def test_without_its_timer_it_is_not_opened(office: Office) -> None:
    emergency = await asked(office, "second-incident")
    assert (await post(office, FIRST, emergency, "approval"))[0] == 303

    async def down(request: WatchEmergency) -> None:
        raise OSError("Temporal is down")

    office.app.state.services.runs.watch_emergency = down
    status, text = await post(office, SECOND, emergency, "approval")
    assert (status, "Temporal does not answer" in text) == (409, True)
    assert await state(office, emergency) == "requested"


async def test_a_form_without_its_token_changes_nothing(office: Office) -> None:
    emergency = await asked(office, "third-incident")
    async with office.signed_in(FIRST) as client:
        answer = await client.post(f"/emergencies/{emergency.emergency_id}/approval", data={"csrf": "0" * 64})
    assert answer.status_code == 403
    assert await state(office, emergency) == "requested"


async def test_it_takes_a_sign_in_of_the_last_minutes(office: Office, owner: psycopg.Connection) -> None:
    emergency = await asked(office, "fourth-incident")
    page = f"/emergencies/{emergency.emergency_id}"
    async with office.signed_in(FIRST) as client:
        form = {"csrf": await csrf_of(client)}
        owner.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        shown = (await client.get("/emergencies")).text
        assert ("/sign-in?next=%2Femergencies" in shown, "/approval" in shown) == (True, False)
        refused = await client.post(f"{page}/approval", data=form)
        assert (refused.status_code, "You signed in too long ago for this" in refused.text) == (403, True)
        owner.execute("update sessions set authenticated_at = now()")
        assert (await client.post(f"{page}/approval", data=form)).status_code == 303
    owner.execute("update emergencies set state = 'ended', ended_at = now()")
    async with office.signed_in(OUTSIDER) as client:
        form = {"csrf": await csrf_of(client), "note": "One refund was made, rightly."}
        owner.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        assert (await client.post(f"{page}/review", data=form)).status_code == 403
        # Ending one only takes away: that waits for no form.
        assert (await client.post(f"{page}/end", data=form)).status_code == 303


async def test_who_has_a_passkey_approves_after_a_sign_in_with_it(office: Office) -> None:
    emergency, key = await asked(office, "fifth-incident"), Authenticator()
    page = f"/emergencies/{emergency.emergency_id}/approval"
    async with office.signed_in(FIRST) as client:
        assert (await registered(client, key)).status_code == 303
        refused = await client.post(page, data={"csrf": await csrf_of(client)})  # it began with a password alone
        assert (refused.status_code, "a sign-in with it" in refused.text) == (403, True)
        assert await state(office, emergency) == "requested"
        await client.post("/sign-in/passkey", data={"answer": key.use(await halfway(client, FIRST))})
        assert (await client.post(page, data={"csrf": await csrf_of(client)})).status_code == 303


async def test_a_switch_is_released_and_a_token_made_after_a_sign_in_of_the_last_minutes(
    office: Office, owner: psycopg.Connection
) -> None:
    await add_people(office.db, Person("ada", (), ("view", "kill", "administer")))
    async with office.signed_in(Person("ada", ())) as client:
        token = client.cookies["countersign"]
        headers = {"authorization": f"Bearer {token}"}
        thrown = await client.post("/api/stop", json={"scope": "tenant", "reason": "burn rate"}, headers=headers)
        switch = f"/stop/{thrown.json()['switch_id']}/release"
        form, said = {"csrf": await csrf_of(client), "reason": "all well"}, {"reason": "all well"}
        new = {"name": "pager", "scopes": ["kill"]}
        owner.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        shown = (await client.get("/stop")).text
        assert ("/sign-in?next=%2Fstop" in shown, switch in shown) == (True, False)
        assert (await client.post(switch, data=form)).status_code == 403
        for path, body in ((f"/api{switch}", said), ("/api/tokens", new)):
            refused = await client.post(path, json=body, headers=headers)
            assert (refused.status_code, "too long ago" in refused.json()["detail"]) == (403, True)
        # Stopping waits for no form.
        again = await client.post("/api/stop", json={"scope": "tenant", "reason": "still"}, headers=headers)
        assert again.status_code == 200
        owner.execute("update sessions set authenticated_at = now()")
        assert (await client.post("/api/tokens", json=new, headers=headers)).status_code == 201
        assert (await client.post(switch, data=form)).status_code == 303
