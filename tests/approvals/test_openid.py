"""Signing in at an OpenID provider: a certified one in a real browser, and one that answers whatever it is told."""

import json
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import uvicorn
import yaml
from joserfc.jwk import OctKey, OKPKey
from playwright.sync_api import expect, sync_playwright

from approvals.app import create_app
from settings import Settings, SettingsError
from settings.sign_in import load_sign_in
from store.accounts import disable_account, find_account
from tests.approvals.conftest import ORIGIN, Office, office_at, sign_in
from tests.approvals.scene import LENA, add_people, settings_for
from tests.approvals.told_provider import CLAIMS, Told, told_provider
from tests.conftest import DatabaseAddresses
from tests.peers.need import FOLDER, need_browser, need_package

pytestmark = pytest.mark.req("I6")

SECRET = "a-secret-of-this-test-and-of-nothing-else"
GROUPS: dict[str, Any] = {
    "groups": {"support-leads": ["cs-leads"], "finance": ["cs-finance"]},
    "roles": {"view": ["staff"], "approve": ["cs-leads"]},
}


def sign_in_file(folder: Path, **more: object) -> Path:
    """A tenant that signs in there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "secret").write_text(SECRET)
    entry = {
        "client_id": "countersign", "client_secret": "file:secret", "label": "Acme login",
        **GROUPS, **more,
    }  # fmt: skip
    file = folder / "sign_in.yaml"
    file.write_text(yaml.safe_dump({"tenants": {"acme": entry}}))
    return file


@pytest.fixture
def told() -> Iterator[Told]:
    with told_provider() as provider:
        yield provider


@pytest.fixture
async def office(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], told: Told
) -> AsyncGenerator[Office]:
    settings = settings_for(
        empty_database.url, tmp_path / "office", temporal_address=f"127.0.0.1:{free_port()}",
        sign_in_file=sign_in_file(tmp_path / "oidc", issuer=told.issuer),
    )  # fmt: skip
    async with office_at(settings) as found:
        await add_people(found.db, LENA)
        yield found


async def begin(client: httpx.AsyncClient, told: Told, **query: str) -> dict[str, str]:
    """Start a sign-in; what the provider would be asked."""
    answer = await client.get("/sign-in/with/acme", params=query)
    assert answer.status_code == 303, answer.text
    asked = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    told.nonce = asked["nonce"]
    return asked


async def come_back(client: httpx.AsyncClient, asked: dict[str, str], **changes: str) -> httpx.Response:
    query = {"code": "code-1", "state": asked["state"], **changes}
    return await client.get("/sign-in/back", params=query, headers={"sec-fetch-site": "cross-site"})


async def test_a_proof_opens_a_session_with_the_groups_and_roles_of_its_claims(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        asked = await begin(client, told, next="/requests/apr-" + "a" * 26)
        assert asked["redirect_uri"] == f"{ORIGIN}/sign-in/back"
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert "prompt" not in asked
        back = await come_back(client, asked)
        assert back.headers["location"] == "/requests/apr-" + "a" * 26
        page = await client.get("/requests")
        assert page.status_code == 200
        assert "Lena Lead" in page.text
    assert told.asked[0]["code_verifier"][0] != ""
    async with office.db.tenant("acme") as cursor:
        await cursor.execute("select * from accounts where issuer = %s", (told.issuer,))
        row = await cursor.fetchone()
        assert row is not None
        assert (row["person"], row["groups"], row["roles"]) == (
            "lena@example.com",
            ["support-leads"],
            ["approve", "view"],
        )
        await cursor.execute("select multi_factor from sessions where username = %s", (row["username"],))
        assert await cursor.fetchone() == {"multi_factor": False}


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "somebody-else"}},
    "several audiences, another party": {"claims": {"aud": ["countersign", "x"], "azp": "x"}},
    "another nonce": {"claims": {"nonce": "planted"}},
    "no nonce": {"claims": {"nonce": None}},
    "no subject": {"claims": {"sub": None}},
    "expired": {"claims": {"exp": 1}},
    "from the future": {"claims": {"iat": 4_000_000_000}},
    "a key that nobody published": {"key": OKPKey.generate_key("Ed25519")},
    "a secret as key": {"key": OctKey.import_key(SECRET), "algorithm": "HS256"},
    "refused code": {"status": 400},
}


@pytest.mark.parametrize("how", WRONG, ids=list(WRONG))
async def test_a_proof_that_does_not_hold_opens_nothing(office: Office, told: Told, how: str) -> None:
    async with office.visitor() as client:
        asked = await begin(client, told)
        for name, value in WRONG[how].items():
            setattr(told, name, value)
        back = await come_back(client, asked)
        assert back.status_code == 401
        assert "Acme login gave" in back.text
        assert (await client.get("/requests")).status_code == 303
    async with office.db.tenant("acme") as cursor:
        await cursor.execute("select count(*) as n from accounts where issuer <> 'local'")
        assert await cursor.fetchone() == {"n": 0}


async def test_an_answer_counts_only_in_the_browser_that_asked_and_once(office: Office, told: Told) -> None:
    async with office.visitor() as client, office.visitor() as stranger:
        asked = await begin(client, told)
        assert (await come_back(stranger, asked)).status_code == 401, "login CSRF: no cookie of ours"
        assert (await come_back(client, asked, state="other")).status_code == 401
        asked = await begin(client, told)
        assert (await come_back(client, asked, iss="https://evil.example")).status_code == 401
        asked = await begin(client, told)
        assert (await come_back(client, asked)).status_code == 303
        assert (await come_back(client, asked)).status_code == 401, "the carried sign-in is used up"
    assert len(told.asked) == 1


async def test_a_person_whom_the_provider_refuses_is_told_in_words_of_ours(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        asked = await begin(client, told)
        back = await client.get("/sign-in/back", params={"state": asked["state"], "error": "<script>alert(1)</script>"})
        assert back.status_code == 401
        assert "<script>alert" not in back.text
        assert "did not sign you in" in back.text


@pytest.mark.parametrize(
    "discovery",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/token"}, {"jwks_uri": ""}],
    ids=["another issuer", "an open token endpoint", "no keys"],
)
async def test_a_discovery_document_that_is_not_the_providers_own_is_not_used(
    office: Office, told: Told, discovery: dict[str, str]
) -> None:
    told.discovery = discovery
    async with office.visitor() as client:
        answer = await client.get("/sign-in/with/acme")
        assert answer.status_code == 401
        assert "Tell the operator" in answer.text


async def test_a_disabled_account_stays_out_whatever_the_provider_says(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        assert (await come_back(client, await begin(client, told))).status_code == 303
        async with office.db.tenant("acme") as cursor:
            await cursor.execute("select username from accounts where issuer = %s", (told.issuer,))
            row = await cursor.fetchone()
            assert row is not None
            await disable_account(cursor, "acme", row["username"])
        assert (await client.get("/requests")).status_code == 303
        back = await come_back(client, await begin(client, told))
        assert back.status_code == 401
        assert "disabled" in back.text


async def test_changed_claims_hold_at_the_next_sign_in_and_links_made_here_stay(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        await come_back(client, await begin(client, told))
        async with office.db.tenant("acme") as cursor:
            await cursor.execute("update accounts set person = 'lena' where issuer = %s", (told.issuer,))
        told.claims = {"groups": ["cs-finance"], "email": "other@example.com", "amr": ["pwd", "otp"]}
        await come_back(client, await begin(client, told))
    async with office.db.tenant("acme") as cursor:
        await cursor.execute("select * from accounts where issuer = %s", (told.issuer,))
        row = await cursor.fetchone()
        assert row is not None
        assert (row["person"], row["groups"], row["roles"]) == ("lena", ["finance"], [])
        await cursor.execute("select multi_factor from sessions order by authenticated_at desc limit 1")
        assert await cursor.fetchone() == {"multi_factor": True}


async def test_an_unverified_address_joins_nobodys_accounts(office: Office, told: Told) -> None:
    told.claims = {"email_verified": False}
    async with office.visitor() as client:
        await come_back(client, await begin(client, told))
    async with office.db.tenant("acme") as cursor:
        await cursor.execute("select person from accounts where issuer = %s", (told.issuer,))
        row = await cursor.fetchone()
    assert row is not None
    assert row["person"].startswith("person-")


async def test_proving_it_again_must_be_fresh(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        asked = await begin(client, told, again="true")
        assert (asked["prompt"], asked["max_age"]) == ("login", "0")
        told.claims = {"auth_time": int(time.time()) - 3_600}
        assert (await come_back(client, asked)).status_code == 401
        asked = await begin(client, told, again="true")
        told.claims = {}
        assert (await come_back(client, asked)).status_code == 303


async def test_an_account_of_a_provider_has_no_password_here(office: Office, told: Told) -> None:
    async with office.visitor() as client:
        await come_back(client, await begin(client, told))
        async with office.db.tenant("acme") as cursor:
            await cursor.execute("select username from accounts where issuer = %s", (told.issuer,))
            row = await cursor.fetchone()
            assert row is not None
            account = await find_account(cursor, "acme", row["username"])
        assert account is not None
        for password in ("", "x" * 12):
            refused = await client.post(
                "/sign-in", data={"tenant": "acme", "username": account.username, "password": password}
            )
            assert refused.status_code == 401


async def test_local_accounts_can_be_closed(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], told: Told
) -> None:
    settings = settings_for(
        empty_database.url, tmp_path / "office", temporal_address=f"127.0.0.1:{free_port()}",
        sign_in_file=sign_in_file(tmp_path / "oidc", issuer=told.issuer, local_accounts=False),
    )  # fmt: skip
    async with office_at(settings) as office:
        await add_people(office.db, LENA)
        async with office.visitor() as client:
            refused = await sign_in(client, LENA)
            assert refused.status_code == 401
            assert "acme signs in with Acme login" in refused.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": "http://login.example.com"}, "not https"),
        ({"scopes": ["profile"]}, "openid is missing"),
        ({"roles": {"god": ["staff"]}}, "no role 'god'"),
        ({"client_secret": "in-the-clear"}, "client_secret"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_sign_in(sign_in_file(tmp_path, **{"issuer": "https://login.example.com", **change}))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@contextmanager
def real_provider(redirect: str, log: Path) -> Generator[str]:
    """oidc-provider with its own sign-in pages; its issuer."""
    node, _ = need_package("oidc-provider")
    wanted = json.dumps({"redirect": redirect, "secret": SECRET, "accounts": {"lena": CLAIMS}})
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [node, "openid_provider.mjs", wanted], cwd=FOLDER, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["issuer"]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def served(settings: Settings) -> tuple[uvicorn.Server, threading.Thread]:
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=settings.web_port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    return server, thread


@pytest.mark.browser
@pytest.mark.node
def test_a_person_signs_in_at_a_certified_provider(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    path, port = need_browser(), free_port()
    with real_provider(f"http://127.0.0.1:{port}/sign-in/back", tmp_path / "provider.log") as issuer:
        settings = settings_for(
            empty_database.url, tmp_path / "office", port=port, temporal_address=f"127.0.0.1:{free_port()}",
            sign_in_file=sign_in_file(tmp_path / "oidc", issuer=issuer),
        )  # fmt: skip
        server, thread = served(settings)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"http://127.0.0.1:{port}/requests")
                page.screenshot(path=tmp_path / "sign-in.png")
                page.get_by_role("link", name="Acme login").click()
                page.get_by_placeholder("Enter any login").fill("lena")
                page.get_by_placeholder("and password").fill("anything")
                page.get_by_role("button", name="Sign-in").click()
                page.get_by_role("button", name="Continue").click()
                expect(page).to_have_url(f"http://127.0.0.1:{port}/requests")
                expect(page.get_by_text("Lena Lead").first).to_be_visible()
                browser.close()
        finally:
            server.should_exit = True
            thread.join(20)
