"""The servers and the two workers of a benchmark: the product's own components, in a folder that is thrown away."""

import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from joserfc.jwk import OKPKey
from temporalio.client import Client

from approvals.signing import VoteSigner
from settings.payloads import DATA_CONVERTER
from settings.sources import ENV_PREFIX, ROOT
from settings.tenants import InitialState, Tenant, TenantsFile
from store.agents import ensure_agent_states
from store.database import Database
from workers.embedded.component import Component
from workers.embedded.database import create_application_database
from workers.embedded.namespace import set_up_namespace
from workers.embedded.ports import some_free
from workers.embedded.postgres import LOGIN, PostgresServer
from workers.embedded.probe import HttpProbe, TemporalProbe
from workers.embedded.supervisor import Supervisor
from workers.embedded.temporal import temporal_component

__all__ = ["AGENT", "AGENTS_FOLDER", "TENANT", "BenchStack", "running_stack"]

TENANT = "bench"
AGENT = "bench_agent"
AGENTS_FOLDER = Path(__file__).parent / "agents"
_ROLE = "countersign_app"


@dataclass(frozen=True)
class BenchStack:
    """Handles on what runs."""

    folder: Path
    client: Client
    """Speaks pydantic, for our runs."""
    plain_client: Client
    """Speaks Temporal's default JSON, for the bare workflow."""
    database: Database
    """As the application, to accept events."""
    owner_url: str
    """As the owner of the tables, to count bytes."""
    queue: str
    bare_queue: str
    pids: dict[str, int]
    """Process id by component: postgres, temporal, worker, bare."""


@asynccontextmanager
async def running_stack() -> AsyncGenerator[BenchStack]:
    """Real servers and workers, all as `countersign up` runs them.

    Raises:
        StackError: one of them does not start.
    """
    # A short path: the socket of Postgres lies below it.
    folder = Path(tempfile.mkdtemp(prefix="countersign-bench-"))
    try:
        async with _servers(folder) as stack:
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _servers(folder: Path) -> AsyncGenerator[BenchStack]:
    postgres = PostgresServer.at(folder / "postgres")
    temporal = temporal_component(file=folder / "temporal.db", port=some_free())
    servers = Supervisor([postgres.component(_quiet), temporal], log_folder=folder, say=_quiet)
    try:
        await servers.start()
        create_application_database(postgres)
        await set_up_namespace(temporal.address, "default")
        url = postgres.url(user=LOGIN)
        queue, bare_queue = f"bench-{uuid.uuid4().hex[:8]}", f"bare-{uuid.uuid4().hex[:8]}"
        async with Database(url, role=_ROLE) as database:
            await _set_up(folder, database)
            workers = Supervisor(
                [_worker(folder, url, temporal.address, queue), _bare_worker(temporal.address, bare_queue)],
                log_folder=folder,
                say=_quiet,
            )
            try:
                await workers.start()
                yield BenchStack(
                    folder=folder,
                    client=await Client.connect(temporal.address, data_converter=DATA_CONVERTER),
                    plain_client=await Client.connect(temporal.address),
                    database=database,
                    owner_url=postgres.url(),
                    queue=queue,
                    bare_queue=bare_queue,
                    pids=_pids(servers) | _pids(workers),
                )
            finally:
                await workers.stop()
    finally:
        await servers.stop()


async def _set_up(folder: Path, database: Database) -> None:
    """Keys, and the state of the agent in its tenant."""
    for name in ("vote", "credential"):
        key = OKPKey.generate_key("Ed25519")
        key.ensure_kid()
        (folder / f"{name}.jwk").write_text(json.dumps(key.as_dict(private=True)))
    await VoteSigner.load(folder / "vote.jwk").publish(database)
    state = InitialState(stage="limited_autonomy", enabled=True, tier_ceiling=2)
    await ensure_agent_states(database, TenantsFile(tenants={TENANT: Tenant(name="Benchmark", agents={AGENT: state})}))


def _worker(folder: Path, url: str, temporal_address: str, queue: str) -> Component:
    """The product's worker process, as it is."""
    port = some_free()
    values = {
        "ENV_FILE": os.devnull,
        "STATE_DIR": str(folder / "state"),
        "DATABASE_URL": url,
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_TASK_QUEUE": queue,
        "AGENTS_DIR": str(AGENTS_FOLDER),
        "LIMITS_FILE": str(Path(__file__).with_name("limits.yaml")),
        "CREDENTIAL_KEY_FILE": str(folder / "credential.jwk"),
        "MODEL_PROVIDER": "scripted",
        "WORKER_PORT": str(port),
        "LOG_LEVEL": "warning",
    }
    return Component(
        name="worker",
        argv=(sys.executable, "-m", "workers.worker"),
        environment={ENV_PREFIX + name: value for name, value in values.items()},
        folder=Path(ROOT),
        probe=HttpProbe(url=f"http://127.0.0.1:{port}/readyz"),
        address=f"http://127.0.0.1:{port}",
        version="clone",
        stop_limit_s=20,
    )


def _bare_worker(temporal_address: str, queue: str) -> Component:
    return Component(
        name="bare",
        argv=(sys.executable, "-m", "benchmarks.bare", temporal_address, queue),
        environment={},
        folder=Path(ROOT),
        # It answers no health checks; the first job of the warm-up waits until it polls.
        probe=TemporalProbe(address=temporal_address, namespace="default"),
        address=temporal_address,
        version="clone",
    )


def _pids(supervisor: Supervisor) -> dict[str, int]:
    return {name: status.process.pid for name, status in supervisor.statuses().items() if status.process}


def _quiet(_line: str) -> None:
    """The supervisor's news are of no interest here: what fails to start raises."""
