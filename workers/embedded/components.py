"""The processes of ours that the stack runs. Another one is another entry here."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from settings import Settings
from settings.environment import child_environment, plain_names
from settings.secret_references import referenced_variable
from settings.services import referenced_secrets
from settings.sources import ROOT
from workers.embedded.component import Component
from workers.embedded.probe import HttpProbe
from workers.well_known import EPOCHS_PATH

__all__ = ["EPOCHS_VARIABLE", "PORTS", "our_processes"]

PORTS = {
    "web_port": "web_host",
    "intake_port": "intake_host",
    "worker_port": "worker_host",
    "backoffice_port": None,
    "temporal_port": None,
    "temporal_ui_port": None,
}
"""Settings that name a port of the stack, each with the setting that names its host (None: 127.0.0.1)."""

EPOCHS_VARIABLE = "BACKOFFICE_EPOCHS"
"""Where the example system of record asks which credentials are revoked; without it, it knows what it is told."""
_TEMPORAL_SECRETS = ("temporal_api_key", "temporal_tls_key_file")


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    module: str
    host: str
    port: int
    secrets: tuple[str, ...]
    variables: Collection[str] = ()


def our_processes(settings: Settings, endpoint_variables: Collection[str] = ()) -> tuple[Component, ...]:
    """Worker, intake and form, each with the secrets that it needs and no others, and the example system of record.

    Args:
        settings: of the installation, with the addresses of the servers.
        endpoint_variables: environment variables in which endpoints keep their signing secrets.
    """
    database = "database_url"
    models = ("openai_api_key", "anthropic_api_key")
    processes: Sequence[_Process] = (
        _Process(
            "worker",
            "workers.worker",
            settings.worker_host,
            settings.worker_port,
            (database, *_TEMPORAL_SECRETS, "credential_key_file", "credential_key", *models),
            _variables(settings.credential_key, *referenced_secrets(settings.services)),
        ),
        _Process(
            "intake",
            "workers.intake",
            settings.intake_host,
            settings.intake_port,
            (database, *_TEMPORAL_SECRETS, "endpoint_secrets_file"),
            endpoint_variables,
        ),
        _Process(
            "web",
            "approvals",
            settings.web_host,
            settings.web_port,
            (database, *_TEMPORAL_SECRETS, "vote_key_file", "vote_key", "session_secret_file"),
            _variables(settings.vote_key),
        ),
    )
    return (_backoffice(settings), *(_component(settings, process) for process in processes))


def _variables(*references: str | None) -> frozenset[str]:
    return frozenset(name for reference in references if reference and (name := referenced_variable(reference)))


def _component(settings: Settings, process: _Process) -> Component:
    names = (*plain_names(), *process.secrets)
    environment = child_environment(settings, names, process.variables)
    return _python(process.name, process.module, environment, f"http://{_local(process.host)}:{process.port}")


def _backoffice(settings: Settings) -> Component:
    # Another team's service in an example: it gets nothing of ours but the public keys.
    environment = {
        **child_environment(settings, ()),
        "BACKOFFICE_DB_PATH": str(settings.state_dir / "backoffice" / "backoffice.sqlite3"),
        "BACKOFFICE_HOST": "127.0.0.1",
        "BACKOFFICE_PORT": str(settings.backoffice_port),
        "BACKOFFICE_JWKS": str(settings.credential_public_keys_file),
        EPOCHS_VARIABLE: f"http://{_local(settings.worker_host)}:{settings.worker_port}{EPOCHS_PATH}",
        "BACKOFFICE_ADMIN_TOKEN": settings.backoffice_admin_token_file.read_text().strip(),
    }
    return _python("backoffice", "examples.backoffice", environment, f"http://127.0.0.1:{settings.backoffice_port}")


def _python(name: str, module: str, environment: dict[str, str], address: str) -> Component:
    return Component(
        name=name,
        argv=(sys.executable, "-m", module),
        environment={**environment, "PYTHONUNBUFFERED": "1"},
        folder=Path(ROOT),
        probe=HttpProbe(url=f"{address}/readyz"),
        address=address,
        version=_our_version(),
        after=() if name == "backoffice" else ("postgres", "temporal"),
        stop_limit_s=20,
    )


def _our_version() -> str:
    try:
        return version("countersign")
    except PackageNotFoundError:
        return "clone"


def _local(host: str) -> str:
    """The address at which this machine reaches a server that listens on every interface."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - compared, not bound
