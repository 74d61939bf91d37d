"""`status`, `down`, `doctor` and `config` without and with a stack."""

import json
import stat
from pathlib import Path
from typing import cast

import pytest

from settings import Settings
from settings.load import load_settings
from tests.cli.test_main import countersign
from tests.conftest import DatabaseAddresses
from workers.embedded.keys import make_keys

Rows = list[dict[str, str]]


def checks(output: str) -> dict[str, dict[str, str]]:
    """By name; of several of one name the first."""
    return {row["name"]: row for row in reversed(cast("Rows", json.loads(output)))}


def test_status_without_a_stack_says_how_to_start_one() -> None:
    done = countersign("status")
    assert done.returncode == 1
    assert done.stdout.endswith("Start the stack with `countersign up`.\n")
    assert json.loads(countersign("status", "--json").stdout)["state"] == "stopped"


def test_down_without_a_stack_is_fine() -> None:
    done = countersign("down")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing runs" in done.stdout


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach")])
def test_a_state_folder_that_cannot_be_made_is_said_in_one_line(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR", str(file / "state"))
    done = countersign(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: the state folder {file / 'state'} cannot be written: ")
    assert "COUNTERSIGN_STATE_DIR" in done.stderr
    assert done.stderr.count("\n") == 1


def test_config_describes_every_setting_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    rows = cast("Rows", json.loads(countersign("config", "--json").stdout))
    assert [row["name"] for row in rows] == list(Settings.model_fields)
    text = countersign("config").stdout
    assert "hunter2" not in text + str(rows)
    assert all(row["variables"][0] in text and row["meaning"] in text for row in rows)


def test_doctor_before_the_first_start_finds_no_error() -> None:
    done = countersign("doctor", "--json")
    found = checks(done.stdout)
    assert done.returncode == 0, found
    assert found["database"]["outcome"] == "warning"
    assert "countersign up" in found["database"]["advice"]
    assert "scripted" in found["model"]["found"]
    assert found["model map"]["found"] == "route, small, mid, large: each with a price and a version"


def test_doctor_looks_into_the_servers(
    database: DatabaseAddresses, temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("COUNTERSIGN_MIGRATION_DATABASE_URL", database.owner_url)
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", temporal_address)
    done = countersign("doctor", "--json")
    found = checks(done.stdout)
    assert done.returncode == 0, found
    names = ("database", "database role", "migrations", "clock", "temporal", "retention", "search attributes")
    assert {name: found[name]["outcome"] for name in names} == dict.fromkeys(names, "ok")


def test_doctor_finds_what_is_wrong_and_says_what_to_do(
    database: DatabaseAddresses, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calendars = tmp_path / "calendars.yaml"
    calendars.write_text(
        "calendars:\n  office: {time_zone: UTC, hours: {mon-fri: '09:00-17:00'}}\n"
        "tenants:\n  acme: {groups: {bookkeeping: office}}\n"
    )
    monkeypatch.setenv("COUNTERSIGN_CALENDARS_FILE", str(calendars))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("COUNTERSIGN_DATABASE_ROLE", "postgres")
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("COUNTERSIGN_MODEL_PROVIDER", "anthropic")
    monkeypatch.setenv("COUNTERSIGN_WEP_PORT", "1")
    models = tmp_path / "models.yaml"
    models.write_text(
        "mid: {anthropic: {model: claude-nobody-9-9}}\nsmall: {anthropic: {model: claude-haiku-4-5}}\n"
        "other: {openai: {model: nobody}}\n"
    )
    monkeypatch.setenv("COUNTERSIGN_MODELS_FILE", str(models))
    make_keys(load_settings(), ["support-tickets"], print)
    load_settings().vote_key_file.chmod(0o644)
    done = countersign("doctor", "--json")
    found = checks(done.stdout)
    assert done.returncode == 1
    errors = {name for name, row in found.items() if row["outcome"] == "error"}
    assert errors == {"database role", "migrations", "temporal", "model", "model map", "keys", "calendars"}
    asked = "the ladder asks no such group, only finance, support-leads"
    assert found["calendars"]["found"] == f"{calendars}:4: tenants.acme.groups.bookkeeping: {asked}"
    assert "COUNTERSIGN_WEP_PORT" in found["settings"]["found"]
    mapped = [
        (row["outcome"], row["found"].split(",")[0]) for row in json.loads(done.stdout) if row["name"] == "model map"
    ]
    assert mapped == [
        ("error", "`mid` stands for claude-nobody-9-9 of anthropic"),
        ("warning", "`small` stands for claude-haiku-4-5 of anthropic"),
    ]
    assert all(row["advice"].endswith(".") for row in found.values() if row["outcome"] != "ok")
    assert countersign("doctor").stdout.count("\n") == len(json.loads(done.stdout)) + 1


def test_an_unreachable_database_is_one_check_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/none")
    done = countersign("doctor", "--json")
    assert done.returncode == 1
    assert checks(done.stdout)["database"]["outcome"] == "error"
    assert "hunter2" not in done.stdout


def test_keys_are_made_once_and_only_for_their_owner(tmp_path: Path) -> None:
    settings = load_settings()
    said: list[str] = []
    make_keys(settings, ["a"], said.append)
    files = sorted((settings.state_dir / "keys").iterdir())
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in files} == dict.fromkeys(
        (file.name for file in files), 0o600
    )
    before = {file.name: file.read_bytes() for file in files}
    first = json.loads(settings.endpoint_secrets_file.read_bytes())["a"]
    make_keys(settings, ["a", "b"], said.append)
    assert {file.name: file.read_bytes() for file in files if file.name != "endpoints.json"} == {
        name: content for name, content in before.items() if name != "endpoints.json"
    }
    secrets = json.loads(settings.endpoint_secrets_file.read_bytes())
    assert secrets["a"] == first
    assert secrets["b"][0].startswith("whsec_")
    assert secrets["b"] != first
