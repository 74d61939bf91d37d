"""`countersign agent` as somebody who writes their first agent meets it."""

import json
from pathlib import Path

import pytest

from activities.services import Services
from cli.main import run
from settings import get_settings
from tests.agents.desk import Desk, loaded, write_keys
from tests.conftest import DatabaseAddresses
from tests.examples.server import Server


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "agents"
    root.mkdir()
    monkeypatch.setenv("COUNTERSIGN_AGENTS_DIR", str(root))
    return root


def test_new_writes_a_folder_that_passes_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "new", "invoice_check", "--owner", "billing"]) == 0
    said = capsys.readouterr().out
    assert "invoice_check passes its check" in said
    assert "countersign agent check invoice_check" in said
    assert run(["agent", "check", "invoice_check"]) == 0
    assert capsys.readouterr().out == "invoice_check: ok\n"


async def test_the_new_agent_does_its_job(root: Path, tmp_path: Path) -> None:
    run(["agent", "new", "invoice_check"])
    issuer, jwks = write_keys(tmp_path)
    with Server(tmp_path, str(jwks)) as backoffice:
        services = Services({"backoffice": backoffice.url})
        desk = Desk(*loaded("invoice_check", root), services, issuer)
        day = await desk.work("TIC-2004")
        assert day.decisions() == [("invoice_check.read_ticket", "allow"), ("invoice_check.draft_reply", "allow")]
        assert day.finish
        assert day.finish.result == "done"
        assert [draft["ticket_id"] for draft in backoffice.books()["drafts"]] == ["TIC-2004"]
        await services.close()


@pytest.mark.parametrize("name", ["Bad", "9lives", "a", "with-dash", "class", "x" * 32, "../up", "a/b", ""])
def test_new_refuses_a_name_that_cannot_be_one(root: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(["agent", "new", name]) == 2
    assert "cannot be an agent's name" in capsys.readouterr().err
    assert list(root.iterdir()) == []


def test_new_refuses_an_owner_that_would_break_the_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "new", "invoice_check", "--owner", 'me", scopes=("all']) == 2
    assert "cannot be an owner" in capsys.readouterr().err
    assert list(root.iterdir()) == []


def test_new_never_writes_over_a_folder(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "invoice_check").mkdir()
    assert run(["agent", "new", "invoice_check"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list((root / "invoice_check").iterdir()) == []


def test_check_exits_with_1_and_names_file_and_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "new", "invoice_check"])
    file = root / "invoice_check" / "agent.yaml"
    file.write_text(file.read_text("utf-8").replace("version: 1", "versoin: 1"), "utf-8")
    capsys.readouterr()
    assert run(["agent", "check"]) == 1
    said = capsys.readouterr().out
    assert f"{file}:2: error: `versoin` is not a known name [yaml-schema]" in said
    assert "Did you mean `version`?" in said
    assert "invoice_check: 1 error, 0 warnings" in said
    assert run(["agent", "check", "--json"]) == 1
    assert [(row["line"], row["rule"]) for row in json.loads(capsys.readouterr().out)] == [(2, "yaml-schema")]


def test_a_warning_alone_is_no_failure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "new", "invoice_check"])
    (root / "invoice_check" / "cases.yaml").unlink()
    assert run(["agent", "check"]) == 0
    assert "warning: cases.yaml is missing" in capsys.readouterr().out


@pytest.mark.req("A4")
def test_check_warns_of_an_owner_whom_nobody_is(
    root: Path, database: DatabaseAddresses, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["agent", "new", "invoice_check", "--owner", "Billing"])
    assert run(["agent", "check"]) == 0
    said = capsys.readouterr()
    assert "not checked: whether anybody is an agent's owner. no database is known" in said.err

    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_PASSWORD", "a long enough password")
    get_settings.cache_clear()
    assert run(["agent", "check"]) == 0, "what was written a moment ago passes"
    said = capsys.readouterr()
    assert f"{root}/invoice_check/agent.yaml:3: warning: `Billing` is nobody in acme, no person or group" in said.out
    assert said.err == ""
    assert run(["approvals", "account", "add", "bill", "--group", "billing"]) == 0
    capsys.readouterr()
    assert run(["agent", "check"]) == 0
    assert "nobody" not in capsys.readouterr().out, "a group by then, however it is spelt"


def test_check_of_an_unknown_agent_says_what_there_is(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "check", "nobody"]) == 2
    assert "no folder nobody" in capsys.readouterr().err


def test_check_of_an_empty_root_says_how_to_begin(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", "check"]) == 0
    assert "`countersign agent new NAME` makes one" in capsys.readouterr().out


def test_list_tells_agents_that_run_from_broken_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["agent", "new", "good"])
    run(["agent", "new", "worse"])
    (root / "worse" / "tools.py").write_text("import nothing_of_that_name", "utf-8")
    capsys.readouterr()
    assert run(["agent", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["state"], row["errors"]) for row in rows] == [("good", "ok", 0), ("worse", "broken", 1)]
    assert run(["agent", "list"]) == 0
    assert "`countersign agent check worse` says why" in capsys.readouterr().out
