"""Secrets by reference: followed when they are needed, and never shown."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from settings import SettingsError
from settings.load import load_settings
from settings.secret_references import COMMAND_TIMEOUT_S, MAX_BYTES, read_secret, referenced_variable
from settings.services import ServiceEntry, ServiceSecret, TokenExchange, referenced_secrets

pytestmark = pytest.mark.req("I5")

CANARY = "canary-4711-of-the-test"


def printing(code: str) -> str:
    return f'command:{sys.executable} -c "{code}"'


def test_each_kind_of_reference_finds_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", f" {CANARY}\n")
    (tmp_path / "secret").write_text(f"{CANARY}\n")
    for reference in (
        "env:SOME_SECRET", "file:secret", f"file:{tmp_path / 'secret'}", printing(f"print('{CANARY}')"),
    ):  # fmt: skip
        found = read_secret(reference, tmp_path)
        assert found.get_secret_value() == CANARY
        assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("env:NO_SUCH_SECRET", "NO_SUCH_SECRET is not set"),
        ("file:absent", "cannot be read"),
        ("file:empty", "empty is empty"),
        ("file:binary", "gives no text"),
        ("file:huge", f"more than {MAX_BYTES} bytes"),
        ("command:no-such-program-anywhere", "cannot be run"),
        ('command:printf "open', "open quotation"),
        ("command:true", "printed nothing"),
        (printing(f"import sys; print('{CANARY}', file=sys.stderr); print('{CANARY}'); sys.exit(3)"), "ended with 3"),
        ("vault:somewhere", "named as env:NAME"),
    ],
)
def test_what_cannot_be_had_is_said_without_showing_anything(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + CANARY.encode())
    (tmp_path / "huge").write_text(CANARY * MAX_BYTES)
    with pytest.raises(SettingsError, match=message) as told:
        read_secret(reference, tmp_path)
    assert CANARY not in str(told.value)


def test_a_command_gets_no_shell_and_no_secrets_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    found = read_secret(printing("import os; print(sorted(os.environ))"), tmp_path).get_secret_value()
    assert "OPENAI_API_KEY" not in found
    assert "COUNTERSIGN" not in found
    marker = tmp_path / "made-by-a-shell"
    assert read_secret(f"command:echo ; touch {marker}", tmp_path).get_secret_value() == f"; touch {marker}"
    assert not marker.exists()


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("settings.secret_references.COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(SettingsError, match="took longer") as told:
        read_secret(printing(f"print('{CANARY}', flush=True); import time; time.sleep(60)"), tmp_path)
    assert told.value.__cause__ is None
    assert COMMAND_TIMEOUT_S <= 30


def test_a_secret_setting_may_be_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", f"file:{tmp_path / 'key'}")
    monkeypatch.setenv("DATABASE_URL", printing("print('postgresql://a@b/c')"))
    settings = load_settings()
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == CANARY
    assert settings.database_address() == "postgresql://a@b/c"
    monkeypatch.setenv("OPENAI_API_KEY", f"file:{tmp_path / 'absent'}")
    with pytest.raises(SettingsError, match=r"OPENAI_API_KEY: .*cannot be read"):
        load_settings()


def test_services_may_be_addresses_or_say_their_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "COUNTERSIGN_SERVICES",
        """{"backoffice": "http://127.0.0.1:1",
            "crm": {"url": "https://crm.example", "credentials": {"kind": "secret", "secret": "env:CRM_KEY"}}}""",
    )
    services = load_settings().services
    assert services["backoffice"] == ServiceEntry(url="http://127.0.0.1:1")
    assert isinstance(services["crm"].credentials, ServiceSecret)
    assert referenced_secrets(services) == ("env:CRM_KEY",)
    assert referenced_variable("env:CRM_KEY") == "CRM_KEY"


@pytest.mark.parametrize("field", ["token_endpoint", "jwks"])
def test_tokens_do_not_cross_a_network_unprotected(field: str) -> None:
    proper = {
        "kind": "token_exchange", "token_endpoint": "https://as.example/token", "issuer": "https://as.example",
        "jwks": "https://as.example/jwks", "client_id": "c", "client_key": "file:k", "audience": "a",
    }  # fmt: skip
    TokenExchange.model_validate(proper)
    TokenExchange.model_validate({**proper, field: "http://127.0.0.1:9/x"})
    with pytest.raises(ValidationError, match="not https"):
        TokenExchange.model_validate({**proper, field: "http://as.example/x"})
