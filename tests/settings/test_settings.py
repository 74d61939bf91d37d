"""Where settings come from, in which order, and that secrets stay secret."""

import json
from pathlib import Path

import pytest

from settings import Settings, SettingsError, get_settings
from settings.describe import describe, unknown_variables
from settings.environment import SECRETS, child_environment, plain_names
from settings.load import load_settings
from settings.providers import choose_provider

STANDARD = ("DATABASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own: an empty `.env` and state folder."""
    for name in STANDARD:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COUNTERSIGN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COUNTERSIGN_ENV_FILE", str(tmp_path / ".env"))
    return tmp_path


def write_stack(place: Path, ports: dict[str, int] | None = None, **values: object) -> None:
    (place / "stack.json").write_text(json.dumps({"settings": values, "ports": ports or {}}))


def test_defaults_need_nothing(place: Path) -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert settings.services["backoffice"].url == "http://127.0.0.1:8402"
    assert settings.vote_key_file == place / "keys" / "vote.jwk"


def test_a_running_stack_says_where_its_servers_listen(place: Path) -> None:
    write_stack(place, {"web_port": 8500}, temporal_address="127.0.0.1:7300", database_url="postgresql://a@/b?host=/c")
    settings = load_settings()
    assert settings.temporal_address == "127.0.0.1:7300"
    assert settings.web_url == "http://127.0.0.1:8500"
    assert settings.database_address() == "postgresql://a@/b?host=/c"


def test_each_source_gives_way_to_a_stronger_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stack(place, database_url="postgresql://stack/x")
    assert load_settings().database_address() == "postgresql://stack/x"
    (place / ".env").write_text("DATABASE_URL=postgresql://file-standard/x\n")
    assert load_settings().database_address() == "postgresql://file-standard/x"
    (place / ".env").write_text("COUNTERSIGN_DATABASE_URL=postgresql://file/x\nDATABASE_URL=postgresql://no/x\n")
    assert load_settings().database_address() == "postgresql://file/x"
    monkeypatch.setenv("DATABASE_URL", "postgresql://standard/x")
    assert load_settings().database_address() == "postgresql://standard/x"
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", "postgresql://ours/x")
    assert load_settings().database_address() == "postgresql://ours/x"


def test_a_secret_may_stand_in_a_file_of_its_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place / "run-secrets"
    folder.mkdir()
    monkeypatch.setenv("COUNTERSIGN_SECRETS_DIR", str(folder))
    (place / ".env").write_text("DATABASE_URL=postgresql://file/x\nOPENAI_API_KEY=from-file\n")
    (folder / "countersign_database_url").write_text("postgresql://me:hunter2@secret/x\n")
    (folder / "countersign_openai_api_key").write_text("\n")
    settings = load_settings()
    assert settings.database_address() == "postgresql://me:hunter2@secret/x"
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "from-file"
    rows = {row.name: row for row in describe(settings)}
    assert rows["database_url"].source == "secrets folder COUNTERSIGN_DATABASE_URL"
    assert "hunter2" not in str(rows)
    assert unknown_variables() == ()
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/x")
    assert load_settings().database_address() == "postgresql://environment/x"


def test_a_port_in_use_beats_the_port_that_was_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_WEB_PORT", "8400")
    write_stack(place, {"web_port": 8404})
    assert load_settings().web_port == 8404
    assert Settings(web_port=9000).web_port == 9000


def test_other_programs_may_share_the_env_file(place: Path) -> None:
    (place / ".env").write_text("SOMETHING_ELSE=1\nCOUNTERSIGN_WEB_PORT=9000\nCOUNTERSIGN_WEP_PORT=9001\n")
    assert load_settings().web_port == 9000
    assert unknown_variables() == ("COUNTERSIGN_WEP_PORT",)


def test_empty_variables_count_as_unset(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "")
    assert load_settings().openai_api_key is None
    assert load_settings().temporal_address is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COUNTERSIGN_WEB_PORT", "seventy"),
        ("COUNTERSIGN_DATABASE_URL", "mysql://me:hunter2@db/x"),
        ("COUNTERSIGN_MODEL_PROVIDER", "hunter2"),
        ("COUNTERSIGN_SERVICES", '{"backoffice": "hunter2"}'),
        ("COUNTERSIGN_SERVICES", "hunter2 is no json"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable_and_not_the_value(
    place: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert variable.removeprefix("COUNTERSIGN_").lower() in message.lower()
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_damaged_stack_file_says_what_to_do(place: Path) -> None:
    (place / "stack.json").write_text("{")
    with pytest.raises(SettingsError, match="Remove it"):
        load_settings()


def test_no_database_says_what_to_do(place: Path) -> None:
    with pytest.raises(SettingsError, match="countersign up"):
        load_settings().database_address()


def test_settings_are_read_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    first = get_settings()
    monkeypatch.setenv("COUNTERSIGN_WEB_PORT", "9000")
    assert get_settings() is first
    get_settings.cache_clear()
    assert get_settings().web_port == 9000
    get_settings.cache_clear()


def test_every_setting_is_described_and_no_secret_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db:5432/x")
    (place / ".env").write_text("COUNTERSIGN_WEB_PORT=9000\n")
    rows = {row.name: row for row in describe(load_settings())}
    assert set(rows) == set(Settings.model_fields)
    assert [row.name for row in rows.values() if not row.meaning.endswith(".") and ")" not in row.meaning] == []
    assert "hunter2" not in str(rows)
    assert rows["database_url"].value == "postgresql://me:***@db:5432/x"
    assert rows["openai_api_key"].source == "environment OPENAI_API_KEY"
    assert rows["web_port"].source == ".env COUNTERSIGN_WEB_PORT"
    assert rows["intake_port"].source == "default"
    assert rows["temporal_api_key"].type == "secret or none"


def test_a_child_gets_only_what_is_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    settings = load_settings()
    plain = child_environment(settings, plain_names())
    assert "hunter2" not in str(plain)
    assert "COUNTERSIGN_VOTE_KEY_FILE" not in plain
    given = child_environment(settings, (*plain_names(), "openai_api_key"))
    assert given["COUNTERSIGN_OPENAI_API_KEY"] == "sk-hunter2"


def test_a_child_reads_back_the_same_settings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_TLS", "true")
    settings = load_settings()
    for name, value in child_environment(settings, Settings.model_fields).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert load_settings() == settings


def test_secrets_are_settings() -> None:
    assert set(Settings.model_fields) >= SECRETS


@pytest.mark.parametrize(
    ("variables", "provider"),
    [
        ({}, "scripted"),
        ({"OPENAI_API_KEY": "k"}, "openai"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://localhost:1/v1"}, "compatible"),
        ({"OPENAI_API_KEY": "k", "COUNTERSIGN_MODEL_PROVIDER": "scripted"}, "scripted"),
    ],
)
def test_provider_follows_from_what_is_set(
    place: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], provider: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    choice = choose_provider(load_settings())
    assert (choice.provider, choice.missing) == (provider, None)


def test_a_provider_without_its_key_says_what_to_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_MODEL_PROVIDER", "anthropic")
    assert "ANTHROPIC_API_KEY" in (choose_provider(load_settings()).missing or "")
