"""`countersign approvals` as a person types it, against a real form."""

import asyncio
import json
import re
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn

from approvals.app import create_app
from approvals.words import TIERS
from cli.main import run
from contracts.decision import Requirement
from settings import Settings, get_settings
from store.approvals import StoredRequest
from store.database import Database
from tests.approvals.scene import FIONA, FRED, LENA, ONE_LEAD, PASSWORD, TWO_FINANCE, add_people, ask, settings_for
from tests.conftest import DatabaseAddresses

START_LIMIT_S = 20


@pytest.fixture
def settings(
    database: DatabaseAddresses, tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """A form on its own port, and the environment of a person at the same installation."""
    folder = tmp_path / "office"
    port = free_port()
    found = settings_for(database.url, folder, port=port, temporal_address=f"127.0.0.1:{free_port()}")
    for name, value in (
        ("STATE_DIR", str(folder)), ("WEB_PORT", str(port)), ("DATABASE_URL", database.url), ("PASSWORD", PASSWORD)
    ):  # fmt: skip
        monkeypatch.setenv(f"COUNTERSIGN_{name}", value)
    get_settings.cache_clear()
    server = uvicorn.Server(uvicorn.Config(create_app(found), port=port, log_level="error"))
    thread = Thread(target=server.run)
    thread.start()
    asyncio.run(_people(found))
    yield found
    server.should_exit = True
    thread.join(START_LIMIT_S)


async def _people(settings: Settings) -> None:
    async with Database(settings.database_address(), role=settings.database_role) as db:
        await add_people(db, LENA, FRED, FIONA)


def asked(
    settings: Settings,
    name: str = "1",
    *,
    requirement: Requirement = ONE_LEAD,
    **changes: Any,  # noqa: ANN401 - any field of the view
) -> StoredRequest:
    async def opened() -> StoredRequest:
        async with Database(settings.database_address(), role=settings.database_role) as db:
            return await ask(db, name, requirement=requirement, **changes)

    return asyncio.run(opened())


def test_a_person_lists_shows_and_approves(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    request = asked(settings, model_reason="fine\x1b[2J\u202e")
    assert run(["approvals", "list", "--as", "acme/lena"]) == 0
    listing = capsys.readouterr().out
    assert request.request_id in listing
    assert "EUR 480.00" in listing
    kept = settings.state_dir / "cli-session.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    assert run(["approvals", "show", request.request_id]) == 0  # as whoever signed in last
    page = capsys.readouterr().out
    for text in ("Refund an order", "CANNOT BE UNDONE", "untrusted text", "not verified", request.digest, "U+001B"):
        assert text in page
    assert "\x1b[2J" not in page
    first = page.splitlines()[0]
    assert first == f"{request.request_id}  open  tier 3, high impact: {TIERS[3][1]}", "no line is folded in a pipe"

    assert run(["approvals", "approve", request.request_id, "--yes"]) == 0
    assert "signed and stored" in capsys.readouterr().out
    assert run(["approvals", "approve", request.request_id, "--yes"]) == 0
    assert "your earlier approval stands" in capsys.readouterr().out


def test_the_same_checks_hold_as_in_the_form(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    request = asked(settings)
    both = asked(settings, "2", requirement=TWO_FINANCE, tier=4)
    other = "sha256:" + "0" * 64
    for arguments, said in (
        (["approve", request.request_id, "--as", "acme/fred", "--yes"], "None of your groups is needed"),
        (["approve", request.request_id, "--as", "acme/lena", "--yes", "--digest", other], "not what would run"),
        (["deny", request.request_id, "--reason", "no", "--as", "acme/lena"], "Say why"),
        (["approve", both.request_id, "--as", "acme/fred", "--yes"], "Say why"),
    ):
        assert run(["approvals", *arguments]) == 1
        assert said in capsys.readouterr().out
    assert run(["approvals", "approve", both.request_id, "--yes", "--reason", "bank called back", "--json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert (reply["outcome"], reply["vote"]["reason"]) == ("decided", "bank called back")
    assert run(["approvals", "deny", request.request_id, "--reason", "wrong order", "--as", "acme/lena"]) == 0


def test_mistakes_are_one_line_that_says_what_to_do(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "apr-" + "a" * 26
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", "not the password")
    for arguments, said in (
        (["list"], "--as USER"),
        (["list", "--as", "acme/lena"], "password is not right"),
        (["show", missing, "--as", "acme/nobody"], "password is not right"),
    ):
        assert run(["approvals", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", PASSWORD)
    assert run(["approvals", "show", missing, "--as", "acme/lena"]) == 2
    assert "There is no such request" in capsys.readouterr().err
    monkeypatch.setenv("COUNTERSIGN_WEB_URL", "http://127.0.0.1:1")
    assert run(["approvals", "list", "--as", "acme/lena"]) == 2
    assert "does not answer" in capsys.readouterr().err


def test_a_session_that_is_over_is_renewed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["approvals", "list", "--as", "acme/lena"]) == 0
    kept = settings.state_dir / "cli-session.json"
    kept.write_text(re.sub(r'"acme\.[^"]+"', '"acme.' + "x" * 43 + '"', kept.read_text()))
    assert run(["approvals", "list"]) == 0


def test_the_operator_adds_lists_and_disables_accounts(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["approvals", "account", "add", "Mara", "--group", "finance", "--tenant", "acme"]
    assert run(add) == 0
    assert run(add) == 1
    assert run(["approvals", "list", "--as", "acme/mara"]) == 0
    assert run(["approvals", "account", "disable", "mara", "--tenant", "acme"]) == 0
    assert run(["approvals", "list"]) == 2
    capsys.readouterr()
    assert run(["approvals", "account", "list", "--tenant", "acme", "--json"]) == 0
    rows = {row["username"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["mara"]["disabled"], rows["mara"]["groups"]) == (True, ["finance"])
    assert "password_hash" not in rows["mara"]
    assert run(["approvals", "account", "add", "x", "--role", "king", "--tenant", "acme"]) == 2
    said = capsys.readouterr().err
    assert said == "error: king: no such role. There are view, approve, kill, undo, administer.\n"
    assert run(["approvals", "account", "disable", "nobody", "--tenant", "acme"]) == 1


def test_a_group_that_nobody_asks_is_refused(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["approvals", "account", "add", "Mara", "--tenant", "acme", "--group", "finance", "--group"]
    assert run([*add, "fnance"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: fnance: no request is ever put to such a group.")
    assert "support-leads, finance" in said
    assert run([*add, "payments-oncall"]) == 0, "a group may own an agent: its members may not decide its runs"


@pytest.mark.req("A5")
def test_a_person_edits_asks_and_hands_over(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    edited, asked_back, taken = (asked(settings, name) for name in "123")
    as_lena = ["--as", "acme/lena"]
    wrong = ["edit", edited.request_id, "--set", "amount_minor=-5", "--reason", "Half is fair", "--yes", *as_lena]
    assert run(["approvals", *wrong]) == 1
    assert "amount_minor: Must be at least 1." in capsys.readouterr().out
    right = ["edit", edited.request_id, "--set", "amount_minor=20000", "--reason", "Half is fair", "--yes", "--json"]
    assert run(["approvals", *right]) == 0
    assert json.loads(capsys.readouterr().out)["vote"]["verdict"] == "edit"
    assert run(["approvals", "edit", asked_back.request_id, "--set", "amount=1", "--reason", "x", "--yes"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err
    assert run(["approvals", "ask", asked_back.request_id, "--question", "Was it insured?"]) == 0
    assert "your question is signed and stored" in capsys.readouterr().out
    assert run(["approvals", "hand-over", taken.request_id, "--reason", "I know this customer"]) == 0
    assert "your hand-over is signed and stored" in capsys.readouterr().out


@pytest.mark.req("A6")
def test_a_delegate_decides_in_place_of_who_is_away(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    request = asked(settings)
    last_day = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    decide = ["approvals", "approve", request.request_id, "--yes", "--as", "acme/fred", "--json"]
    assert run([*decide, "--for", "lena"]) == 2
    assert "lena has not named you, fred, their delegate" in capsys.readouterr().err
    named = ["approvals", "delegate", "add", "fred", "--as", "acme/lena", "--until", last_day, "--reason", "vacation"]
    assert run(named) == 0
    capsys.readouterr()
    assert run(decide) == 1, "not in his own name"
    assert "None of your groups is needed" in capsys.readouterr().out
    assert run([*decide, "--for", "Lena"]) == 0
    vote = json.loads(capsys.readouterr().out)["vote"]
    assert (vote["display_name"], vote["for_name"]) == ("Fred", "Lena")
    assert run(["approvals", "show", request.request_id, "--as", "acme/lena"]) == 0
    assert "Fred for Lena: approve" in capsys.readouterr().out
