"""A stack for evals: real servers in a folder that is thrown away, and workers in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from activities.engine import Engine
from evals.stack import EvalStack
from evals.world import BackOffice
from settings import Settings
from settings.services import ServiceEntry
from settings.sources import ROOT
from settings.temporal import connect
from workers.embedded.components import EPOCHS_VARIABLE, our_processes
from workers.embedded.database import create_application_database
from workers.embedded.keys import make_keys
from workers.embedded.namespace import set_up_namespace
from workers.embedded.ports import some_free
from workers.embedded.postgres import LOGIN, PostgresServer
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import temporal_component
from workers.run_worker import open_engine, run_worker

__all__ = ["SEED_FILE", "ephemeral_stack", "working"]

SEED_FILE = ROOT / "examples" / "backoffice" / "seed.yaml"
_KEY_FILES = {
    "vote_key_file": "vote.jwk",
    "credential_key_file": "credential.jwk",
    "credential_public_keys_file": "credential.jwks.json",
    "endpoint_secrets_file": "endpoints.json",
    "session_secret_file": "session.secret",
    "backoffice_admin_token_file": "backoffice-admin.token",
}
_OF_THE_INSTALLATION = (
    "temporal_namespace",
    "temporal_tls",
    "temporal_tls_ca_file",
    "temporal_tls_cert_file",
    "temporal_tls_key_file",
    "temporal_api_key",
    "database_role",
    "dispatch_role",
)
"""Settings that belong to servers which evals leave alone."""
_LOSES_DATA_WITH_THE_MACHINE = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200")


@asynccontextmanager
async def working(settings: Settings) -> AsyncGenerator[Engine]:
    """A worker in this process, on servers that run."""
    client = await connect(settings)
    async with open_engine(settings) as engine, run_worker(client, engine):
        yield engine


@asynccontextmanager
async def ephemeral_stack(configured: Settings, say: Callable[[str], None]) -> AsyncGenerator[EvalStack]:
    """Postgres, Temporal and the back office, started for the length of the block.

    Args:
        configured: what the installation decides about agents and models; servers, keys and state are the stack's own.
        say: takes each line for the person who watches.

    Raises:
        StackError: one of them cannot be started.
    """
    # A short path: the socket of Postgres lies below it.
    with TemporaryDirectory(prefix="countersign-evals-") as name:
        folder = Path(name)
        postgres = PostgresServer.at(folder / "postgres", _LOSES_DATA_WITH_THE_MACHINE)
        temporal = temporal_component(
            file=folder / "temporal.db", port=some_free(), once_ready=lambda: set_up_namespace(address, "default")
        )
        address = temporal.address
        settings = _own_settings(configured, folder, postgres.url(user=LOGIN), address)
        make_keys(settings, [], lambda _line: None)

        async def create() -> None:
            await asyncio.to_thread(create_application_database, postgres)

        backoffice = next(component for component in our_processes(settings) if component.name == "backoffice")
        # The workers are in this process, without addresses that it could ask.
        environment = {name: value for name, value in backoffice.environment.items() if name != EPOCHS_VARIABLE}
        backoffice = replace(backoffice, environment=environment)
        supervisor = Supervisor(
            [postgres.component(say, once_ready=create), temporal, backoffice], log_folder=folder / "logs", say=say
        )
        try:
            await supervisor.start()
            token = settings.backoffice_admin_token_file.read_text().strip()
            async with BackOffice(settings.services["backoffice"].url, token, SEED_FILE) as world:
                yield EvalStack(settings=settings, world=world, working=working)
        finally:
            await supervisor.stop()


def _own_settings(configured: Settings, folder: Path, database_url: str, temporal_address: str) -> Settings:
    fields = type(configured).model_fields
    port = some_free()
    own: dict[str, object] = {name: fields[name].default for name in _OF_THE_INSTALLATION}
    own |= {setting: folder / "keys" / file for setting, file in _KEY_FILES.items()}
    own |= {
        "state_dir": folder,
        "database_url": SecretStr(database_url),
        "migration_database_url": None,
        "temporal_address": temporal_address,
        "backoffice_port": port,
        "services": {"backoffice": ServiceEntry(url=f"http://127.0.0.1:{port}")},
    }
    return configured.model_copy(update=own)
