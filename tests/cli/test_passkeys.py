"""Passkeys from the command line: listed, removed when lost, and what they signed verified far from the form."""

import asyncio
import json

import httpx
import psycopg
import pytest

from cli.main import run
from settings import Settings
from store.approvals import StoredRequest
from tests.approvals.authenticator import Authenticator
from tests.approvals.conftest import sign_in
from tests.approvals.passkey_scene import arm, challenge, decided, decision
from tests.approvals.scene import FRED, TWO_FINANCE
from tests.cli.test_approvals import asked, settings
from tests.conftest import DatabaseAddresses

__all__ = ["settings"]

pytestmark = pytest.mark.req("A4")


async def approved_by_browser(settings: Settings, request: StoredRequest) -> None:
    key = Authenticator(origin=settings.web_url.replace("127.0.0.1", "localhost"))
    headers = {"origin": settings.web_url, "sec-fetch-site": "same-origin"}
    async with httpx.AsyncClient(base_url=settings.web_url, headers=headers, trust_env=False) as client:
        await sign_in(client, FRED)
        await arm(client, FRED, key)
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
