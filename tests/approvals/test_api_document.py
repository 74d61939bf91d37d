"""The API does what its OpenAPI document says: generated requests, good and bad, against the real process."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from settings.environment import child_environment, plain_names
from store.accounts import ROLES
from store.database import Database
from tests.approvals.conftest import Office, form_of
from tests.approvals.scene import Person, add_people, ask, settings_for
from tests.conftest import DatabaseAddresses

pytestmark = pytest.mark.req("A1", "S6")
ALL = Person("all", ("support-leads", "finance"), roles=ROLES)
START_LIMIT_S = 60
BEFORE_SIGN_IN = {"/api/sign-in", "/api/device/code", "/api/device/token"}
_CONFIG = """
headers = {{ Authorization = "Bearer {token}" }}
parameters = {{ "path.request_id" = "{request_id}" }}
[generation]
database = "none"
[[operations]] # it would end the session of all the others
include-name = "POST /api/sign-out"
enabled = false
[[operations]] # codes are known by whoever asked for them, and scopes are words between spaces
include-name = ["POST /api/device/code", "POST /api/device/token"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "422", "429"]
[[operations]] # rules over two fields, which a schema cannot say; and a cursor is known by whoever made it
include-name = ["GET /api/approvals", "GET /api/decisions", "POST /api/stop",
    "POST /api/approvals/{{request_id}}/decision"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "422"]
"""


async def test_every_route_is_described_with_every_way_it_refuses(office: Office) -> None:
    async with office.visitor() as client:
        document: dict[str, Any] = (await client.get("/api/openapi.json")).json()
    listed = [context.original_route for context in iter_route_contexts(office.app.routes)]
    routes = [route for route in listed if isinstance(route, APIRoute) and route.path.startswith("/api/")]
    assert {route.path for route in routes} == set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            said = (method, path, sorted(operation["responses"]))
            assert operation["description"], said
            assert {"421", "503"} <= set(operation["responses"]), said
            assert path in BEFORE_SIGN_IN or {"401"} <= set(operation["responses"]), said
            assert (path in BEFORE_SIGN_IN) is ("security" not in operation), said
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], said
    decide = document["paths"]["/api/approvals/{request_id}/decision"]["post"]
    assert "machine" not in decide["description"].partition("A person with the role")[2]
    assert len(json.dumps(document)) < 200_000


async def test_problems_are_one_kind_of_document(office: Office) -> None:
    async with office.visitor() as client:
        answers = {
            401: await client.get("/api/me"),
            404: await client.get("/api/nothing"),
            405: await client.delete("/api/stop"),
            413: await client.post("/api/sign-in", content=b"x" * 100_000),
            421: await client.get("/api/me", headers={"host": "evil.test"}),
            422: await client.post("/api/sign-in", json={"tenant": 7}),
        }
    for status, answer in answers.items():
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        body = answer.json()
        assert (body["status"], set(body)) == (status, {"type", "title", "status", "detail", "errors"})
    assert answers[405].headers["allow"] == "GET, POST"
    assert {mistake["where"] for mistake in answers[422].json()["errors"]} >= {"body.tenant", "body.password"}


def until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait for a process that is starting."""
    until_s = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < until_s:
        try:
            if httpx.get(f"{address}/readyz", trust_env=False).text == "ready\n":
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the approvals process did not start")


@contextmanager
def serving(url: str, folder: Path, port: int) -> Generator[str]:
    """The real process with a request and somebody who may do everything: the configuration of a run against it."""
    settings = settings_for(url, folder, port=port)

    async def seed() -> str:
        async with Database(url, role=settings.database_role) as database:
            await add_people(database, ALL)
            return (await ask(database)).request_id

    request_id = asyncio.run(seed())
    environment = child_environment(settings, [*plain_names(), "database_url", "vote_key_file", "session_secret_file"])
    with subprocess.Popen([sys.executable, "-m", "approvals"], env=environment, cwd=Path.cwd()) as process:
        try:
            until_ready(process, settings.web_url)
            signed_in = httpx.post(f"{settings.web_url}/api/sign-in", json=form_of(ALL), trust_env=False).json()
            yield _CONFIG.format(token=signed_in["token"], request_id=request_id)
        finally:
            process.terminate()


def run_against(database: DatabaseAddresses, folder: Path, port: int, *arguments: str) -> None:
    """Let Schemathesis try everything it knows; it says what it found and how to see it again."""
    with serving(database.url, folder / "office", port) as config:
        (folder / "schemathesis.toml").write_text(config)
        command = [str(Path(sys.executable).parent / "st"), "--config-file", str(folder / "schemathesis.toml")]
        address = f"http://127.0.0.1:{port}/api/openapi.json"
        done = subprocess.run(
            [*command, "run", address, "--checks", "all", "--continue-on-failure", "--no-color", *arguments],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    assert "Tested: " in done.stdout


def test_a_few_generated_requests_are_answered_as_described(
    database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    few = ("--phases", "examples,fuzzing", "--max-examples", "1", "--seed", "4")
    run_against(database, tmp_path, free_port(), *few)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_thousands_of_generated_requests_are_answered_as_described(
    database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    run_against(database, tmp_path, free_port(), "--max-examples", "100")
