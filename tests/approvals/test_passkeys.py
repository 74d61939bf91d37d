"""Passkeys: who has one signs in with it, and with nothing else; who may add and remove one."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from approvals.passkeys import site_of
from settings import Settings
from store.passkeys import MAX_REFUSALS, events_of, passkeys_of, remove_passkey
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import Office, form_of, form_on
from tests.approvals.passkey_scene import halfway, refusals, registered, with_passkey
from tests.approvals.scene import FIONA, FRED, TENANT, Person, add_people

pytestmark = pytest.mark.req("A4")


async def test_who_has_a_passkey_signs_in_with_it(office: Office) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key) as client:
        assert (await client.get("/requests")).status_code == 200
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("select multi_factor from sessions order by authenticated_at")
            assert [row["multi_factor"] for row in await cursor.fetchall()] == [True]
    async with office.visitor() as client:
        await halfway(client, FRED)
        assert (await client.get("/requests")).status_code == 303  # a right password opens nothing


async def test_a_password_opens_no_other_way_in(office: Office) -> None:
    async with with_passkey(office, FRED, Authenticator()), office.visitor() as program:
        answer = await program.post("/api/sign-in", json=form_of(FRED))
    assert answer.status_code == 403
    assert "you have a passkey. Sign in by browser: `countersign approvals sign-in`" in answer.json()["detail"]


async def test_another_account_of_the_person_asks_for_it_too(office: Office) -> None:
    second = Person("fred2", ("finance",), person="fred")
    await add_people(office.db, second)
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.visitor() as client:
        options = await halfway(client, second)
        assert (await client.post("/sign-in/passkey", data={"answer": key.use(options)})).status_code == 303


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        ({"verifies": False}, "user was not verified"),
        ({"origin": "https://evil.example"}, "Unexpected client data origin"),
        ({"rp_id": "evil.example"}, "Unexpected RP ID hash"),
        ({"cross_origin": True}, "inside a page of another site"),
        ({"key": Authenticator().key}, "Could not verify authentication signature"),
        ({"credential_id": b"x" * 32}, "none of this person's passkeys"),
    ],
)
async def test_what_another_authenticator_or_site_signs_lets_nobody_in(
    office: Office, lie: dict[str, Any], why: str
) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.visitor() as thief:
        options = await halfway(thief, FRED)
        answer = await thief.post("/sign-in/passkey", data={"answer": replace(key, **lie).use(options)})
        assert answer.status_code == 401
        assert (await thief.get("/requests")).status_code == 303
    [found] = await refusals(office, FRED)
    assert why in found


async def test_a_sign_in_is_answered_once_and_in_its_own_browser(office: Office) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.visitor() as client, office.visitor() as thief:
        options = await halfway(client, FRED)
        first = key.use(options)
        stolen = await thief.post("/sign-in/passkey", data={"answer": first})
        assert (await client.post("/sign-in/passkey", data={"answer": first})).status_code == 303
        await halfway(thief, FRED)
        again = await thief.post("/sign-in/passkey", data={"answer": first})
        assert [stolen.status_code, again.status_code] == [401, 401]


async def test_a_copied_authenticator_is_noticed(office: Office) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.visitor() as client, office.visitor() as thief:
        copy = key.copied()
        assert (
            await client.post("/sign-in/passkey", data={"answer": key.use(await halfway(client, FRED))})
        ).is_redirect
        answer = await thief.post("/sign-in/passkey", data={"answer": copy.use(await halfway(thief, FRED))})
    assert answer.status_code == 401
    [found] = await refusals(office, FRED)
    assert "sign count" in found


async def test_an_authenticator_that_does_not_count_is_none_the_worse(office: Office) -> None:
    async with with_passkey(office, FRED, Authenticator(counts=False)) as client:
        assert (await client.get("/requests")).status_code == 200


async def test_after_five_wrong_answers_none_is_looked_at(office: Office) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.visitor() as client:
        for _ in range(MAX_REFUSALS):
            wrong = replace(key, origin="https://evil.example").use(await halfway(client, FRED))
            assert (await client.post("/sign-in/passkey", data={"answer": wrong})).status_code == 401
        right = key.use(await halfway(client, FRED))
        assert (await client.post("/sign-in/passkey", data={"answer": right})).status_code == 401
    assert len(await refusals(office, FRED)) == MAX_REFUSALS


async def test_passkeys_are_changed_soon_after_a_sign_in_with_one(office: Office, owner: psycopg.Connection) -> None:
    key, second = Authenticator(), Authenticator()
    async with office.signed_in(FRED) as client:
        assert (await registered(client, key)).status_code == 303
        weak = await registered(client, second)  # this session began with a password alone
        assert (weak.status_code, "sign in with one of them" in weak.text) == (409, True)
        await client.post("/sign-in/passkey", data={"answer": key.use(await halfway(client, FRED))})
        owner.execute("update sessions set authenticated_at = now() - interval '16 minutes'")
        stale = await registered(client, second)
        assert (stale.status_code, "too long ago" in stale.text) == (409, True)
        owner.execute("update sessions set authenticated_at = now()")
        assert (await registered(client, second, "key")).status_code == 303
        assert (await registered(client, second, "twice")).status_code == 409
        async with office.db.tenant(TENANT) as cursor:
            first, other = await passkeys_of(cursor, TENANT, "fred")
        csrf = (await form_on(client, "/passkeys"))["csrf"]
        assert (await client.post(f"/passkeys/{first.passkey_id}/removal", data={"csrf": csrf})).status_code == 303
        assert "It is your last one" in (await client.get("/passkeys")).text
        assert (await client.post(f"/passkeys/{other.passkey_id}/removal", data={"csrf": csrf})).status_code == 303
    async with office.signed_in(FRED):  # by password again
        pass
    async with office.db.tenant(TENANT) as cursor:
        verbs = [event.verb for event in await events_of(cursor, TENANT, "fred")]
    assert verbs == ["remove", "remove", "add", "add"]


@pytest.mark.parametrize("lie", [{"verifies": False}, {"origin": "https://evil.example"}, {"rp_id": "evil.example"}])
async def test_a_passkey_that_does_not_fit_is_not_added(office: Office, lie: dict[str, Any]) -> None:
    async with office.signed_in(FRED) as client:
        answer = await registered(client, Authenticator(**lie))
    assert answer.status_code == 409
    assert "Nothing was added" in answer.text


async def test_nobody_removes_the_passkey_of_another(office: Office) -> None:
    async with with_passkey(office, FRED, Authenticator()), with_passkey(office, FIONA, Authenticator()) as fiona:
        async with office.db.tenant(TENANT) as cursor:
            [freds] = await passkeys_of(cursor, TENANT, "fred")
        csrf = (await form_on(fiona, "/passkeys"))["csrf"]
        assert (await fiona.post(f"/passkeys/{freds.passkey_id}/removal", data={"csrf": csrf})).status_code == 409
        async with office.db.tenant(TENANT) as cursor:
            assert len(await passkeys_of(cursor, TENANT, "fred")) == 1


async def test_an_operator_removes_what_was_lost(office: Office) -> None:
    key = Authenticator()
    async with with_passkey(office, FRED, key), office.db.tenant(TENANT) as cursor:
        [found] = await passkeys_of(cursor, TENANT, "fred")
        await remove_passkey(cursor, TENANT, "fred", found.passkey_id, by="operator", reason="Phone lost.", lost=True)
    async with office.signed_in(FRED) as client:
        assert "Phone lost." in (await client.get("/passkeys")).text


@pytest.mark.parametrize(
    ("web_url", "rp_id"),
    [
        ("https://approvals.example", "approvals.example"),
        ("https://approvals.example:8443", "approvals.example"),
        ("http://localhost:8400", "localhost"),
        ("http://127.0.0.1:8400", "localhost"),
        ("https://192.0.2.7", None),
        ("http://127.0.0.1:9999", None),
    ],
)
def test_the_site_is_the_public_address_if_that_is_a_name(office: Office, web_url: str, rp_id: str | None) -> None:
    settings: Settings = office.settings.model_copy(update={"web_url": web_url})
    site = site_of(settings)
    assert (site.rp_id if site else None) == rp_id
