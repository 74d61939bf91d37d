"""An approvals application in the test's own loop, on a real Postgres, and HTTP clients that behave as browsers do."""

import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from approvals.app import create_app
from approvals.assets import Assets
from settings import Settings
from store import passwords
from store.database import Database
from tests.approvals.scene import EVE, FIONA, FRED, LENA, PASSWORD, VERA, Person, add_people, settings_for
from tests.conftest import DatabaseAddresses

ORIGIN = "http://127.0.0.1:8400"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_SEEN = re.compile(r'name="seen" value="(sha256:[0-9a-f]{64})"')


@dataclass
class Office:
    """A running approvals application and its database."""

    settings: Settings
    db: Database
    app: Any

    def visitor(self, **headers: str) -> httpx.AsyncClient:
        """A browser's worth of client: its own cookies, and the headers that browsers send with our forms."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=("127.0.0.1", 5)),
            base_url=ORIGIN,
            headers={"origin": ORIGIN, "sec-fetch-site": "same-origin", **headers},
        )

    @asynccontextmanager
    async def signed_in(self, who: Person) -> AsyncGenerator[httpx.AsyncClient]:
        """The same, signed in."""
        async with self.visitor() as client:
            answer = await sign_in(client, who)
            assert answer.status_code == 303, answer.text
            yield client


async def sign_in(client: httpx.AsyncClient, who: Person, password: str = PASSWORD, **more: str) -> httpx.Response:
    """Post the sign-in form."""
    return await client.post("/sign-in", data={**form_of(who), "password": password, **more})


def form_of(who: Person) -> dict[str, str]:
    """What the person types to sign in."""
    return {"tenant": who.tenant, "username": who.username, "password": PASSWORD}


async def csrf_of(client: httpx.AsyncClient) -> str:
    """The token that the session's forms carry."""
    found = _CSRF.search((await client.get("/requests")).text)
    assert found is not None
    return found[1]


async def form_on(client: httpx.AsyncClient, address: str) -> dict[str, str]:
    """The hidden fields of a page's forms that are the same in all of them."""
    return hidden_in((await client.get(address)).text)


def hidden_in(page: str) -> dict[str, str]:
    """The same of a page that is at hand."""
    csrf, seen = _CSRF.search(page), _SEEN.search(page)
    assert csrf is not None
    return {"csrf": csrf[1], "seen": seen[1] if seen else ""}


@asynccontextmanager
async def office_at(settings: Settings) -> AsyncGenerator[Office]:
    """An application, started and stopped as its process does."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        Database(settings.database_address(), role=settings.database_role) as db,
    ):
        yield Office(settings=settings, db=db, app=app)


@pytest.fixture(scope="session", autouse=True)
def nobodys_password() -> Iterator[None]:
    """Of nobody too: an unknown user is refused because there is none, not because the password is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_nobody", lambda: passwords.hash_password(PASSWORD))
        yield


@pytest.fixture(scope="session", autouse=True)
def templates_compiled_once() -> Iterator[None]:
    """Every application has the same: compiling them takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("approvals.app.Assets", cache(Assets))
        yield


@pytest.fixture
def empty_database(module_database: DatabaseAddresses) -> DatabaseAddresses:
    """The module's database without the rows of other tests: quicker than one for each."""
    with psycopg.connect(module_database.owner_url, autocommit=True) as connection:
        connection.execute(
            "truncate accounts, sessions, approval_requests, approval_terms, votes, vote_keys, seen_pages, api_tokens,"
            " standing_approvals, delegations, device_sign_ins, session_changes, passkeys, passkey_challenges,"
            " passkey_events, vote_assertions"
        )
    return module_database


@pytest.fixture
def owner(empty_database: DatabaseAddresses) -> Iterator[psycopg.Connection]:
    """Whoever owns the tables may move the times in them."""
    with psycopg.connect(empty_database.owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def office(
    empty_database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncGenerator[Office]:
    """An office with people in it, whose Temporal server is down."""
    settings = settings_for(empty_database.url, tmp_path / "office", temporal_address=f"127.0.0.1:{free_port()}")
    async with office_at(settings) as found:
        await add_people(found.db, LENA, FRED, FIONA, VERA, EVE)
        yield found
