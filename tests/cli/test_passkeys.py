"""Passkeys from the command line: listed, removed when lost, and what they signed verified far from the form."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import psycopg
import pytest
from psycopg import sql

from cli.main import run
from cli.session_file import KeptSession, SessionFile
from settings import Settings
from settings.tenants import load_tenants
from store.agents import ensure_agent_states
from store.approvals import StoredRequest
from store.database import Database
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import sign_in
from tests.approvals.passkey_scene import arm, challenge, decided, decision
from tests.approvals.scene import FRED, TWO_FINANCE
from tests.cli.test_approvals import asked, settings
from tests.conftest import DatabaseAddresses

__all__ = ["settings"]

pytestmark = pytest.mark.req("A4")


@asynccontextmanager
async def fred(settings: Settings, key: Authenticator) -> AsyncGenerator[httpx.AsyncClient]:
    """In his browser, with a passkey."""
    headers = {"origin": settings.web_url, "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(base_url=settings.web_url, headers=headers, trust_env=False) as client:
        await sign_in(client, FRED)
        await arm(client, FRED, key)
        yield client


def passkey_for(settings: Settings) -> Authenticator:
    return Authenticator(origin=settings.web_url.replace("127.0.0.1", "localhost"))


async def token_with_passkey(settings: Settings) -> str:
    async with fred(settings, passkey_for(settings)) as client:
        return client.cookies["countersign"]


async def approved_by_browser(settings: Settings, request: StoredRequest) -> None:
    key = passkey_for(settings)
    async with fred(settings, key) as client:
        form = await decision(client, request)
        answer = await decided(client, request, form, key.use(await challenge(client, request, form)))
        assert answer.is_redirect, answer.text


def test_an_operator_sees_verifies_and_removes(
    settings: Settings, database: DatabaseAddresses, capsys: pytest.CaptureFixture[str]
) -> None:
    request = asked(settings, tier=4, requirement=TWO_FINANCE)
    asyncio.run(approved_by_browser(settings, request))
    assert run(["approvals", "approve", request.request_id, "--as", "acme/fred", "--reason", "Again.", "--yes"]) == 2
    assert "you have a passkey" in capsys.readouterr().err
    assert run(["approvals", "assertions", request.request_id, "--as", "acme/lena"]) == 0
    assert "Fred (fred): approve" in capsys.readouterr().out
    assert run(["approvals", "account", "passkeys", "fred", "--tenant", "acme", "--json"]) == 0
    [line] = json.loads(capsys.readouterr().out)
    assert (line["name"], line["rp_id"]) == ("phone", "localhost")
    remove = ["approvals", "account", "remove-passkey", "fred", line["passkey_id"], "--tenant", "acme", "--reason"]
    assert run([*remove, "Phone lost."]) == 0
    assert run([*remove, "Again."]) == 1
    assert "has no passkey" in capsys.readouterr().err
    assert run(["approvals", "list", "--as", "acme/fred"]) == 0  # by password again
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute("alter table vote_assertions disable trigger user")
        connection.execute("update vote_assertions set body = replace(body, 'approve', 'deny')")
    capsys.readouterr()
    assert run(["approvals", "assertions", request.request_id, "--as", "acme/lena", "--json"]) == 1
    assert "not the one that the vote names" in capsys.readouterr().out


@pytest.mark.req("I4", "T5")
def test_who_has_a_passkey_opens_and_undoes_nothing_with_a_password_alone(
    settings: Settings, database: DatabaseAddresses, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(ensured(settings))
    assert run(["approvals", "account", "role", "fred", "approve", "kill", "undo"]) == 0
    as_fred = ["--as", "acme/fred", "--reason", "The refund queue is down."]
    open_it = ["break-glass", "request", "refunds-during-incident", *as_fred]
    take_back = ["undo", "run-" + "a" * 26, "--execute", *as_fred]
    assert run(open_it) == 0, "he has none yet"
    session = KeptSession(
        token=asyncio.run(token_with_passkey(settings)), tenant="acme", username="fred", display_name="Fred"
    )
    capsys.readouterr()
    for command in (open_it, take_back):
        assert run(command) == 1
        assert "a password is not enough: acme/fred has a passkey" in capsys.readouterr().err
    assert run(["kill", "agent", "support_refund", *as_fred]) == 0, "stopping waits for no form"
    SessionFile(settings).write(session)
    for command, said in ((open_it, "requested or open already"), (take_back, "there is no run")):
        assert run(command) == 1
        assert said in capsys.readouterr().err, "he has shown it a moment ago"
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        for weaker in ("multi_factor = false", "multi_factor = true, authenticated_at = now() - interval '16 minutes'"):
            connection.execute(sql.SQL("update sessions set ") + sql.SQL(weaker))
            assert run(open_it) == 1
            assert "a password is not enough" in capsys.readouterr().err


async def ensured(settings: Settings) -> None:
    async with Database(settings.database_address(), role=settings.database_role) as db:
        await ensure_agent_states(db, load_tenants(settings.tenants_file))
