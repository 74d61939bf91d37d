"""The API holds what the form holds; and the process starts, says so, and drains."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from contracts.agent import ApprovalTimes
from contracts.canonical import digest_bytes
from settings.environment import child_environment, plain_names
from store.approvals import settle_request
from tests.approvals.conftest import Office, form_of
from tests.approvals.scene import EVE, LENA, TENANT, Person, add_people, ask, settings_for
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A1", "A3")
START_LIMIT_S = 30


async def bearer(client: httpx.AsyncClient, who: Person) -> dict[str, str]:
    """Sign in as a command line does."""
    answer = await client.post("/api/sign-in", json=form_of(who))
    return {"authorization": f"Bearer {answer.json()['token']}"}


async def test_a_machine_lists_shows_and_decides_by_digest(office: Office) -> None:
    request = await ask(office.db)
    async with office.visitor() as client:
        headers = await bearer(client, LENA)
        page = (await client.get("/api/approvals", headers=headers)).json()
        assert [line["request_id"] for line in page["lines"]] == [request.request_id]
        shown = (await client.get(f"/api/approvals/{request.request_id}", headers=headers)).json()
        assert (shown["digest"], shown["view"]["money_minor"]) == (request.digest, 48_000)
        path = f"/api/approvals/{request.request_id}/decision"
        other = {"verdict": "approve", "digest": "sha256:" + "0" * 64}
        assert (await client.post(path, json=other, headers=headers)).json()["refusal"] == "wrong_digest"
        body = {"verdict": "approve", "digest": shown["digest"]}
        assert (await client.post(path, json=body, headers=headers)).json()["outcome"] == "decided"
        assert (await client.post(path, json=body, headers=headers)).json()["outcome"] == "stands"


async def test_the_api_takes_no_cookie_and_no_strangers_token(office: Office) -> None:
    request = await ask(office.db)
    async with office.signed_in(LENA) as client:
        assert (await client.get("/api/approvals")).status_code == 401
        body = {"verdict": "approve", "digest": request.digest}
        assert (await client.post(f"/api/approvals/{request.request_id}/decision", json=body)).status_code == 401
    async with office.visitor() as client:
        headers = await bearer(client, EVE)
        assert (await client.get(f"/api/approvals/{request.request_id}", headers=headers)).status_code == 404
        answer = await client.post(f"/api/approvals/{request.request_id}/decision", json=body, headers=headers)
        assert answer.status_code == 404
        assert (await client.post("/api/sign-out", headers=headers)).status_code == 204
        assert (await client.get("/api/approvals", headers=headers)).status_code == 401


@pytest.mark.parametrize("body", [{}, {"verdict": "maybe"}, {"verdict": "approve", "digest": "x"}, [], "x", None])
async def test_a_malformed_decision_is_refused_in_words(office: Office, body: object) -> None:
    request = await ask(office.db)
    async with office.visitor() as client:
        headers = await bearer(client, LENA)
        answer = await client.post(f"/api/approvals/{request.request_id}/decision", json=body, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["detail"]


async def test_opening_and_settling_again_changes_nothing(office: Office) -> None:
    first = await ask(office.db)
    again = await ask(office.db, times=ApprovalTimes(sla_s=1, expires_s=1))
    assert (again.request_id, again.expires_at) == (first.request_id, first.expires_at)
    async with office.db.tenant(TENANT) as cursor:
        for state in ("granted", "denied"):
            settled = await settle_request(
                cursor, tenant=TENANT, request_id=first.request_id, state=state, decision_ids=()
            )
            assert settled == "granted"
        missing = "apr-" + "a" * 26
        assert await settle_request(cursor, tenant=TENANT, request_id=missing, state="denied", decision_ids=()) is None


def test_the_process_says_when_it_is_ready_and_drains_on_sigterm(
    database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    settings = settings_for(database.url, tmp_path, port=port)
    names = [*plain_names(), "database_url", "vote_key_file", "session_secret_file"]
    environment = child_environment(settings, names)
    with subprocess.Popen([sys.executable, "-m", "approvals"], env=environment, cwd=Path.cwd()) as process:
        until_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until_s and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).text == "ready\n":
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(START_LIMIT_S) == 0


def test_a_process_without_its_key_says_what_to_do(database: DatabaseAddresses, tmp_path: Path) -> None:
    settings = settings_for(database.url, tmp_path)
    settings.vote_key_file.unlink()
    environment = child_environment(settings, [*plain_names(), "database_url", "vote_key_file", "session_secret_file"])
    done = subprocess.run(
        [sys.executable, "-m", "approvals"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: the vote key")
    assert json.dumps(done.stderr).count("\\n") == 1


async def test_what_is_shown_can_be_checked_against_the_digest_and_polled_for_nothing(office: Office) -> None:
    request = await ask(office.db)
    path = f"/api/approvals/{request.request_id}"
    async with office.visitor() as client:
        headers = await bearer(client, LENA)
        first = await client.get(path, headers=headers)
        shown = first.json()
        assert digest_bytes(shown["basis_text"].encode()) == shown["digest"]
        assert digest_bytes(shown["view_text"].encode()) == json.loads(shown["basis_text"])["view_digest"]
        assert json.loads(shown["view_text"])["arguments"] == shown["view"]["arguments"]
        known = {**headers, "if-none-match": first.headers["etag"]}
        again = await client.get(path, headers=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert (
            await client.get(path, headers={**known, "if-none-match": '"x", W/' + known["if-none-match"]})
        ).status_code == 304
        body = {"verdict": "deny", "digest": shown["digest"], "reason": "not agreed"}
        assert (await client.post(f"{path}/decision", json=body, headers=headers)).json()["outcome"] == "decided"
        changed = await client.get(path, headers=known)
        assert (changed.status_code, len(changed.json()["votes"])) == (200, 1)


async def test_a_person_is_told_who_they_are_and_what_waits(office: Office) -> None:
    await ask(office.db)
    async with office.visitor() as client:
        headers = await bearer(client, LENA)
        me = (await client.get("/api/me", headers=headers)).json()
        assert (me["kind"], me["name"], me["groups"], me["scopes"]) == ("person", "lena", ["support-leads"], [])
        assert me["authenticated_at"] < me["expires_at"]
        assert (await client.get("/api/counts", headers=headers)).json() == {"mine": 1, "groups": 1, "all": 1}
        both = {"after": "a", "before": "b"}
        assert (await client.get("/api/approvals", params=both, headers=headers)).status_code == 422
        for route in ("/api/approvals", "/api/decisions"):
            damaged = await client.get(route, params={"after": "x"}, headers=headers)
            assert (damaged.status_code, "first page" in damaged.json()["detail"]) == (400, True)
            assert (await client.get(route, params={"sorted": "sla"}, headers=headers)).status_code == 422


async def test_nobody_claims_to_be_the_release_of_a_run(office: Office) -> None:
    await add_people(office.db, Person("kim", (), roles=("view", "kill")))
    path = f"/api/runs/run-{'a' * 26}/orders"
    async with office.visitor() as client:
        client.headers.update(await bearer(client, Person("kim", ())))
        for order in (
            {"because": "released", "pause": 1},
            {"because": "released"},
            {"because": "operator", "pause": 1},
        ):
            answer = await client.post(path, json={"order": {"kind": "resume", **order}, "reason": "It is over."})
            assert answer.status_code == 422
            if order["because"] == "released":
                assert "only the service itself says this, when what halted the run was released" in answer.text
        asked = await client.post(
            path, json={"order": {"kind": "resume", "because": "operator"}, "reason": "It is over."}
        )
        assert asked.json()["detail"] == "There is no such run."
    async with office.db.tenant(TENANT) as cursor:
        await cursor.execute("select count(*) as kept from commands")
        assert await cursor.fetchone() == {"kept": 0}
