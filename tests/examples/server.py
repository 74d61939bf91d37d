"""A backoffice process of its own for tests: started, killed, started again on the same files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from workers.embedded.ports import some_free

ROOT = Path(__file__).parents[2]
ADMIN_TOKEN = "admin-token-of-the-tests"
START_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 15.0
POLL_S = 0.02


class Server:
    """``python -m examples.backoffice`` with its own database file and port."""

    def __init__(self, folder: Path, jwks: str, **environment: str) -> None:
        self.folder = folder
        self.port = some_free()
        self.url = f"http://127.0.0.1:{self.port}"
        # One client for all calls: each new one reads every certificate of the machine first.
        # It closes idle connections after five seconds, and must not do so under a call.
        self.http = httpx.Client(base_url=self.url, timeout=CALL_TIMEOUT_S, limits=httpx.Limits(keepalive_expiry=2.0))
        self.log = folder / "backoffice.log"
        self._environment = {
            **os.environ,
            "BACKOFFICE_DB_PATH": str(folder / "backoffice.sqlite3"),
            "BACKOFFICE_PORT": str(self.port),
            "BACKOFFICE_JWKS": jwks,
            "BACKOFFICE_ADMIN_TOKEN": ADMIN_TOKEN,
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "examples.backoffice"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.http.get("/healthz", timeout=1.0).raise_for_status()
            except httpx.HTTPError:
                time.sleep(POLL_S)
            else:
                return
        raise RuntimeError(f"The backoffice did not start:\n{self.log.read_text(encoding='utf-8')}")

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the process as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End the process politely and return its exit code."""
        return self._end(signal.SIGTERM)

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Call an admin endpoint that must succeed."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        answer = self.http.request(method, f"/admin{path}", headers=headers, json=body)
        assert answer.is_success, answer.text
        return answer

    def books(self, tenant: str = "acme") -> dict[str, Any]:
        """Return the books of a tenant."""
        return dict(self.admin("GET", f"/books?tenant={tenant}").json())

    def refunds(self, tenant: str = "acme") -> list[dict[str, Any]]:
        """Return the refunds of a tenant that were not seeded."""
        return [refund for refund in self.books(tenant)["refunds"] if refund["run"] != "seed"]

    def plan_fault(self, mode: str, plan: dict[str, Any] | None = None) -> None:
        """Plan one fault for the next refund, or what the plan says."""
        self.admin("POST", "/faults", {"method": "POST", "path_regex": "^/refunds$", "mode": mode, **(plan or {})})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running():
            self.kill()
        self.http.close()

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "The server was never started."
        self._process.send_signal(number)
        return self._process.wait(timeout=20)
