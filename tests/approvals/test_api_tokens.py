"""Tokens of machines: shown once, kept as a hash, bound to scopes and time, and never a way to decide."""

import logging
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from store.api_tokens import MAX_ACTIVE, SCOPES
from tests.approvals.conftest import Office
from tests.approvals.scene import EVE, LENA, TENANT, Person, add_people, ask
from tests.approvals.test_api import bearer
from tests.conftest import DatabaseAddresses
from tests.secrets.search import dumped_tables, files_below, found_in

pytestmark = pytest.mark.req("I6", "I5", "I9")
ADA = Person("ada", (), roles=("administer",))


async def make(client: httpx.AsyncClient, office: Office, *scopes: str, **more: object) -> dict[str, str]:
    """The headers of a machine that ada made a token for."""
    if not await _exists(office):
        await add_people(office.db, ADA)
    answer = await client.post(
        "/api/tokens", json={"name": "a dashboard", "scopes": scopes, **more}, headers=await bearer(client, ADA)
    )
    assert answer.status_code == 201, answer.text
    return {"authorization": f"Bearer {answer.json()['token']}"}


async def _exists(office: Office) -> bool:
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("select from accounts where username = %s", (ADA.username,))
        return await cursor.fetchone() is not None


async def test_a_machine_lists_and_looks_but_never_decides(office: Office) -> None:
    request = await ask(office.db)
    path = f"/api/approvals/{request.request_id}"
    async with office.visitor() as client:
        headers = await make(client, office, *SCOPES)
        page = (await client.get("/api/approvals", params={"scope": "all"}, headers=headers)).json()
        assert [line["request_id"] for line in page["lines"]] == [request.request_id]
        assert (await client.get("/api/approvals", headers=headers)).json()["lines"] == []  # nothing is its own
        assert (await client.get(path, headers=headers)).json()["digest"] == request.digest
        assert (await client.get("/api/decisions", headers=headers)).status_code == 200
        refused = await client.post(
            f"{path}/decision", json={"verdict": "approve", "digest": request.digest}, headers=headers
        )
        assert refused.status_code == 403
        assert "a person signs in" in refused.json()["detail"]
        for other in ("/api/tokens", "/api/sign-out"):
            assert (await client.post(other, json={}, headers=headers)).status_code == 403
        client.cookies.set("countersign", headers["authorization"].removeprefix("Bearer "))
        assert (await client.get("/requests")).status_code == 303  # no session either
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("select count(*) as n from votes")
        assert await cursor.fetchone() == {"n": 0}


@pytest.mark.parametrize(("scope", "open_to"), [
    ("requests:read", {"/api/approvals", "/api/counts", "/api/decisions"}), ("runs:read", {"/api/stop", "/api/doubts"}),
    ("kill", set[str]()),
])  # fmt: skip
async def test_a_scope_opens_its_own_routes_alone(office: Office, scope: str, open_to: set[str]) -> None:
    async with office.visitor() as client:
        headers = await make(client, office, scope)
        paths = ["/api/approvals", "/api/counts", "/api/decisions", "/api/stop", "/api/doubts"]
        answers = {path: (await client.get(path, headers=headers)).status_code for path in paths}
        assert answers == {path: 200 if path in open_to else 403 for path in paths}
        thrown = await client.post("/api/stop", json={"scope": "tenant", "reason": "burn rate"}, headers=headers)
        assert thrown.status_code == (200 if scope == "kill" else 403)
        if scope == "kill":
            release = f"/api/stop/{thrown.json()['switch_id']}/release"
            assert (await client.post(release, json={"reason": "all well"}, headers=headers)).status_code == 403
        me = (await client.get("/api/me", headers=headers)).json()
        assert (me["kind"], me["scopes"], me["roles"]) == ("machine", [scope], [])


async def test_a_token_of_another_tenant_sees_nothing_of_this_one(office: Office) -> None:
    request = await ask(office.db)
    await add_people(office.db, Person("oscar", (), roles=("administer",), tenant=EVE.tenant))
    async with office.visitor() as client:
        made = await client.post(
            "/api/tokens",
            json={"name": "theirs", "scopes": list(SCOPES)},
            headers=await bearer(client, Person("oscar", (), tenant=EVE.tenant)),
        )
        headers = {"authorization": f"Bearer {made.json()['token']}"}
        assert (await client.get("/api/approvals", params={"scope": "all"}, headers=headers)).json()["lines"] == []
        assert (await client.get(f"/api/approvals/{request.request_id}", headers=headers)).status_code == 404
        moved = headers["authorization"].replace(f"cst_{EVE.tenant}.", f"cst_{TENANT}.")
        assert (await client.get("/api/me", headers={"authorization": moved})).status_code == 401


async def test_revoked_and_expired_tokens_open_nothing_and_the_record_says_who_did_what(
    office: Office, empty_database: DatabaseAddresses
) -> None:
    async with office.visitor() as client:
        headers = await make(client, office, "requests:read", days=1)
        ada = await bearer(client, ADA)
        (kept,) = (await client.get("/api/tokens", headers=ada)).json()
        assert (await client.get("/api/me", headers=headers)).status_code == 200
        assert (await client.get("/api/tokens", headers=ada)).json()[0]["last_used_at"]
        path = f"/api/tokens/{kept['token_id']}/revocation"
        for _ in range(2):
            revoked = await client.post(path, json={"reason": "it leaked"}, headers=ada)
            assert revoked.json()["state"] == "revoked"
        refused = await client.get("/api/me", headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        other = await make(client, office, "requests:read")
        with psycopg.connect(empty_database.owner_url, autocommit=True) as owner:
            owner.execute("update api_tokens set expires_at = now() where revoked_at is null")
        assert (await client.get("/api/me", headers=other)).status_code == 401
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute(
            "select verb, changed_by, reason from api_token_changes where token_id = %s order by at",
            (kept["token_id"],),
        )
        assert await cursor.fetchall() == [
            {"verb": "create", "changed_by": "ada", "reason": "a dashboard"},
            {"verb": "revoke", "changed_by": "ada", "reason": "it leaked"},
        ]


@pytest.mark.parametrize("statement", [
    "update api_tokens set scopes = '{kill}'", "update api_tokens set expires_at = now() + interval '9 years'",
    "delete from api_tokens", "update api_token_changes set reason = ''", "delete from api_token_changes",
])  # fmt: skip
async def test_the_application_itself_cannot_widen_a_token_or_rewrite_the_record(
    office: Office, statement: str
) -> None:
    async with office.visitor() as client:
        await make(client, office, "requests:read")
    with pytest.raises(InsufficientPrivilege):
        async with office.db.tenant(TENANT) as cursor:
            await cursor.execute(statement.encode())


@pytest.mark.parametrize("body", [
    {"name": "x", "scopes": ["requests:read"]}, {"name": "a dashboard", "scopes": []}, {"name": "a dashboard"},
    {"name": "a dashboard", "scopes": ["approve"]}, {"name": "a dashboard", "scopes": ["kill"], "days": 5000},
    {"name": "two\nlines", "scopes": ["kill"]},
])  # fmt: skip
async def test_a_token_that_says_too_much_or_too_little_is_not_made(office: Office, body: dict[str, object]) -> None:
    await add_people(office.db, ADA)
    async with office.visitor() as client:
        answer = await client.post("/api/tokens", json=body, headers=await bearer(client, ADA))
        assert (answer.status_code, bool(answer.json()["errors"])) == (422, True)
        lena = await client.post("/api/tokens", json=body, headers=await bearer(client, LENA))
        assert lena.status_code == 403


async def test_a_tenant_has_so_many_tokens_and_no_more(office: Office, empty_database: DatabaseAddresses) -> None:
    async with office.visitor() as client:
        await make(client, office, "requests:read")
        with psycopg.connect(empty_database.owner_url, autocommit=True) as owner:
            owner.execute(
                """insert into api_tokens (tenant, token_id, name, token_hash, scopes, created_by, expires_at)
                   select tenant, token_id || n, name, sha256(n::text::bytea), scopes, created_by, expires_at
                   from api_tokens, generate_series(2, %s) n""",
                (MAX_ACTIVE,),
            )
        full = {"name": "one more", "scopes": ["kill"]}
        refused = await client.post("/api/tokens", json=full, headers=await bearer(client, ADA))
        assert (refused.status_code, "revoke one" in refused.json()["detail"]) == (409, True)


async def test_a_token_stands_nowhere(
    office: Office, empty_database: DatabaseAddresses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with office.visitor() as client:
        headers = await make(client, office, "requests:read")
        token = headers["authorization"].removeprefix("Bearer ")
        for path in (
            "/api/me",
            "/api/stop",
            "/api/approvals?scope=all&search=" + token,
            "/api/approvals?after=" + token,
        ):
            await client.get(path, headers=headers)
        await client.post("/api/approvals/apr-x/decision", json={"reason": token}, headers=headers)
        await client.get("/api/me", headers={"authorization": f"Basic {token}"})
    # What a caller puts into an address is the caller's own to keep out of logs: our client never does.
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    places = {**dumped_tables(empty_database.owner_url), **files_below(tmp_path), "log": logged.encode()}
    assert found_in(places, {"token": token}) == []
    assert sum(len(content) for content in places.values()) > 1_000
