"""Signing in: sessions cannot be guessed, planted, kept or stolen by a page; passwords cannot be tried at will."""

import json
import re
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import OctKey

from approvals.app import create_app
from approvals.forms import safe_next
from approvals.sign_in import TOO_MANY, WRONG
from approvals.signing import VoteSigner
from approvals.throttle import Throttle
from settings import SettingsError
from store.accounts import FREE_FAILURES, disable_account
from store.vote_keys import retire_key
from tests.approvals.conftest import Office, csrf_of, form_of, sign_in
from tests.approvals.scene import EVE, LENA, TENANT, Person, settings_for

pytestmark = pytest.mark.req("A4")


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"]


async def test_a_visitor_is_led_to_the_sign_in_page_and_back(office: Office) -> None:
    async with office.visitor() as client:
        answer = await client.get("/requests/apr-" + "a" * 26)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=%2Frequests%2Fapr-" + "a" * 26
        back = await sign_in(client, LENA, next="/requests/apr-" + "a" * 26)
        assert back.headers["location"] == "/requests/apr-" + "a" * 26


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(office: Office) -> None:
    async with office.visitor() as client:
        cookie = cookie_of(await sign_in(client, LENA))
    assert re.match(r"countersign=acme\.[A-Za-z0-9_-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=lax", cookie)


async def test_over_https_the_cookie_is_secure_and_bound_to_the_host(office: Office) -> None:
    settings = office.settings.model_copy(update={"web_url": "https://approvals.example"})
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    headers = {"origin": "https://approvals.example"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="https://approvals.example", headers=headers) as client,
    ):
        answer = await sign_in(client, LENA)
        assert cookie_of(answer).startswith("__Host-countersign=")
        assert "; Secure" in cookie_of(answer)
        assert answer.headers["strict-transport-security"]
        assert (await client.get("/requests")).status_code == 200


def test_cookies_never_cross_a_network_in_the_clear(tmp_path: Path) -> None:
    settings = settings_for("postgresql://nowhere/x", tmp_path, web_url="http://approvals.example")
    with pytest.raises(SettingsError, match="https"):
        create_app(settings)


async def test_signing_in_gives_a_new_token_and_ends_the_old_one(office: Office) -> None:
    async with office.visitor() as client:
        planted = "acme." + "x" * 43
        answer = await client.post("/sign-in", headers={"cookie": f"countersign={planted}"}, data=form_of(LENA))
        first = client.cookies["countersign"]
        assert answer.status_code == 303
        assert first != planted
        await sign_in(client, LENA)
        assert client.cookies["countersign"] != first
    async with office.visitor() as thief:
        thief.cookies.set("countersign", first)
        assert (await thief.get("/requests")).status_code == 303


async def test_signing_out_ends_the_session_on_the_server(office: Office) -> None:
    async with office.signed_in(LENA) as client:
        token = client.cookies["countersign"]
        assert (await client.post("/sign-out", data={"csrf": await csrf_of(client)})).status_code == 303
        assert "countersign" not in client.cookies
    async with office.visitor() as thief:
        thief.cookies.set("countersign", token)
        assert (await thief.get("/requests")).status_code == 303


@pytest.mark.parametrize("change", ["last_seen_at = now() - interval '31 minutes'", "expires_at = now()"])
async def test_a_session_ends_when_idle_and_after_a_working_day(office: Office, change: str) -> None:
    async with office.signed_in(LENA) as client:
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute(f"update sessions set {change}".encode())  # noqa: S608 - one of the two above
        assert (await client.get("/requests")).status_code == 303


async def test_only_a_hash_of_the_token_is_stored(office: Office) -> None:
    async with office.signed_in(LENA) as client:
        token = client.cookies["countersign"]
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("select s.*, s::text as text from sessions s")
            rows = await cursor.fetchall()
    assert len(rows) == 1
    assert token.partition(".")[2] not in rows[0]["text"]
    assert token.encode() not in bytes(rows[0]["token_hash"])


async def test_a_row_forged_in_the_database_opens_no_session(office: Office) -> None:
    async with office.signed_in(LENA) as client:
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute("update sessions set csrf_hash = sha256('guess')")
        assert (await client.get("/requests")).status_code == 303


async def test_a_disabled_account_is_out_at_once(office: Office) -> None:
    async with office.signed_in(LENA) as client:
        async with office.db.tenant(TENANT) as cursor:
            assert await disable_account(cursor, TENANT, "lena")
        assert (await client.get("/requests")).status_code == 303
        assert (await sign_in(client, LENA)).status_code == 401


async def test_a_token_of_one_organisation_is_nothing_in_another(office: Office) -> None:
    async with office.signed_in(EVE) as client:
        token = client.cookies["countersign"].replace("other.", "acme.")
    async with office.visitor() as thief:
        thief.cookies.set("countersign", token)
        assert (await thief.get("/requests")).status_code == 303


async def test_unknown_wrong_and_locked_look_alike(office: Office) -> None:
    nobody = Person("nobody", ())
    async with office.visitor() as client:
        answers = [await sign_in(client, nobody), await sign_in(client, LENA, "not the password")]
        answers += [await sign_in(client, LENA, "not the password") for _ in range(FREE_FAILURES)]
        answers.append(await sign_in(client, LENA))  # the right one, but locked
    assert {answer.status_code for answer in answers} == {401}
    assert all(WRONG in answer.text for answer in answers)


async def test_the_lock_opens_after_a_while_and_a_success_forgets_the_failures(office: Office) -> None:
    async with office.visitor() as client:
        for _ in range(FREE_FAILURES):
            await sign_in(client, LENA, "not the password")
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute(
                "update accounts set locked_until = now() - interval '1 second' where username = 'lena'"
            )
        assert (await sign_in(client, LENA)).status_code == 303
        assert (await sign_in(client, LENA, "not the password")).status_code == 401
        assert (await sign_in(client, LENA)).status_code == 303


async def test_too_many_tries_are_refused_unseen(office: Office) -> None:
    async with office.visitor() as client:
        answers = [await sign_in(client, Person("nobody", ()), "x") for _ in range(16)]
    assert answers[-1].status_code == 429
    assert TOO_MANY in answers[-1].text


def test_the_throttle_counts_per_key_within_its_window() -> None:
    now = [0.0]
    throttle = Throttle(limit=2, window_s=10, max_keys=2, clock=lambda: now[0])
    assert [throttle.allows("a") for _ in range(3)] == [True, True, False]
    assert throttle.allows("b")
    now[0] = 10.0
    assert throttle.allows("a")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)",
        "/requests/../x",
        "/requests//evil.example", "/requests\r\nset-cookie: a=b", "/sign-out", "/requests?next=//evil", "", "requests",
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_but_home(address: str) -> None:
    assert safe_next(address) == "/requests"


def test_signing_in_leads_back_to_our_own_pages() -> None:
    for address in ("/requests/apr-" + "a" * 26, "/requests?state=open&scope=all", "/runs/run-" + "a" * 26):
        assert safe_next(address) == address


async def test_the_process_refuses_a_retired_missing_or_foreign_vote_key(office: Office, tmp_path: Path) -> None:
    file = office.settings.vote_key_file
    signer = VoteSigner.load(file)
    async with office.db.everywhere() as cursor:
        await retire_key(cursor, signer.kid)
    with pytest.raises(SettingsError, match="retired"):
        await signer.publish(office.db)
    with pytest.raises(SettingsError, match="cannot be read"):
        VoteSigner.load(tmp_path / "none")
    (tmp_path / "other").write_text(json.dumps(OctKey.generate_key(256).as_dict(private=True)))
    with pytest.raises(SettingsError, match=r"Ed25519|JWK"):
        VoteSigner.load(tmp_path / "other")
