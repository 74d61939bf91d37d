"""`python -m workers.intake` as a process of its own, on settings of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psycopg
from psycopg.rows import dict_row

from tests.workers.intake.sending import ENDPOINT, OLD_SECRET, SECRET, body_of, headers_for

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 30.0
TENANTS = """
tenants:
  acme:
    name: Acme
    agents: {support_refund: {stage: gated_writes}, other_agent: {stage: "off"}}
  globex:
    name: Globex
    agents: {support_refund: {stage: gated_writes}}
"""
ENDPOINTS = """
endpoints:
  support-tickets:
    tenant: acme
    sources: [/helpdesk/acme]
    binary: true
    routes: [{when: {type: ticket.created}, agent: support_refund}]
    trusted: [ticket_id]
    max_body_bytes: 65536
  globex-tickets:
    tenant: globex
    sources: [/helpdesk/globex, /helpdesk/acme]
    routes:
      - {when: {type: ticket.created, data.kind: refund}, agent: support_refund}
    trusted: [kind, user]
    on_behalf_of: user
"""


class Intake:
    """An intake process and its inbox."""

    def __init__(self, folder: Path, port: int, *, database: str, owner_database: str, **settings: str) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "intake.log"
        self._owner_database = owner_database
        (folder / "tenants.yaml").write_text(TENANTS)
        (folder / "endpoints.yaml").write_text(ENDPOINTS)
        secrets = {ENDPOINT: [SECRET, OLD_SECRET], "globex-tickets": [SECRET]}
        (folder / "secrets.json").write_text(json.dumps(secrets))
        self.settings = {
            "state_dir": str(folder),
            "tenants_file": str(folder / "tenants.yaml"),
            "endpoints_file": str(folder / "endpoints.yaml"),
            "endpoint_secrets_file": str(folder / "secrets.json"),
            "database_url": database,
            "intake_port": str(port),
            **settings,
        }
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERSIGN_")},
            "COUNTERSIGN_ENV_FILE": os.devnull,
            **{f"COUNTERSIGN_{name.upper()}": value for name, value in self.settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it serves."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.intake"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/healthz", timeout=1.0).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"The intake did not start:\n{self.log.read_text(encoding='utf-8')}")

    def end(self, number: signal.Signals) -> int:
        """Send the signal; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """End the process as a crash would."""
        self.end(signal.SIGKILL)

    def post(self, body: bytes, headers: dict[str, str] | None = None, endpoint: str = ENDPOINT) -> httpx.Response:
        """Deliver bytes, honestly signed unless headers are given."""
        return httpx.post(
            f"{self.url}/events/{endpoint}", content=body, headers=headers or headers_for(body), timeout=30.0
        )

    def send(self, value: object, endpoint: str = ENDPOINT) -> httpx.Response:
        """Deliver a structured event, honestly signed."""
        return self.post(body_of(value), endpoint=endpoint)

    def rows(self, query: str = "select * from inbox order by received_at") -> list[dict[str, Any]]:
        """Look into the database as its owner, who passes row-level security."""
        with psycopg.connect(self._owner_database) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGTERM)
