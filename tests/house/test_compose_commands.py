"""Every command of docker-compose.yml that is ours, run as it stands there: it serves, does its work, stops with 0."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from cli.team import write_secrets
from contracts.outcome import RunReport
from settings.load import load_settings
from tests.conftest import running
from tests.house.compose_file import ONCE, command, environment, secrets, services
from tests.house.tree import HERE
from workers.embedded.ports import some_free
from workers.embedded.postgres import OWNER, PostgresServer, program
from workers.intake.answers import Receipt
from workers.intake.client import EventSender

LIMIT_S = 60
PORTS = {"web": 8400, "intake": 8401, "backoffice": 8402, "worker": 8403, "temporal": 7233}
"""Port of each service inside its container."""


class Containers:
    """The services, run on this machine: paths and host names of the containers are replaced by ours."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self.folder = folder
        self.ports = {name: some_free() for name in PORTS}
        self.metrics_port = some_free()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._secrets = folder / "secrets"
        write_secrets(load_settings(), self._secrets)
        for name, login in (("migration_database_url", "owner"), ("database_url", "login")):
            file = self._secrets / f"countersign_{name}"
            file.chmod(0o600)
            file.write_text(postgres.url(user=f"countersign_{login}"))
        self.init_database(postgres)

    def init_database(self, postgres: PostgresServer) -> None:
        """What the image of Postgres does with `docker/postgres` at its first start."""
        text = (HERE / "docker" / "postgres" / "10-logins.sql").read_text(encoding="utf-8")
        file = self.folder / "10-logins.sql"
        file.write_text(text.replace("/run/secrets", str(self._secrets)))
        subprocess.run(
            [program("psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-d", postgres.url(OWNER), "-f", file],
            check=True,
            capture_output=True,
            timeout=LIMIT_S,
        )

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service with its command, its environment and no secret but its own."""
        mounted = self.folder / "run" / name
        mounted.mkdir(parents=True)
        for secret in secrets(name):
            (mounted / secret).symlink_to(self._secrets / secret)
        variables = {key: self._local(name, value) for key, value in environment(name).items()}
        ports = {f"COUNTERSIGN_{service.upper()}_PORT": str(port) for service, port in self.ports.items()}
        data = self.folder / name
        data.mkdir()
        with (self.folder / f"{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                self._argv(name),
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
                    "COUNTERSIGN_ENV_FILE": os.devnull,
                    "COUNTERSIGN_STATE_DIR": str(data),
                    "BACKOFFICE_PORT": str(self.ports["backoffice"]),
                    **ports,
                    **variables,
                },
            )
        return self.running[name]

    def once(self, name: str) -> str:
        """Run a service that does one thing and ends. Returns what it printed."""
        code = self.start(name).wait(LIMIT_S)
        del self.running[name]
        assert code == 0, self.log(name)
        return self.log(name)

    def until_healthy(self, name: str) -> None:
        """Ask with the service's own health check until it says yes."""
        check = services()[name]["healthcheck"]
        assert isinstance(check, dict)
        test = check["test"]
        assert isinstance(test, list)
        argv = [self._ports_replaced(str(part)) for part in test[1:]]
        argv[0] = {"python": sys.executable, "temporal": str(Path(sys.executable).parent / "temporal")}[argv[0]]
        until_s = time.monotonic() + LIMIT_S
        while True:
            assert self.running[name].poll() is None, self.log(name)
            if subprocess.run(argv, cwd=HERE, check=False, capture_output=True, timeout=LIMIT_S).returncode == 0:
                return
            assert time.monotonic() < until_s, self.log(name)
            time.sleep(0.1)

    def stop(self, name: str) -> int:
        """Ask a service to stop as Compose does. Returns its exit code."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(LIMIT_S)

    def close(self) -> None:
        """End what a failed test left."""
        for process in self.running.values():
            with suppress(ProcessLookupError):
                process.kill()
            process.wait(LIMIT_S)

    def log(self, name: str) -> str:
        """What a service printed."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def endpoint_secret(self) -> str:
        """Signing secret of the one endpoint."""
        return str(json.loads((self._secrets / "endpoints.json").read_bytes())["support-tickets"][0])

    def _argv(self, name: str) -> list[str]:
        first, *rest = [self._local(name, part) for part in command(name)]
        match first:
            case "python":
                return [sys.executable, *rest]
            case "countersign":
                return [sys.executable, str(HERE / "countersign.py"), *rest]
            case _:
                return [str(Path(sys.executable).parent / first), *rest]

    def _local(self, name: str, text: str) -> str:
        for inside, here in (
            ("/run/secrets", str(self.folder / "run" / name)),
            ("/data", str(self.folder / name)),
            ("0.0.0.0", "127.0.0.1"),  # noqa: S104 - replaced, not bound
            ("temporal:7233", "127.0.0.1:7233"),
            ("//backoffice:", "//127.0.0.1:"),
            ("9090", str(self.metrics_port)),
        ):
            text = text.replace(inside, here)
        return self._ports_replaced(text)

    def _ports_replaced(self, text: str) -> str:
        # In one pass: a port of ours may look like another one of the containers.
        here = {str(port): str(self.ports[service]) for service, port in PORTS.items()}
        return re.sub(r"\b(" + "|".join(here) + r")\b", lambda match: here[match[1]], text)


@pytest.fixture
def containers(servers_folder: Path, tmp_path: Path) -> Iterator[Containers]:
    server = PostgresServer.at(servers_folder / "compose", ("fsync=off",))
    with running(server.component(print), servers_folder):
        made = Containers(tmp_path, server)
        yield made
        made.close()


async def report_of(address: str, run_id: str) -> RunReport:
    """How a run ended; it begins a moment after its event was accepted."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    handle = client.get_workflow_handle(run_id, result_type=RunReport)
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                return await handle.result()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            await asyncio.sleep(0.1)


def test_services_start_work_and_stop(containers: Containers) -> None:
    containers.start("temporal")
    assert "countersign_login may take on its roles" in containers.once("migrate")
    assert "keeps runs for 30 days" in containers.once("namespace")
    containers.until_healthy("temporal")
    for name in ("backoffice", "web", "intake", "worker"):
        containers.start(name)
    for name in ("backoffice", "web", "intake", "worker"):
        containers.until_healthy(name)

    event = {"specversion": "1.0", "id": "1", "source": "/helpdesk/acme", "type": "ticket.created"}
    url = f"http://127.0.0.1:{containers.ports['intake']}/events/support-tickets"
    sender = EventSender(url=url, secret=containers.endpoint_secret(), attempts=3)
    receipt = sender.send({**event, "data": {"ticket_id": "TIC-2001"}})
    assert isinstance(receipt, Receipt)
    report = asyncio.run(report_of(f"127.0.0.1:{containers.ports['temporal']}", receipt.run_id))
    assert (report.outcome, report.totals.unknown) == ("completed", 0)

    for name in ("worker", "intake", "web", "backoffice", "temporal"):
        assert containers.stop(name) == 0, f"{name}: {containers.log(name)}"


def test_every_service_of_ours_is_run_above() -> None:
    assert set(PORTS) | set(ONCE) >= {
        name for name, found in services().items() if found["image"] == "countersign:local"
    }
