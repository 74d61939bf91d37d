"""docker-compose.yml and the Dockerfile: valid, closed, and in step with the code."""

import json
import re
import stat
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml

from cli.team import write_secrets
from settings import Settings
from settings.load import load_settings
from settings.sources import ENV_PREFIX, STANDARD_NAMES
from tests.house.compose_file import ONCE, OURS, command, compose_file, environment, secrets, services
from tests.house.tree import HERE
from workers.embedded.temporal import temporal_component

SCHEMA = HERE / "tests" / "house" / "compose_spec" / "compose-spec.json"
# The image holds no program that could ask.
WITHOUT_HEALTH_CHECK = {"otel-collector", *ONCE}


def schema_errors(document: Any) -> list[str]:  # noqa: ANN401 - whatever YAML held
    """What the specification finds wrong."""
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    errors = list(validator.iter_errors(document))  # pyright: ignore[reportUnknownMemberType] - its stub says so
    return [f"{list(error.absolute_path)}: {error.message}" for error in errors]


def test_compose_file_fits_the_specification() -> None:
    as_written = yaml.safe_load((HERE / "docker-compose.yml").read_text(encoding="utf-8"))
    assert schema_errors(as_written) == []
    assert schema_errors(compose_file()) == []


def test_the_schema_bites() -> None:
    broken = {**compose_file(), "services": {"worker": {"image": "x", "replica": 2}}}
    assert "replica" in str(schema_errors(broken))


@pytest.mark.parametrize("name", sorted(services()))
def test_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    # The images of Temporal run as an account of their own.
    assert service.get("user", "temporalio's own") not in {"root", "0", "0:0"}
    assert ("user" in service) is not str(service["image"]).startswith("temporalio/")
    assert service.get("read_only") or name == "temporal-durable"
    limits = cast("dict[str, Any]", service["deploy"])["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert "restart" in service
    assert ("healthcheck" in service) is (name not in WITHOUT_HEALTH_CHECK)
    assert "stop_grace_period" in service or name in ONCE


def test_workers_can_be_scaled() -> None:
    worker = services()["worker"]
    assert not {"container_name", "ports", "hostname"} & worker.keys()


def test_nothing_is_published_beyond_this_machine_by_default() -> None:
    ports = [str(port) for service in services().values() for port in cast("list[str]", service.get("ports", []))]
    assert sorted(ports) == ["127.0.0.1:8400:8400", "127.0.0.1:8401:8401"]


def test_each_key_goes_to_the_one_process_that_needs_it() -> None:
    holders = {
        name: {service for service in services() if name in secrets(service)}
        for name in cast("dict[str, Any]", compose_file()["secrets"])
    }
    assert holders == {
        "countersign_database_url": {"worker", "intake", "web", "migrate"},
        "countersign_migration_database_url": {"migrate"},
        "countersign_openai_api_key": {"worker"},
        "countersign_anthropic_api_key": {"worker"},
        "postgres-password": {"postgres"},
        "postgres-owner-password": {"postgres"},
        "postgres-login-password": {"postgres"},
        "temporal-postgres-password": {"temporal-postgres", "temporal-schema", "temporal-durable"},
        "vote.jwk": {"web"},
        "credential.jwk": {"worker"},
        "credential.jwks.json": {"backoffice"},
        "endpoints.json": {"intake"},
        "session.secret": {"web"},
    }


def test_secrets_command_makes_every_file_and_keeps_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = write_secrets(load_settings(), folder)
    declared = cast("dict[str, dict[str, str]]", compose_file()["secrets"])
    assert {Path(secret["file"]).name for secret in declared.values()} <= set(made)
    assert {Path(secret["file"]).parent.as_posix() for secret in declared.values()} == {"docker/secrets"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert write_secrets(load_settings(), folder) == ()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    password = before["postgres-login-password"].decode()
    assert (
        before["countersign_database_url"].decode()
        == f"postgresql://countersign_login:{password}@postgres:5432/countersign"
    )


@pytest.mark.parametrize("name", sorted(services()))
def test_no_secret_stands_in_an_environment(name: str) -> None:
    suspects = re.compile(r"password|secret|token|api_key|pwd", re.IGNORECASE)
    found = {key: value for key, value in environment(name).items() if suspects.search(key)}
    assert all(str(value).startswith("/run/secrets") for value in found.values()), found


@pytest.mark.parametrize("name", OURS)
def test_our_variables_are_settings(name: str) -> None:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields} | set(STANDARD_NAMES.values())
    ours = {key for key in environment(name) if key.startswith((ENV_PREFIX, "OPENAI", "ANTHROPIC"))}
    assert ours - known <= {"COUNTERSIGN_SECRETS_DIR"}


def test_development_server_is_tuned_as_the_embedded_one() -> None:
    embedded = " ".join(temporal_component(file=Path("/data/temporal.db"), port=7233).argv[1:])
    ours = " ".join(part.replace("=", " ", 1) for part in command("temporal")[1:])
    in_container_only = {"--ip 0.0.0.0", "--metrics-port 9090"}
    assert _options(ours) - _options(embedded) == in_container_only
    assert _options(embedded) - _options(ours) == {"--ip 127.0.0.1"}


def _options(line: str) -> set[str]:
    return {f"--{part.strip()}" for part in line.split("--")[1:]}


def test_image_is_built_from_locked_wheels_and_runs_without_privileges() -> None:
    text = (HERE / "Dockerfile").read_text(encoding="utf-8")
    last = text[text.rindex("\nFROM ") :]
    assert "--require-hashes --only-binary :all: -r" in text
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "COPY . /app" in last
    ignored = (HERE / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".env", ".countersign", ".venv", "docker/secrets"} <= set(ignored)
    assert {cast("str", services()[name]["image"]) for name in OURS} == {"countersign:local"}


def test_variables_of_the_example_file_are_read_by_somebody() -> None:
    names = set(re.findall(r"^#?([A-Z_]+)=", (HERE / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    ours = {ENV_PREFIX + field.upper() for field in Settings.model_fields} | set(STANDARD_NAMES.values())
    in_compose = set(re.findall(r"\$\{(\w+):-", (HERE / "docker-compose.yml").read_text(encoding="utf-8")))
    assert names - ours - in_compose == set()
    assert in_compose - ours <= names
