"""`countersign tokens`, and the lists of approvals, as a person types them against a real form."""

import asyncio
import json

import httpx
import pytest

from cli.main import run
from settings import Settings
from store.database import Database
from tests.approvals.scene import TWO_FINANCE, Person, add_people
from tests.cli import test_approvals
from tests.cli.test_approvals import asked

pytestmark = pytest.mark.req("I6", "I9", "A2")
settings = test_approvals.settings  # the fixture of a running form
ADA = Person("ada", ("support-leads",), roles=("view", "approve", "administer"))


@pytest.fixture
def office(settings: Settings) -> Settings:
    async def people() -> None:
        async with Database(settings.database_address(), role=settings.database_role) as database:
            await add_people(database, ADA)

    asyncio.run(people())
    return settings


def test_a_token_is_printed_once_listed_and_revoked(office: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    make = ["tokens", "create", "a wallboard", "--scope", "requests:read", "--as", "acme/ada"]
    assert run(make) == 0
    made = capsys.readouterr()
    token = made.out.strip()
    assert token.startswith("cst_acme.")
    assert "secret" in made.err
    assert token not in made.err
    headers = {"authorization": f"Bearer {token}"}
    address = f"{office.web_url}/api/approvals?scope=all"
    assert httpx.get(address, headers=headers, trust_env=False).status_code == 200
    assert run(["tokens", "list", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert (kept["state"], kept["scopes"], token in str(kept)) == ("active", ["requests:read"], False)
    assert run(["tokens", "list"]) == 0
    assert "a wallboard" in capsys.readouterr().out
    assert run(["tokens", "revoke", kept["token_id"], "--reason", "it is gone"]) == 0
    assert httpx.get(address, headers=headers, trust_env=False).status_code == 401
    assert run(["tokens", "revoke", "tok-" + "a" * 26, "--reason", "never was"]) == 2
    assert run(["tokens", "create", "a wallboard", "--scope", "approve"]) == 2
    assert run([*make[:-1], "acme/lena"]) == 2
    assert "no role administer" in capsys.readouterr().err


def test_lists_are_searched_ordered_and_paged(office: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    small = asked(office, "small", money_minor=100)
    large = asked(office, "large", money_minor=90_000)
    asked(office, "of finance", requirement=TWO_FINANCE, resource_id="ord_7")
    ada = ("--as", "acme/ada", "--json")
    assert run(["approvals", "list", "--sort", "risk", "--limit", "1", *ada]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [line["request_id"] for line in first["lines"]] == [large.request_id]
    assert run(["approvals", "list", "--sort", "risk", "--limit", "1", "--after", first["next"], *ada]) == 0
    second = json.loads(capsys.readouterr().out)
    assert [line["request_id"] for line in second["lines"]] == [small.request_id]
    assert run(["approvals", "list", "--sort", "risk", "--before", second["previous"], *ada]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == first["lines"]
    assert run(["approvals", "list", "--scope", "all", "--search", "ord_7", "--as", "acme/ada"]) == 0
    assert capsys.readouterr().out.count("apr-") == 1
    assert run(["approvals", "list", "--search", "sofa"]) == 0
    assert "nothing matches" in capsys.readouterr().out
    assert run(["approvals", "list", "--after", "x", "--before", "y"]) == 2
    assert run(["approvals", "deny", small.request_id, "--reason", "not ours", "--as", "acme/ada"]) == 0
    assert run(["approvals", "decisions"]) == 0
    assert "not ours" in capsys.readouterr().out
    assert run(["approvals", "decisions", "--all", "--verdict", "approve"]) == 0
    assert "no such decision" in capsys.readouterr().out
